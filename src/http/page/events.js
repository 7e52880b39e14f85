// The feed as it comes, and the frames on a line as they pass.
import { get, request, stream } from './api.js';
import { clockText, html, link, readingText, save, useEffect, useRef, useState } from './lib.js';
import { Choice, Empty, Icon } from './parts.js';
import { may, state, tell, useStore } from './store.js';
import { t } from './text.js';

const KINDS = ['state', 'command', 'device', 'notification', 'gateway', 'reading'];
const ICONS = { reading: 'line', state: 'sockets', device: 'join', command: 'play', notification: 'warn', gateway: 'settings' };
const SHOWN = 200;
const BEFORE = 400; // events fetched from before the page was opened
const FRAMES_KEPT = 300;
const LISTEN_S = 600;

function Row({ event }) {
  const about = event.device || event.data.device;
  const name = state.devices.get(about)?.name || about;
  const words = event.kind === 'reading' ? `${name}: ${readingText(event.data)}` : t.eventWords(event, name);
  return html`<li class=${`event ${event.kind}`}><details><summary><${Icon} name=${ICONS[event.kind] || 'events'} /><span class="grow">${words}</span><time datetime=${event.t}>${clockText(event.t)}</time></summary>
    <pre aria-label=${t.raw} tabindex="0">${JSON.stringify(event, null, 1)}</pre>${event.device && state.devices.has(event.device) && html`<a class="quiet-link" href=${link('socket', event.device)}>${name}</a>`}</details></li>`;
}

/** What came before the page was opened. */
function useBefore() {
  const [before, setBefore] = useState([]);
  useEffect(() => {
    const first = state.events.at(-1)?.id || state.cursor;
    const [epoch, seq] = first.split('.');
    const oldest = Number((state.gateway?.feed?.oldest || '.0').split('.')[1]) || 0;
    get(`v1/events?limit=${BEFORE}&after=${epoch}.${Math.max(oldest, Number(seq) - BEFORE)}`).then((answer) => setBefore(answer.events.reverse()), () => {});
  }, []);
  return before;
}

function Feed() {
  const { events, devices } = useStore();
  const before = useBefore();
  const [kinds, setKinds] = useState(KINDS.filter((kind) => kind !== 'reading'));
  const [device, setDevice] = useState('');
  const [held, setHeld] = useState(null);
  const seen = new Set();
  const all = [...(held || events), ...before].filter((event) => !seen.has(event.id) && seen.add(event.id));
  const fits = all.filter((event) => kinds.includes(event.kind) && (!device || event.device === device)).slice(0, SHOWN);
  const flip = (kind) => setKinds(kinds.includes(kind) ? kinds.filter((one) => one !== kind) : [...kinds, kind]);
  const news = held ? events.findIndex((event) => event.id === held[0]?.id) : 0;
  return html`<div class="tools"><div class="chips" role="group" aria-label=${t.filter}>${KINDS.map((kind) => html`<button aria-pressed=${String(kinds.includes(kind))} onClick=${() => flip(kind)}>${t.kinds[kind]}</button>`)}</div>
      <select aria-label=${t.ofSocket} value=${device} onChange=${(event) => setDevice(event.target.value)}><option value="">${t.anySocket}</option>${[...devices.values()].sort((a, b) => a.name.localeCompare(b.name)).map((one) => html`<option value=${one.id}>${one.name}</option>`)}</select>
      <button aria-pressed=${String(!!held)} onClick=${() => setHeld(held ? null : events)}><${Icon} name=${held ? 'play' : 'pause'} />${held ? t.resume : t.pause}</button></div>
    ${held && html`<p class="hint" role="status">${t.paused(Math.max(0, news < 0 ? events.length : news))}</p>`}
    ${fits.length ? html`<ul class="panel list">${fits.map((event) => html`<${Row} key=${event.id} event=${event} />`)}</ul>` : html`<${Empty} icon="events" title=${all.length ? t.noEventsFit : t.noEvents} />`}`;
}

const fieldText = (fields) => Object.entries(fields || {}).map(([name, value]) => `${name} ${typeof value === 'object' ? JSON.stringify(value) : value}`).join(' · ');

function Live() {
  const names = Object.keys(useStore().gateway?.lines || {});
  const [line, setLine] = useState(names[0]);
  const [frames, setFrames] = useState([]);
  const [on, setOn] = useState(false);
  const [held, setHeld] = useState(false);
  const [words, setWords] = useState('');
  const [told, setTold] = useState(null);
  const stop = useRef(null);
  const pausing = useRef(false);
  pausing.current = held;
  useEffect(() => () => stop.current?.abort(), []);
  const listen = async () => {
    stop.current = new AbortController();
    setOn(true);
    setTold(null);
    let number = 0;
    try {
      await stream(`v1/lines/${line}/live?seconds=${LISTEN_S}`, (frame) => {
        if (frame.hex === undefined || pausing.current) return;
        number += 1;
        setFrames((old) => [{ ...frame, key: `${frame.t}${number}` }, ...old].slice(0, FRAMES_KEPT));
      }, stop.current.signal);
      setTold(t.liveEnded);
    } catch (problem) {
      if (!stop.current.signal.aborted) setTold(problem.absent ? t.liveNone : problem.message);
    }
    setOn(false);
  };
  const [recording, setRecording] = useState(false);
  const record = async () => {
    setRecording(true);
    try { await save(await request('GET', `v1/lines/${line}/capture?seconds=60`), `${line}.txt`); } catch (problem) { tell(problem.absent ? t.liveNone : problem.message, 'bad'); }
    setRecording(false);
  };
  const shown = frames.filter((frame) => `${frame.kind} ${frame.hex} ${fieldText(frame.fields)}`.toLowerCase().includes(words.toLowerCase()));
  return html`<p class="lead">${t.liveHelp}</p><div class="tools">
      ${names.length > 1 && html`<${Choice} label=${t.joinLine} value=${line} onPick=${(one) => { stop.current?.abort(); setFrames([]); setLine(one); }} options=${names.map((one) => [one, one])} />`}
      <label class="search"><${Icon} name="search" /><input type="search" aria-label=${t.filterFrames} placeholder=${t.filterFrames} value=${words} onInput=${(event) => setWords(event.target.value)} /></label>
      ${on ? html`<button onClick=${() => stop.current.abort()}>${t.liveStop}</button><button aria-pressed=${String(held)} onClick=${() => setHeld(!held)}><${Icon} name=${held ? 'play' : 'pause'} />${held ? t.resume : t.pause}</button>` : html`<button class="primary" disabled=${!may('manage')} onClick=${listen}>${t.liveStart}</button>`}
      <button disabled=${!may('manage') || recording} onClick=${record}>${recording ? html`<i class="spin" />` : html`<${Icon} name="down" />`}${recording ? t.capturing : t.capture}</button></div>
    ${told && html`<p class="hint" role="status">${told}</p>`}
    ${shown.length ? html`<ul class="panel list frames">${shown.map((frame) => html`<li key=${frame.key}><span class=${`way ${frame.way}`}>${frame.way === 'out' ? `→ ${t.frameOut}` : `← ${t.frameIn}`}</span><span class="grow"><b>${frame.kind}</b> <span class="hint">${fieldText(frame.fields)}</span><br /><code>${frame.hex}</code></span><time>${clockText(frame.t)}</time></li>`)}</ul>`
    : on && html`<p class="busy" role="status"><i class="spin" /> ${t.liveWait}</p>`}`;
}

export function View({ argument }) {
  const tab = argument === 'live' ? 'live' : 'feed';
  return html`<div class="head"><div><h1>${t.eventsTitle}</h1></div><${Choice} label=${t.tabs} value=${tab} onPick=${(one) => { location.hash = one === 'live' ? '#/events/live' : '#/events'; }} options=${[['feed', t.feedTab], ['live', t.liveTab]]} /></div>
    ${tab === 'live' ? html`<${Live} />` : html`<${Feed} />`}`;
}
