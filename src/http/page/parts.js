// What several views are made of: icons, the switch that shows a command's life, dialogs, states of a view.
import { Component, ago, html, power, useEffect, useRef, useState } from './lib.js';
import { SETTLED, command, lastSwitch, may, now, state, tell } from './store.js';
import { del } from './api.js';
import { Busy, Choice, Copy, Empty, Icon } from './shapes.js';
import { t } from './text.js';

export { Busy, Choice, Copy, Empty, Icon };

/** The face of a socket: filled while its relay is on. */
export const Face = ({ on, group }) => html`<svg class=${`face ${on === true ? 'on' : on === false ? 'off' : 'unknown'}`} viewBox="0 0 36 36" aria-hidden="true">
  <rect class="plate" x="1" y="1" width="34" height="34" rx="11" />
  ${group ? html`<path class="mark" d="M11 11h5.5v5.5H11zM19.5 11H25v5.5h-5.5zM11 19.5h5.5V25H11zM19.5 19.5H25V25h-5.5z" />` : html`<circle class="ring" cx="18" cy="18" r="10" /><circle class="mark" cx="14" cy="18" r="1.9" /><circle class="mark" cx="22" cy="18" r="1.9" />`}
</svg>`;

export function Power({ w, big }) {
  const [figure, unit] = power(w) || ['–', ''];
  return html`<span class=${`power ${big ? 'big' : ''} ${w < 0 ? 'export' : ''}`}>${figure}<small>${unit && ` ${unit}`}</small></span>`;
}

/** How far a command has come, as three steps. */
export function Steps({ of }) {
  const reached = { accepted: 1, queued: 1, sent: 2, acknowledged: 2, confirmed: 3 }[of.state];
  return html`<span class=${`steps ${reached ? '' : 'broken'} ${SETTLED.has(of.state) ? '' : 'running'}`} aria-hidden="true">
    ${[1, 2, 3].map((step) => html`<i class=${(reached || 2) >= step ? 'reached' : ''} />`)}
  </span>`;
}

const dismissed = new Set();
const SHOWN_MS = 8000;
/** The command whose life is worth showing beside a switch: one that runs, has just ended, or failed and was not seen. */
export function living(device) {
  const of = lastSwitch(device.id);
  if (!of) return null;
  if (!SETTLED.has(of.state)) return of;
  const ended = Date.parse(of.times?.[of.state] || of.created_at);
  const age = now() - ended;
  if (of.state === 'confirmed' || of.state === 'superseded' || of.state === 'cancelled') return age < SHOWN_MS ? of : null;
  return age < 600_000 && !dismissed.has(of.id) ? of : null;
}

export function Life({ device, of }) {
  const members = of.members?.length ? ` (${t.membersOf(of.members.filter((one) => one.state === 'confirmed').length, of.members.length)})` : '';
  const bad = ['failed', 'expired'].includes(of.state);
  return html`<span class=${`life ${of.state} ${bad ? 'bad' : ''}`} data-state=${of.state}>
    <${Steps} of=${of} /> <span>${t.life(of)}${members}</span>
    ${bad && html` <button class="link" onClick=${() => { dismissed.add(of.id); tell(t.dismiss); }} aria-label=${`${t.dismiss}: ${device.name}`}>${t.dismiss}</button>`}
    ${['accepted', 'queued'].includes(of.state) && html` <button class="link" onClick=${() => del(`v1/commands/${of.id}`).catch((problem) => tell(problem.message, 'bad'))}>${t.takeBack}</button>`}
  </span>`;
}

/** On and off. The knob moves when the line has said so; until then it shows that something is on its way. */
export function Switch({ device, large }) {
  const of = lastSwitch(device.id);
  const running = of && !SETTLED.has(of.state);
  const heard = device.state.relay;
  const denied = !may('switch') ? t.notAllowed : !state.link.up ? t.noWhileLost : null;
  const go = (on) => () => { if (!denied) command(device, 'switch', { on }).catch(() => {}); };
  const marks = { 'aria-disabled': denied ? 'true' : undefined, title: denied || undefined };
  if (heard === null || heard === undefined) {
    return html`<span class=${`either ${large ? 'large' : ''}`} role="group" aria-label=${t.switchOf(device.name)}>
      <button ...${marks} onClick=${go(true)} aria-label=${t.turnOn(device.name)}>${t.on}</button>
      <button ...${marks} onClick=${go(false)} aria-label=${t.turnOff(device.name)}>${t.off}</button>
    </span>`;
  }
  return html`<button class=${`switch ${large ? 'large' : ''} ${running ? 'running' : ''} ${running && of.args.on !== heard ? 'wanted' : ''}`} role="switch"
    aria-checked=${String(heard)} aria-label=${t.switchOf(device.name)} aria-busy=${running ? 'true' : undefined} ...${marks} onClick=${go(!heard)}><i /></button>`;
}

/** One line under a name: what a person wants to know first. */
export function Note({ device }) {
  const of = living(device);
  if (of) return html`<${Life} device=${device} of=${of} />`;
  if (device.online === false) return html`<span class="life bad"><${Icon} name="warn" /> <span>${t.unreachableSocket}, ${t.lastHeard(ago(device.last_seen, now()))}</span></span>`;
  const relay = device.state.relay;
  if (device.members) return html`<span class="life quiet">${t.membersOn(device.members.filter((id) => state.devices.get(id)?.state.relay).length, device.members.length)}</span>`;
  const words = device.capabilities.includes('relay') ? (relay === null ? t.unknownState : relay ? t.on : t.off) : null;
  return html`<span class="life quiet">${[words, device.last_seen && ago(device.last_seen, now())].filter(Boolean).join(' · ') || t.notHeard}</span>`;
}

/** What stands in place of something that was not to be had. */
export function Trouble({ problem, again, absent, help }) {
  if (problem.absent) return absent ? html`<${Empty} icon="line" title=${absent}><p>${help}</p><//>` : html`<p>${t.absent}</p>`;
  if (problem.status === 403) return html`<${Empty} icon="warn" title=${t.denied} />`;
  return html`<${Empty} icon="warn" title=${problem.message}>${again && html`<button onClick=${again}>${t.retry}</button>`}<//>`;
}

export function Dialog({ title, onClose, children, wide }) {
  const box = useRef(null);
  useEffect(() => {
    const dialog = box.current;
    const before = document.activeElement;
    dialog.showModal();
    // Closed first: behind an open one nothing can take the focus back.
    return () => { dialog.close(); before?.focus?.(); };
  }, []);
  return html`<dialog ref=${box} class=${wide ? 'wide' : ''} aria-label=${title} onCancel=${(event) => { event.preventDefault(); onClose(); }}
    onClick=${(event) => { if (event.target === box.current) onClose(); }}>
    <div class="sheet"><header><h2>${title}</h2><button class="round" onClick=${onClose} aria-label=${t.close}><${Icon} name="cross" /></button></header>${children}</div>
  </dialog>`;
}

/** A question before something that cannot be taken back. */
export function Confirm({ title, text, go, danger = true, onClose, act }) {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState(null);
  const run = async () => {
    setBusy(true);
    try { await act(); onClose(); } catch (error) { setProblem(error); setBusy(false); }
  };
  return html`<${Dialog} title=${title} onClose=${onClose}><p>${text}</p>${problem && html`<p class="error" role="alert">${problem.message}</p>`}
    <footer><button onClick=${onClose}>${t.cancel}</button><button class=${danger ? 'danger' : 'primary'} disabled=${busy} onClick=${run}>${go}</button></footer><//>`;
}

let fields = 0;
/** A labelled input with its hint and its error tied to it. */
export function Field({ label, hint, error, kind = '', children, ...rest }) {
  const id = useRef(null);
  id.current ||= `f${++fields}`;
  const about = [hint && `${id.current}h`, error && `${id.current}e`].filter(Boolean).join(' ') || undefined;
  const shared = { id: id.current, 'aria-describedby': about, 'aria-invalid': error ? 'true' : undefined };
  return html`<div class=${`field ${kind}`}><label for=${id.current}>${label}</label>
    ${children ? children(shared) : html`<input ...${shared} ...${rest} />`}
    ${hint && html`<p class="hint" id=${`${id.current}h`}>${hint}</p>`}${error && html`<p class="error" id=${`${id.current}e`} role="alert">${error}</p>`}</div>`;
}

/** Drawn again only when one of its properties is another one. */
export class Still extends Component {
  shouldComponentUpdate(next) {
    const keys = Object.keys({ ...this.props, ...next }).filter((key) => key !== 'children');
    return keys.some((key) => this.props[key] !== next[key]);
  }

  render({ draw, ...rest }) { return draw(rest); }
}

