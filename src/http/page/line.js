// How well the wiring carries: who hears whom, whose reports were lost, which hours were noisy.
import { get } from './api.js';
import { ago, count, dateText, html, link, useLoaded, useState } from './lib.js';
import { Busy, Choice, Empty, Icon, Trouble } from './parts.js';
import { now, state, useStore } from './store.js';
import { t } from './text.js';

const hourText = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' });

function Health({ about }) {
  const bad = Object.entries(about.malformed || {});
  const modem = about.modem === true ? t.modemGood : about.modem === false ? t.modemBad : t.modemUnknown;
  return html`<section class="panel"><dl class="figures">
    <div><dt>${about.port ? t.portGood : t.portBad(about.port_error || '')}</dt><dd class=${about.modem === false || !about.port ? 'error' : 'good'}><${Icon} name=${about.modem === false || !about.port ? 'warn' : 'check'} /> <span class="plain">${modem}</span></dd></div>
    <div><dt>${t.heardLast}</dt><dd>${ago(about.last_heard, now())}</dd></div>
    <div><dt>${t.malformed}</dt><dd>${bad.length ? bad.map(([kind, n]) => html`<span class="tag">${kind} ${count(n)}</span> `) : html`<span class="plain">${t.malformedNone}</span>`}</dd></div></dl></section>`;
}

const share = (device) => (device.expected ? Math.max(0, 1 - device.heard / device.expected) : null);
const grade = (lost) => (lost === null ? 'unknown' : lost < 0.02 ? 'well' : lost < 0.15 ? 'fair' : 'poor');
const nameOf = (id) => state.devices.get(id)?.name || id;

/** The modem in the middle, sockets on rings by hops, links as thick as they are strong. A line is a star or a tree: nothing has to be computed but the places. */
function Map_({ quality }) {
  const rings = new globalThis.Map();
  quality.devices.forEach((device) => { const hops = Math.min(device.hops || 0, 3); rings.set(hops, [...(rings.get(hops) || []), device]); });
  const places = new globalThis.Map([['modem', [0, 0]]]);
  const radius = (ring) => 118 + ring * 62;
  [...rings].forEach(([ring, devices]) => devices.forEach((device, index) => {
    const turn = (index / devices.length) * 2 * Math.PI - Math.PI / 2 + ring * 0.25;
    places.set(device.device, [Math.cos(turn) * radius(ring) * 1.35, Math.sin(turn) * radius(ring)]);
  }));
  const at = (id) => places.get(id) || (state.devices.has(id) ? null : [0, 0]);
  const links = quality.links?.length ? quality.links : quality.devices.filter((one) => one.heard).map((one) => ({ from: one.device, to: 'modem', snr_db: one.snr_db, seen: one.heard, told: false }));
  const most = Math.max(...links.map((one) => one.seen || 1), 1);
  const outer = radius(Math.max(0, ...rings.keys())) + 50;
  return html`<svg class="map" viewBox=${`${-outer * 1.5} ${-outer} ${outer * 3} ${outer * 2}`} role="img" aria-label=${t.mapWords(quality.devices.length, links.length)}>
    ${links.map((one) => { const [a, b] = [at(one.from), at(one.to)]; return a && b && html`<line x1=${a[0]} y1=${a[1]} x2=${b[0]} y2=${b[1]} stroke-width=${1 + 4 * ((one.seen || 1) / most)} opacity=${one.snr_db === undefined ? 0.5 : Math.min(1, 0.25 + Math.max(0, one.snr_db) / 40)}><title>${nameOf(one.from)} → ${nameOf(one.to)}${one.snr_db === undefined ? '' : `, ${one.snr_db} dB`}</title></line>`; })}
    <g class="hub"><circle r="27" /><path d="M-10 0h4l3-7 5 14 4-9 1 2h4" /></g>
    ${quality.devices.map((device) => { const [x, y] = places.get(device.device); return html`<g class=${`node ${grade(share(device))}`} transform=${`translate(${x} ${y})`}><circle r="11" /><text y=${y < 0 ? -18 : 27} text-anchor="middle">${nameOf(device.device)}</text></g>`; })}
  </svg>`;
}

function Loss({ devices }) {
  const sorted = [...devices].sort((a, b) => (share(b) ?? -1) - (share(a) ?? -1));
  const has = (field) => devices.some((one) => one[field] !== undefined && one[field] !== null);
  const more = [['hops', t.hops, ''], ['snr_db', t.snr, ' dB'], ['level_db', t.level, ' dB'], ['attempts', t.attemptsEach, '']].filter(([field]) => has(field));
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${t.lossTitle}><table><thead><tr><th>${t.name}</th><th>${t.loss}</th><th>${t.heardCount}</th>${more.map(([, label]) => html`<th>${label}</th>`)}<th>${t.heardLast}</th></tr></thead>
    <tbody>${sorted.map((one) => { const lost = share(one); return html`<tr><th scope="row"><a href=${link('socket', one.device)}>${nameOf(one.device)}</a></th>
      <td class=${grade(lost)}>${lost === null ? '–' : html`<span class="meter"><i style=${{ width: `${Math.max(2, lost * 100)}%` }} /></span> ${(lost * 100).toFixed(lost < 0.1 ? 1 : 0)} %`}</td><td>${count(one.heard)}${one.expected ? ` / ${count(one.expected)}` : ''}</td>
      ${more.map(([field, , unit]) => html`<td>${one[field] === undefined || one[field] === null ? '–' : `${one[field]}${unit}`}</td>`)}<td>${ago(one.last_heard, now())}</td></tr>`; })}</tbody></table></div>`;
}

function Hours({ hours }) {
  const ratio = (one) => { const bad = one.malformed + one.unanswered; return bad / Math.max(1, one.heard + bad); };
  return html`<ol class="strip">${hours.map((one) => { const noise = ratio(one); const level = one.heard + one.malformed + one.unanswered === 0 ? 'none' : noise < 0.01 ? 0 : noise < 0.04 ? 1 : noise < 0.1 ? 2 : noise < 0.25 ? 3 : 4;
    const words = t.hourWords(dateText(one.t), one.heard, one.malformed, one.unanswered);
    return html`<li class=${`n${level}`} title=${words}><span class="sr">${words}</span></li>`; })}</ol>
    <p class="strip-ends"><span>${hours.length ? hourText.format(new Date(hours[0].t)) : ''}</span><span class="key">${t.quiet} <i class="n0" /><i class="n1" /><i class="n2" /><i class="n3" /><i class="n4" /> ${t.noisy}</span><span>${hours.length ? hourText.format(new Date(hours.at(-1).t)) : ''}</span></p>`;
}

function Quality({ name }) {
  const { value, problem, again } = useLoaded(() => get(`v1/lines/${name}/quality?hours=24`), [name]);
  if (problem) return html`<section class="panel"><${Trouble} problem=${problem} again=${again} absent=${t.noQuality} help=${t.noQualityHelp} /></section>`;
  if (!value) return html`<${Busy} text=${t.starting} />`;
  return html`<section class="panel"><header><h2>${t.hoursTitle}</h2><button class="mild" onClick=${again}>${t.retry}</button></header>${value.hours.length ? html`<${Hours} hours=${value.hours} />` : html`<p>${t.noHours}</p>`}</section>
    <section class="panel"><header><h2>${t.whoHears}</h2></header>${value.devices.length ? html`<${Map_} quality=${value} />` : html`<p>${t.empty}</p>`}${!value.links?.length && html`<p class="hint">${t.noLinks}</p>`}</section>
    <section class="panel"><header><h2>${t.lossTitle}</h2></header>${value.devices.length ? html`<${Loss} devices=${value.devices} />` : html`<p>${t.noLoss}</p>`}</section>`;
}

export function View() {
  const { gateway } = useStore();
  const names = Object.keys(gateway?.lines || {});
  const [picked, setPicked] = useState(null);
  const name = picked || names.find((one) => gateway.lines[one].joins?.includes('label')) || names[0];
  if (!name) return html`<h1>${t.lineTitle}</h1><${Empty} icon="line" title=${t.joinNone}><p>${t.joinNoneHelp}</p><//>`;
  return html`<div class="head"><div><h1>${t.lineTitle}</h1><p class="sub">${t.lineHelp}</p></div>${names.length > 1 && html`<${Choice} label=${t.joinLine} value=${name} onPick=${setPicked} options=${names.map((one) => [one, one])} />`}</div>
    <div class="column"><${Health} about=${gateway.lines[name]} /><${Quality} key=${name} name=${name} /></div>`;
}
