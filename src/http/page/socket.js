// One socket: its power over time, energy by day, readings, options, what happened to it, and what can be done with it.
import { address, del, get, patch, post } from './api.js';
import { EnergyBars, PowerChart } from './chart.js';
import { ago, clockText, dateText, energy, html, link, powerText, readings, useEffect, useLoaded, useMemo, useState } from './lib.js';
import { Busy, Choice, Confirm, Dialog, Empty, Face, Field, Icon, Life, Note, Power, Switch, Trouble, living } from './parts.js';
import { Replace } from './replace.js';
import { command, may, now, state, takeCommand, tell, useStore, watch } from './store.js';
import { Group } from './group.js';
import { t } from './text.js';

const STEP_S = { 1: 15, 24: 120, 168: 900 };
const SILENCE_S = 330; // five reports of a minute
const RECENT = 30;
const LOOK_BACK = 20_000; // events searched for what happened to this socket

function Title({ device }) {
  const [editing, setEditing] = useState(false);
  const [name, setName] = useState(device.name);
  const [error, setError] = useState(null);
  const save = async (event) => {
    event.preventDefault();
    try {
      await patch(`v1/${device.dialect === 'group' ? 'groups' : 'devices'}/${device.id}`, { name: name.trim() });
      setEditing(false);
      tell(t.renamed(name.trim()), 'good');
    } catch (problem) { setError(problem.message); }
  };
  if (editing) {
    return html`<h1 class="sr">${device.name}</h1><form class="inline rename" onSubmit=${save} onKeyDown=${(event) => event.key === 'Escape' && setEditing(false)}>
      <${Field} label=${t.name} error=${error} value=${name} maxlength="64" autofocus onInput=${(event) => { setName(event.target.value); setError(null); }} />
      <div class="actions"><button class="primary" disabled=${!name.trim()}>${t.save}</button><button type="button" onClick=${() => setEditing(false)}>${t.cancel}</button></div></form>`;
  }
  return html`<div class="title-row"><h1>${device.name}</h1>${may('manage') && html`<button class="round small" aria-label=${`${t.rename} ${device.name}`} onClick=${() => { setName(device.name); setError(null); setEditing(true); }}><${Icon} name="pencil" /></button>`}</div>`;
}

/** The line breaks where nothing was measured for so long. */
function broken(times, values, gap) {
  const all = [[], []];
  times.forEach((at, index) => {
    if (index && at - times[index - 1] > gap) { all[0].push(at - 1); all[1].push(null); }
    all[0].push(at);
    all[1].push(values[index]);
  });
  return all;
}

function usePower(device, hours) {
  const loaded = useLoaded(async () => {
    const from = new Date(now() - hours * 3_600_000).toISOString();
    const table = await get(`v1/devices/${device.id}/readings?from=${encodeURIComponent(from)}&step_s=${STEP_S[hours]}`);
    const [at, w] = ['t', 'power_w'].map((column) => table.columns.indexOf(column));
    return w < 0 ? [[], []] : [table.rows.map((row) => Date.parse(row[at]) / 1000), table.rows.map((row) => row[w])];
  }, [device.id, hours]);
  const [live, setLive] = useState([]);
  useEffect(() => {
    setLive([]);
    return watch((event) => {
      const w = event.data.power_w;
      if (event.kind === 'reading' && event.device === device.id && !event.late && w !== undefined) setLive((all) => [...all.slice(-2000), [Date.parse(event.t) / 1000, w]]);
    });
  }, [device.id, hours]);
  const points = useMemo(() => {
    const [times, values] = loaded.value || [[], []];
    const more = live.filter(([at]) => at > (times.at(-1) || 0));
    return broken([...times, ...more.map(([at]) => at)], [...values, ...more.map(([, w]) => w)], Math.max(SILENCE_S, 3 * STEP_S[hours]));
  }, [loaded.value, live]);
  return { ...loaded, points };
}

function PowerPanel({ device }) {
  const [hours, setHours] = useState(24);
  const { points, loading, problem, again } = usePower(device, hours);
  const measured = points[1].filter((w) => w !== null && w !== undefined);
  const mean = measured.reduce((sum, w) => sum + w, 0) / (measured.length || 1);
  const words = measured.length ? t.chartWords(device.name, powerText(Math.min(...measured)), powerText(Math.max(...measured)), powerText(mean)) : t.noHistory;
  return html`<section class="panel power-panel" aria-label=${t.chart}>
    <header><div><p class="eyebrow">${t.powerNow}</p><${Power} big w=${device.last_reading?.power_w} /></div>
      <${Choice} label=${t.range} value=${hours} onPick=${setHours} options=${[1, 24, 168].map((one) => [one, t.ranges[one]])} /></header>
    ${problem && !measured.length ? html`<${Trouble} problem=${problem} again=${again} absent=${t.noHistoryYet} help=${t.noHistoryHelp} />`
    : measured.length > 1 ? html`<${PowerChart} points=${points} words=${words} long=${hours > 24} key=${hours} />`
      : loading ? html`<${Busy} text=${t.starting} />` : html`<${Empty} icon="line" title=${t.noHistory} />`}
  </section>`;
}

function EnergyPanel({ device }) {
  const { value, problem, again } = useLoaded(() => get(`v1/devices/${device.id}/energy?days=30`), [device.id]);
  if (problem?.absent) return null;
  const days = value?.days || [];
  const whole = days.filter((one) => !one.partial);
  const mean = whole.reduce((sum, one) => sum + one.energy_kwh, 0) / (whole.length || 1);
  return html`<section class="panel"><header><h2>${t.energyDays}</h2>${value && html`<span class="hint">${t.inZone(value.timezone)}</span>`}</header>
    ${problem ? html`<${Trouble} problem=${problem} again=${again} />` : !value ? html`<${Busy} text=${t.starting} />` : !days.length ? html`<${Empty} icon="line" title=${t.noDays} />` : html`
      <dl class="figures"><div><dt>${t.energyToday}</dt><dd>${energy(days.at(-1).energy_kwh || 0)} <small>kWh</small></dd></div>${whole.length > 0 && html`<div><dt>${t.energyMean}</dt><dd>${energy(mean)} <small>kWh</small></dd></div>`}</dl>
      <${EnergyBars} days=${days} />`}
  </section>`;
}

function Readings({ device }) {
  const all = readings(device.last_reading).filter(({ field }) => field !== 'power_w');
  return html`<section class="panel"><header><h2>${t.readings}</h2><button class="mild" disabled=${!state.link.up || !may('switch')} onClick=${() => command(device, 'read').catch(() => {})}>${t.readNow}</button></header>
    ${all.length ? html`<dl class="figures">${all.map(({ label, value, unit }) => html`<div><dt>${label}</dt><dd>${value} <small>${unit}</small></dd></div>`)}</dl><p class="hint">${t.measured(ago(device.last_reading.t, now()))}</p>`
    : html`<p>${t.noReading}</p>`}</section>`;
}

function Options({ device }) {
  const rows = Object.entries(state.gateway?.lines?.[device.line]?.options || {});
  const [error, setError] = useState({});
  if (!rows.length || !may('manage')) return null;
  const choose = async (name, text) => {
    const value = text === '' ? null : text === 'true' ? true : text === 'false' ? false : text;
    try {
      await patch(`v1/devices/${device.id}`, { options: { [name]: value } });
      setError({});
      tell(t.saved, 'good');
    } catch (problem) { setError({ [name]: problem.message }); }
  };
  const word = (value) => (value === true ? t.yes : value === false ? t.no : value);
  return html`<section class="panel"><header><h2>${t.options}</h2></header>
    ${rows.map(([name, { allowed, about }]) => html`<${Field} key=${name} kind="option" label=${name.replace(/_/g, ' ')} hint=${about} error=${error[name]}>
      ${(shared) => html`<select ...${shared} value=${String(device.options?.[name] ?? '')} onChange=${(event) => choose(name, event.target.value)}><option value="">${t.asConfigured}</option>${allowed.map((value) => html`<option value=${String(value)}>${word(value)}</option>`)}</select>`}<//>`)}
  </section>`;
}

const TOLD = new Set(['command', 'state', 'notification', 'device']);

/** What happened lately: from the log, then live. A command is one row, in its last state. */
function useRecent(device) {
  const loaded = useLoaded(async () => {
    const [epoch, head] = (state.cursor || '').split('.');
    const [, oldest] = (state.gateway?.feed?.oldest || '.0').split('.');
    let after = `${epoch}.${Math.max(Number(oldest) || 0, Number(head) - LOOK_BACK)}`;
    let events = [];
    for (let page = 0; page < 5; page += 1) {
      const answer = await get(`v1/events?limit=1000&device=${device.id}&kind=${[...TOLD].join(',')}&after=${after}`);
      events = [...events, ...answer.events].slice(-200);
      after = answer.cursor;
      if (!answer.more) break;
    }
    events.filter((event) => event.kind === 'command').forEach((event) => takeCommand(event.data));
    return events.reverse();
  }, [device.id]);
  const live = state.events.filter((event) => event.device === device.id && TOLD.has(event.kind));
  const seen = new Set();
  const events = [...live, ...(loaded.value || [])].filter((event) => {
    const key = event.kind === 'command' ? event.data.id : event.id;
    return !seen.has(key) && seen.add(key);
  });
  return { ...loaded, events: events.slice(0, RECENT) };
}

function Recent({ device }) {
  const { events, loading, problem } = useRecent(device);
  return html`<section class="panel"><header><h2>${t.recent}</h2></header>
    ${events.length ? html`<ul class="rows timeline">${events.map((event) => html`<li key=${event.id}><span class="grow">
        ${event.kind === 'command' ? html`<${Life} device=${device} of=${event.data} /><span class="hint">${t.by(event.data.requested_by)}${event.data.attempts > 1 ? ` · ${t.attempts(event.data.attempts)}` : ''}</span>` : t.eventWords(event, device.name)}</span>
        <time datetime=${event.t} title=${dateText(event.t)}>${ago(event.t, now()).includes('days') ? dateText(event.t) : clockText(event.t)}</time></li>`)}</ul>`
    : loading ? html`<${Busy} text=${t.recentBusy} />` : problem ? html`<${Trouble} problem=${problem} />` : html`<p>${t.noRecent}</p>`}</section>`;
}

function Care({ device }) {
  const [asked, setAsked] = useState(null);
  const week = encodeURIComponent(new Date(now() - 7 * 86_400_000).toISOString());
  const row = (title, help, action) => html`<li><span class="grow"><b>${title}</b><br /><span class="hint">${help}</span></span>${action}</li>`;
  return html`<section class="panel"><header><h2>${t.care}</h2></header><ul class="rows">
    ${device.capabilities.includes('identify') && may('switch') && row(t.identify, t.identifyHelp, html`<button disabled=${!state.link.up} onClick=${() => command(device, 'identify', { seconds: 5 }).catch(() => {})}>${t.identify}</button>`)}
    ${row(t.csv, t.csvHelp, html`<a class="button" aria-label=${t.csv} href=${address(`v1/devices/${device.id}/readings?format=csv&from=${week}`)} download=${`${device.id}.csv`}><${Icon} name="down" />CSV</a>`)}
    ${may('manage') && row(t.replace, t.replaceHelp, html`<button onClick=${() => setAsked('replace')}>${t.replace}</button>`)}
    ${may('manage') && row(t.remove, t.removeHelp, html`<button class="danger" onClick=${() => setAsked('remove')}>${t.remove}</button>`)}
  </ul>
  ${asked === 'replace' && html`<${Replace} device=${device} onClose=${() => setAsked(null)} />`}
  ${asked === 'remove' && html`<${Confirm} title=${t.removeTitle(device.name)} text=${t.removeText} go=${t.remove} onClose=${() => setAsked(null)} act=${async () => { await del(`v1/devices/${device.id}`); tell(t.removed(device.name), 'good'); location.hash = '#/'; }} />`}
  </section>`;
}

const About = ({ device }) => html`<section class="panel"><header><h2>${t.about}</h2></header><dl class="facts">
  ${[[t.lineOf, device.line], [t.address, device.address], [t.channel, device.channel], [t.model, device.model], [t.id, device.id], [t.lastSeen, device.last_seen && dateText(device.last_seen)]]
    .filter(([, value]) => value !== null && value !== undefined).map(([label, value]) => html`<dt>${label}</dt><dd>${value}</dd>`)}</dl></section>`;

export function View({ argument }) {
  const { devices } = useStore();
  const device = devices.get(argument);
  if (!device) return html`<a class="quiet-link" href="#/">← ${t.sockets}</a><${Empty} icon="warn" title=${t.unknownSocket}><p>${t.unknownSocketHelp}</p><a class="button" href="#/">${t.toSockets}</a><//>`;
  const group = device.dialect === 'group';
  const relay = device.capabilities.includes('relay');
  return html`<a class="quiet-link" href="#/">← ${t.sockets}</a>
    <div class="head"><${Face} on=${relay ? device.state.relay : device.online !== false} group=${group} /><div><${Title} device=${device} /><p class="sub"><${Note} device=${device} /></p></div>${relay && html`<${Switch} device=${device} large />`}</div>
    ${group ? html`<div class="panels two"><div class="column"><${Group} device=${device} /></div><div class="column"><${Recent} device=${device} /><${About} device=${device} /></div></div>` : html`<div class="panels two">
      <div class="column">${device.capabilities.includes('power') && html`<${PowerPanel} device=${device} />`}${device.capabilities.includes('energy') && html`<${EnergyPanel} device=${device} />`}<${Recent} device=${device} /></div>
      <div class="column"><${Readings} device=${device} /><${Options} device=${device} /><${Care} device=${device} /><${About} device=${device} /></div></div>`}`;
}
