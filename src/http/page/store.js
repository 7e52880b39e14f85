// What the page knows: a snapshot kept up to date by one stream of events. Nothing here is guessed: a relay is on when
// the line has said so.
import { useEffect, useReducer } from './vendor/htm-preact.js';
import { Problem, address, del, get, onUnauthorised, post } from './api.js';
import { t } from './text.js';

const KINDS = ['reading', 'state', 'device', 'command', 'notification', 'gateway'];
const EVENTS_KEPT = 500;
const COMMANDS_KEPT = 20;
const SILENCE_MS = 45_000; // no event for this long: ask whether the stream still lives
const RETRY_MS = [1000, 2000, 4000, 8000, 15_000];
export const SETTLED = new Set(['confirmed', 'failed', 'expired', 'superseded', 'cancelled']);

export const state = {
  phase: 'starting', // starting | login | live | unreachable
  link: { up: false, lostAt: null, retryAt: null, back: null },
  session: null, // null: the gateway knows no sessions
  gateway: null,
  devices: new Map(),
  commands: new Map(), // device -> newest first
  events: [], // newest first
  cursor: null,
  offset: 0, // gateway's clock minus ours, ms
  problem: null,
  toasts: [],
};

const listeners = new Set();
let queued = false;
export function changed() {
  if (queued) return;
  queued = true;
  const run = () => { queued = false; listeners.forEach((listener) => listener()); };
  if (document.hidden) setTimeout(run, 100); else requestAnimationFrame(run);
}
export function useStore() {
  const [, turn] = useReducer((n) => n + 1, 0);
  useEffect(() => {
    const listener = () => turn();
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, []);
  return state;
}
// "12 s ago" grows old by itself.
setInterval(changed, 5000);

export const now = () => Date.now() + state.offset;
const scopes = ['read', 'switch', 'manage', 'admin'];
/** Whether whoever is here may do what needs `scope`. */
export const may = (scope) => {
  const have = state.session?.scopes;
  return !have || have.some((one) => scopes.indexOf(one) >= scopes.indexOf(scope));
};

let toastNumber = 0;
/** Says something to eyes and screen readers. */
export function tell(text, kind = 'info') {
  const toast = { id: ++toastNumber, text, kind };
  state.toasts = [...state.toasts.slice(-2), toast];
  setTimeout(() => { state.toasts = state.toasts.filter((one) => one !== toast); changed(); }, kind === 'bad' ? 9000 : 4500);
  changed();
}

// ---- events

const watchers = new Set();
/** Calls `then` with each live event; returns how to stop. */
export const watch = (then) => { watchers.add(then); return () => watchers.delete(then); };
const mine = new Set();

function setDevice(id, change) {
  const old = state.devices.get(id);
  if (old) state.devices.set(id, { ...old, ...change(old) });
}

export function takeCommand(command) {
  const all = state.commands.get(command.device) || [];
  const at = all.findIndex((one) => one.id === command.id);
  if (at >= 0 && all[at].version >= command.version) return;
  const next = at >= 0 ? all.map((one, index) => (index === at ? command : one)) : [command, ...all];
  next.sort((a, b) => (a.created_at < b.created_at ? 1 : -1));
  state.commands.set(command.device, next.slice(0, COMMANDS_KEPT));
  if (mine.has(command.id) && SETTLED.has(command.state)) {
    mine.delete(command.id);
    const name = state.devices.get(command.device)?.name || command.device;
    // Eyes see it at the switch; who listens hears it.
    tell(t.commandEnded(name, command), command.state === 'confirmed' ? 'heard' : 'bad');
  }
  changed();
}

const take = {
  reading(event) {
    if (event.late) return;
    setDevice(event.device, (device) => ({
      last_seen: event.t,
      last_reading: { ...device.last_reading, ...event.data, t: event.t },
    }));
  },
  state(event) {
    const { relay, online } = event.data;
    setDevice(event.device, (device) => ({
      ...(relay === undefined ? {} : { state: { ...device.state, relay }, last_seen: event.t, cause: event.data.cause }),
      ...(online === undefined ? {} : { online, reason: event.data.reason }),
    }));
  },
  device(event) {
    if (event.data.change === 'removed') state.devices.delete(event.device);
    else state.devices.set(event.device, { ...event.data.device });
  },
  command(event) { takeCommand(event.data); },
  notification() {},
  gateway(event) {
    const { event: what, line, reason, address: heard } = event.data;
    const about = state.gateway?.lines?.[line];
    if (about && what === 'line_up') Object.assign(about, { port: true, modem: true, port_error: undefined });
    if (about && what === 'line_down') Object.assign(about, { modem: false, why: reason });
    if (about && what === 'foreign_device' && !about.foreign.includes(heard)) about.foreign.push(heard);
    if (what === 'started') snapshot().catch(() => {});
    else if (what !== 'foreign_device') refreshGateway();
  },
};

function takeEvent(event) {
  state.cursor = event.id;
  heard();
  take[event.kind]?.(event);
  state.events = [event, ...state.events.slice(0, EVENTS_KEPT - 1)];
  watchers.forEach((watcher) => watcher(event));
  changed();
}

let refreshing = false;
function refreshGateway() {
  if (refreshing) return;
  refreshing = true;
  setTimeout(async () => {
    refreshing = false;
    try { state.gateway = await get('v1/gateway'); changed(); } catch { /* the stream tells when it is back */ }
  }, 300);
}

// ---- the stream

let source = null;
let heardAt = 0;
let tries = 0;
let timer = null;
const heard = () => { heardAt = Date.now(); };

async function snapshot() {
  const asked = Date.now();
  const all = await get('v1/snapshot');
  state.offset = Date.parse(all.taken_at) - (asked + Date.now()) / 2;
  state.gateway = all.gateway;
  state.devices = new Map(all.devices.map((device) => [device.id, device]));
  for (const command of all.commands) takeCommand(command);
  state.cursor = all.cursor;
  changed();
}

/** Takes what was missed; throws the Problem that keeps us from it. */
async function catchUp() {
  let count = 0;
  for (;;) {
    let page;
    try {
      const signal = AbortSignal.timeout(10_000);
      page = await get(`v1/events?limit=1000&after=${encodeURIComponent(state.cursor)}`, { signal }).catch((error) => {
        throw error instanceof Problem ? error : new Problem(0, { detail: t.noAnswer });
      });
    } catch (error) {
      if (error.status !== 410) throw error;
      await snapshot();
      return count;
    }
    page.events.forEach(takeEvent);
    count += page.events.length;
    state.cursor = page.cursor;
    if (!page.more) return count;
  }
}

function open() {
  source?.close();
  const opened = new EventSource(address(`v1/events?after=${encodeURIComponent(state.cursor)}`), { withCredentials: true });
  source = opened;
  const guarded = (then) => (message) => { if (source === opened) then(message); };
  const parsed = guarded((message) => takeEvent(JSON.parse(message.data)));
  KINDS.forEach((kind) => opened.addEventListener(kind, parsed));
  opened.addEventListener('hello', guarded(() => { heard(); found(); }));
  opened.addEventListener('reset', guarded(() => { opened.close(); connect(true); }));
  opened.onerror = guarded(() => { opened.close(); source = null; lost(null); });
}

function found() {
  tries = 0;
  const { lostAt } = state.link;
  state.link = { up: true, lostAt: null, retryAt: null, back: lostAt ? Date.now() : null };
  if (lostAt) {
    refreshGateway();
    setTimeout(() => { state.link = { ...state.link, back: null }; changed(); }, 5000);
  }
  changed();
}

function lost(problem) {
  const wait = RETRY_MS[Math.min(tries, RETRY_MS.length - 1)] * (0.8 + Math.random() * 0.4);
  // A stream ends by itself every ten minutes: the first try goes at once, and nobody is alarmed before it failed.
  const first = tries === 0 && !problem;
  tries += 1;
  if (!first) {
    state.link = { ...state.link, up: false, lostAt: state.link.lostAt || Date.now(), retryAt: Date.now() + wait };
    state.problem = problem;
  }
  clearTimeout(timer);
  timer = setTimeout(connect, first ? 50 : wait);
  changed();
}

/** Catches up and opens the stream; tries again for ever. */
export async function connect(afresh = false) {
  clearTimeout(timer);
  try {
    if (afresh === true || !state.cursor) await snapshot();
    else await catchUp();
    state.phase = 'live';
    open();
  } catch (problem) {
    if (problem.status === 401) return;
    if (state.phase === 'starting') state.phase = 'unreachable';
    lost(problem);
  }
}

async function look() {
  if (state.phase !== 'live' || !source || Date.now() - heardAt < SILENCE_MS) return;
  heard();
  try {
    // Something came that the stream has not told: it is dead without having said so.
    if (await catchUp()) open();
  } catch (problem) {
    source?.close();
    source = null;
    lost(problem);
  }
}
setInterval(look, 5000);
addEventListener('online', () => { if (!state.link.up && state.phase === 'live') connect(); });
document.addEventListener('visibilitychange', () => { if (!document.hidden) look(); });

// ---- who is here

onUnauthorised(() => {
  if (state.phase === 'login') return;
  source?.close();
  source = null;
  clearTimeout(timer);
  state.phase = 'login';
  changed();
});

export async function start() {
  try {
    state.session = await get('v1/session');
  } catch (problem) {
    if (problem.status === 401) { state.phase = 'login'; return changed(); }
    // Older gateways know no sessions; one that does not answer is tried again by `connect`.
    state.session = null;
  }
  const session = state.session;
  if (session && !session.open && !session.token && !session.scopes?.length) { state.phase = 'login'; return changed(); }
  await connect(true);
}

export async function login(token) {
  await post('v1/session', { token });
  state.phase = 'starting';
  tries = 0;
  changed();
  await start();
}

export async function logout() {
  await del('v1/session');
  location.reload();
}

// ---- commands

/** Asks for something; what comes of it arrives as events. */
export async function command(device, name, args, body = {}) {
  const id = device.id || device;
  try {
    const accepted = await post(`v1/devices/${id}/commands`, { command: name, ...(args ? { args } : {}), ...body },
      { headers: { 'Idempotency-Key': crypto.randomUUID?.() || `${Date.now()}-${Math.random()}` } });
    mine.add(accepted.id);
    takeCommand(accepted);
    return accepted;
  } catch (problem) {
    tell(t.refused(device.name || id, problem.message), 'bad');
    throw problem;
  }
}
/** The newest command that switches. */
export const lastSwitch = (id) => (state.commands.get(id) || []).find((one) => one.command === 'switch');
