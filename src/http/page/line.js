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

const share = (device) => (device.expected ? device.missed / device.expected : null);
const grade = (lost) => (lost === null ? 'unknown' : lost < 0.02 ? 'well' : lost < 0.15 ? 'fair' : 'poor');
const nameOf = (id) => state.devices.get(id)?.name || id;

const LABELS_MAX = 40; // with more sockets than this, names stand in the tooltips alone

/** Places on ellipses around the modem: those that it hears itself inside, those behind others further out beside them. */
function places(devices, links, [rx, ry]) {
  const above = new Map(links.filter(({ to }) => devices.some((one) => one.device === to)).map(({ from, to }) => [from, to]));
  const near = devices.filter((one) => !above.has(one.device)).map((one) => one.device);
  const turns = new Map(near.map((id, index) => [id, (index / near.length) * 2 * Math.PI - Math.PI / 2]));
  const depth = new Map(near.map((id) => [id, 0]));
  const kin = new Map();
  const settle = (id, left) => {
    if (turns.has(id) || !left) return;
    const parent = above.get(id);
    settle(parent, left - 1);
    const order = kin.get(parent) || 0;
    kin.set(parent, order + 1);
    turns.set(id, (turns.get(parent) ?? 0) + [0.06, -0.06, 0.16, -0.16][order % 4]);
    depth.set(id, (depth.get(parent) ?? 0) + 1);
  };
  devices.forEach((one) => settle(one.device, 4));
  return new Map([...turns].map(([id, turn]) => { const far = 1 + 0.28 * Math.min(depth.get(id), 3); return [id, [Math.cos(turn) * rx * far, Math.sin(turn) * ry * far]]; }));
}

/** Where a name stands beside its dot: away from the modem. */
const beside = ([x, y], ry) => (Math.abs(y) > ry * 0.93 ? { y: y < 0 ? -18 : 28, 'text-anchor': 'middle' } : { x: x < 0 ? -18 : 18, y: 5, 'text-anchor': x < 0 ? 'end' : 'start' });

/** The modem in the middle; links are as thick as often they were heard, as dark as they are strong. */
function WhoHears({ quality }) {
  const narrow = innerWidth < 700;
  const radii = narrow ? [118, 250] : [300, 165];
  const { devices } = quality;
  const told = quality.links?.length > 0;
  const links = told ? quality.links : devices.filter((one) => one.heard).map((one) => ({ from: one.device, to: 'modem', snr_db: one.snr_db, seen: one.heard }));
  const at = places(devices, told ? links : [], radii);
  const place = (id) => at.get(id) || [0, 0];
  const most = Math.max(...links.map((one) => one.seen || 1), 1);
  const far = Math.max(1, ...[...at.values()].map(([x, y]) => Math.hypot(x / radii[0], y / radii[1])));
  const [w, h] = [radii[0] * far + (narrow ? 118 : 150), radii[1] * far + 44];
  return html`<svg class=${`map ${narrow ? 'narrow-map' : ''}`} viewBox=${`${-w} ${-h} ${2 * w} ${2 * h}`} role="img" aria-label=${t.mapWords(devices.length, links.length)}>
    ${links.map((one) => { const [a, b] = [place(one.from), place(one.to)]; return html`<line x1=${a[0]} y1=${a[1]} x2=${b[0]} y2=${b[1]} stroke-width=${1 + 3 * ((one.seen || 1) / most)} opacity=${one.snr_db === undefined ? 0.5 : Math.min(1, 0.25 + Math.max(0, one.snr_db) / 40)}><title>${nameOf(one.from)} → ${nameOf(one.to)}${one.snr_db === undefined ? '' : `, ${one.snr_db} dB`}</title></line>`; })}
    <g class="hub"><circle r="27" /><path d="M-10 0h4l3-7 5 14 4-9 1 2h4" /></g>
    ${devices.map((device) => { const here = place(device.device); return html`<g class=${`node ${grade(share(device))}`} transform=${`translate(${here[0]} ${here[1]})`}><circle r="11" /><title>${nameOf(device.device)}</title>${devices.length <= LABELS_MAX && html`<text ...${beside(here, radii[1])}>${nameOf(device.device)}</text>`}</g>`; })}
  </svg>`;
}

function Loss({ devices }) {
  const sorted = [...devices].sort((a, b) => (share(b) ?? -1) - (share(a) ?? -1));
  const has = (field) => devices.some((one) => one[field] !== undefined && one[field] !== null);
  const more = [['hops', t.hops, ''], ['snr_db', t.snr, ' dB'], ['level_db', t.level, ' dB'], ['attempts', t.attemptsEach, '']].filter(([field]) => has(field));
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${t.lossTitle}><table><thead><tr><th>${t.name}</th><th>${t.loss}</th><th>${t.missing}</th><th>${t.heardCount}</th>${more.map(([, label]) => html`<th>${label}</th>`)}<th>${t.heardLast}</th></tr></thead>
    <tbody>${sorted.map((one) => { const lost = share(one); return html`<tr><th scope="row"><a href=${link('socket', one.device)}>${nameOf(one.device)}</a></th>
      <td class=${grade(lost)}>${lost === null ? '–' : html`<span class="meter"><i style=${{ width: `${Math.max(2, lost * 100)}%` }} /></span> ${(lost * 100).toFixed(lost < 0.1 ? 1 : 0)} %`}</td><td>${one.expected ? `${count(one.missed)} / ${count(one.expected)}` : '–'}</td><td>${count(one.heard)}</td>
      ${more.map(([field, , unit]) => html`<td>${one[field] === undefined || one[field] === null ? '–' : `${one[field]}${unit}`}</td>`)}<td>${ago(one.last_heard, now())}</td></tr>`; })}</tbody></table></div>`;
}

const HOUR_MS = 3_600_000;
const SILENT = { heard: 0, malformed: 0, unanswered: 0 };
/** A day of hours: those in which nothing happened are not told. */
function day(told) {
  const known = new Map(told.map((one) => [Math.floor(Date.parse(one.t) / HOUR_MS), one]));
  const last = Math.floor(now() / HOUR_MS);
  return Array.from({ length: 24 }, (_, index) => last - 23 + index).map((hour) => known.get(hour) || { t: new Date(hour * HOUR_MS).toISOString(), ...SILENT });
}

function Hours({ hours: told }) {
  const hours = day(told);
  const ratio = (one) => { const bad = one.malformed + one.unanswered; return bad / Math.max(1, one.heard + bad); };
  return html`<ol class="strip">${hours.map((one) => { const noise = ratio(one); const level = one.heard + one.malformed + one.unanswered === 0 ? 'none' : noise < 0.01 ? 0 : noise < 0.04 ? 1 : noise < 0.1 ? 2 : noise < 0.25 ? 3 : 4;
    const words = t.hourWords(dateText(one.t), one.heard, one.malformed, one.unanswered);
    return html`<li class=${`n${level}`} title=${words}><span class="sr">${words}</span></li>`; })}</ol>
    <p class="strip-ends"><span>${hourText.format(new Date(hours[0].t))}</span><span class="key">${t.quiet} <i class="n0" /><i class="n1" /><i class="n2" /><i class="n3" /><i class="n4" /> ${t.noisy}</span><span>${hourText.format(new Date(hours.at(-1).t))}</span></p>`;
}

function Quality({ name }) {
  const { value, problem, again } = useLoaded(() => get(`v1/lines/${name}/quality?hours=24`), [name]);
  if (problem) return html`<section class="panel"><${Trouble} problem=${problem} again=${again} absent=${t.noQuality} help=${t.noQualityHelp} /></section>`;
  if (!value) return html`<${Busy} text=${t.starting} />`;
  return html`<section class="panel"><header><h2>${t.hoursTitle}</h2><button class="mild" onClick=${again}>${t.refresh}</button></header>${value.hours.length ? html`<${Hours} hours=${value.hours} />` : html`<p>${t.noHours}</p>`}</section>
    <section class="panel"><header><h2>${t.whoHears}</h2></header>${value.devices.length ? html`<${WhoHears} quality=${value} />` : html`<p>${t.empty}</p>`}${!value.links?.length && html`<p class="hint">${t.noLinks}</p>`}</section>
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
