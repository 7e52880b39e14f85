// Browsers that read the feed by a plain EventSource, while proxies cut their connections at random bytes. CUT_SEED=N draws the
// same cuts again. A head of an answer is let through whole: browsers take half a head for a whole one over plain HTTP, and an
// EventSource that reads no Content-Type in it gives up for good, whoever the server is.
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import net from 'node:net';
import { House, PATIENCE_MS, visit } from './lab.mjs';

const READERS = 18;
const CUTS = 56;
const KINDS = ['reading', 'state', 'device', 'command', 'notification', 'gateway'];
const DESK = 'dlt645_000000004713';
/** What the standard leaves to the browser until it was told: Chromium's choice. */
const RETRY_UNTOLD_MS = 3000;
/** How much later than told a busy machine may come back. */
const LATE_MS = 8000;
/** Clocks of two programs, and timers that are rounded. */
const EARLY_MS = 20;

/** Numbers of [0, 1) that a seed decides (mulberry32). */
function chance(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Where in the stream a cut before the byte at `at` falls. */
function place(bytes, at) {
  if (at < bytes.length && (bytes[at] & 0xc0) === 0x80) return 'char';
  const line = bytes.subarray(bytes.lastIndexOf(10, at - 1) + 1, at).toString('latin1');
  if (/^id: [a-z0-9]+\.\d+$/.test(line) && bytes[at] >= 48 && bytes[at] <= 57) return 'id';
  return line ? 'line' : 'between';
}

/** The first place from `from` on that the plan asks for; -1 while it has not come. */
function found(bytes, { kind, from }) {
  for (let at = from; at <= bytes.length; at += 1) {
    if (kind === 'any' || (at < bytes.length && place(bytes, at) === kind)) return at;
  }
  return -1;
}

/** A proxy that cuts streams, for one reader: browsers open few connections to one address. */
class Cutter {
  constructor(house, random, onCut) {
    Object.assign(this, { house, random, onCut, cuts: [], waits: [], calm: false, told: [RETRY_UNTOLD_MS], last: '', cutAt: null, open: new Set() });
  }

  async start() {
    this.server = net.createServer((near) => this.serve(near));
    await new Promise((then) => { this.server.listen(0, '127.0.0.1', then); });
    return `http://127.0.0.1:${this.server.address().port}`;
  }

  stop() {
    for (const near of this.open) near.destroy();
    this.server.close();
  }

  serve(near) {
    this.open.add(near);
    const end = () => { near.destroy(); far?.destroy(); this.open.delete(near); };
    let far = null;
    let asked = '';
    near.on('error', end).on('close', end).on('data', (data) => {
      if (far) return;
      asked += data.toString('latin1');
      if (!asked.includes('\r\n\r\n')) return;
      const stream = asked.startsWith('GET /v1/events');
      if (stream) this.came(/^last-event-id: (.*)$/im.exec(asked)?.[1] ?? '');
      far = net.connect(new URL(this.house.http).port, '127.0.0.1', () => far.write(asked.replace(/^connection: .*$/im, 'Connection: close'), 'latin1'));
      // A gateway that is away is a cut before the first byte.
      far.on('error', () => { if (stream) this.cutAt = Date.now(); end(); }).on('close', () => { if (stream && this.cutAt === null) this.cutAt = Date.now(); end(); });
      if (stream) this.cutting(near, far, end);
      else far.pipe(near);
    });
  }

  /**
   * The browser came back. One that has got on since it last came has heard how long to wait; otherwise it may have thrown the
   * last bytes away when it saw the end behind them, and have waited as long as it was told before.
   */
  came(last) {
    const sure = last !== this.last;
    if (sure) this.told.splice(0, this.told.length - 1);
    if (this.cutAt !== null) this.waits.push({ waited: Date.now() - this.cutAt, told: [...this.told], sure });
    [this.cutAt, this.last] = [null, last];
  }

  plan() {
    const draw = this.random();
    const kind = draw < 0.2 ? 'id' : draw < 0.4 ? 'char' : 'any';
    return { kind, from: Math.floor(this.random() ** 2 * 6000) };
  }

  cutting(near, far, end) {
    const plan = this.plan();
    let [all, body, sent, told] = [Buffer.alloc(0), -1, 0, false];
    far.on('data', (data) => {
      all = Buffer.concat([all, data]);
      if (body < 0) {
        body = all.indexOf('\r\n\r\n') + 4;
        if (body < 4) { body = -1; return; }
      }
      const stream = all.subarray(body);
      const at = this.calm ? -1 : found(stream, plan);
      const until = at < 0 ? all.length : body + at;
      near.write(all.subarray(sent, until));
      sent = until;
      const retry = told ? null : /retry: (\d+)\n/.exec(stream.subarray(0, until - body).toString('latin1'));
      if (retry) {
        this.told.push(Number(retry[1]));
        told = true;
      }
      if (at < 0) return;
      far.removeAllListeners('data');
      this.cutAt = Date.now();
      this.cuts.push(place(stream, at));
      // What was written goes out before the end, so that the cut is where the plan says.
      near.end(end);
      this.onCut();
    });
  }
}

/** All that the script of the page does: it collects. */
function collect(kinds) {
  const seen = [];
  const source = new EventSource('/v1/events?after=earliest');
  window.feed = { source, seen, hellos: 0, resets: 0, latest: 0 };
  for (const kind of kinds) {
    source.addEventListener(kind, ({ lastEventId, data }) => {
      seen.push([lastEventId, data]);
      window.feed.latest = Number(lastEventId.split('.')[1]);
    });
  }
  source.addEventListener('hello', () => { window.feed.hellos += 1; });
  source.addEventListener('reset', () => { window.feed.resets += 1; });
}

/** Waits for something that must come. */
function within(what, promise) {
  let timer = null;
  const late = new Promise((_, fail) => { timer = setTimeout(() => fail(new Error(`${what} did not come`)), PATIENCE_MS * 3); });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

const number = (id) => Number(id.split('.')[1]);

/** Holds what a reader saw against the log: nothing lost, nothing twice, nothing out of order, and no hole but a declared one. */
function account(seen, log) {
  const declared = seen.map(([, data]) => JSON.parse(data)).filter(({ kind, data }) => kind === 'gateway' && data.event === 'gap').map(({ data }) => [number(data.from), number(data.to)]);
  const excused = (seq) => declared.some(([from, to]) => seq > from && seq <= to);
  let before = 0;
  for (const [id, data] of seen) {
    const seq = number(id);
    assert.ok(seq > before, `${id} came after ${before}`);
    for (let hole = before + 1; hole < seq; hole += 1) assert.ok(excused(hole), `nothing says where ${hole} is`);
    before = seq;
    assert.equal(JSON.parse(data).id, id);
    if (log.has(id)) assert.deepEqual(JSON.parse(data), log.get(id));
    else assert.ok(excused(seq), `${id} is in no log`);
  }
  const have = new Set(seen.map(([id]) => id));
  for (const id of log.keys()) assert.ok(have.has(id), `${id} was lost`);
}

/** The whole log up to an event. */
async function wholeLog(house, latest) {
  const log = new Map();
  for (let cursor = 'earliest', more = true; more;) {
    const { body } = await house.ask('GET', `/v1/events?after=${cursor}&limit=1000`);
    for (const event of body.events) if (number(event.id) <= latest) log.set(event.id, event);
    ({ cursor, more } = body);
  }
  return log;
}

export async function browsersMissNothingWhenTheyAreCut() {
  const seed = Number(process.env.CUT_SEED || randomInt(2 ** 31));
  console.log(`    CUT_SEED=${seed}`);
  const house = await House.start('--sockets', '12');
  let names = 0;
  let cuts = 0;
  let enough = null;
  let half = null;
  const done = new Promise((then) => { enough = then; });
  const halfDone = new Promise((then) => { half = then; });
  const onCut = () => {
    cuts += 1;
    // Something of more than one byte a character, as often as there is a cut.
    names += 1;
    house.ask('PATCH', `/v1/devices/${DESK}`, { name: `Büro ☕🔌 № ${names}` }).catch(() => {});
    if (cuts === CUTS / 2) half();
    if (cuts >= CUTS && cutters.every((one) => one.cuts.length >= 2)) enough();
  };
  const cutters = Array.from({ length: READERS }, (_, index) => new Cutter(house, chance(seed + index), onCut));
  const pages = [];
  try {
    for (const cutter of cutters) {
      const page = await visit(`${await cutter.start()}/livez`, { allow: [/ERR_/] });
      await page.evaluate(collect, KINDS);
      pages.push(page);
    }
    await within('half of the cuts', halfDone);
    await house.kill();
    await house.again();
    await within('all cuts', done);
    cutters.forEach((one) => { one.calm = true; });
    const latest = number((await house.ask('GET', '/v1/snapshot')).body.cursor);
    for (const page of pages) await page.waitForFunction((seq) => window.feed.latest >= seq || window.feed.source.readyState === 2, latest, { timeout: PATIENCE_MS });
    const log = await wholeLog(house, latest);
    const gaps = [...log.values()].filter(({ data }) => data.event === 'gap').length;
    let [last, events, hellos] = [null, 0, 0];
    for (const [index, page] of pages.entries()) {
      const feed = await page.evaluate(() => ({ ...window.feed, source: window.feed.source.readyState }));
      assert.equal(feed.source, 1, `reader ${index} gave up`);
      assert.equal(feed.resets, 0, `reader ${index} was reset`);
      last = feed.seen.filter(([id]) => number(id) <= latest);
      account(last, log);
      events += last.length;
      hellos += feed.hellos;
    }
    const placed = cutters.flatMap((one) => one.cuts);
    const waits = cutters.flatMap((one) => one.waits);
    const count = (kind) => placed.filter((one) => one === kind).length;
    console.log(`    ${placed.length} cuts: ${['id', 'char', 'line', 'between'].map((kind) => `${count(kind)} ${kind}`).join(', ')}; ${waits.length} came back, ${waits.filter(({ sure }) => sure).length} surely told when; ${log.size} events, ${gaps} gap`);
    // Without cuts, or with cuts of one sort alone, it would claim what it has not seen.
    assert.ok(placed.length >= CUTS && cutters.every((one) => one.cuts.length >= 2), `only ${placed.length} cuts`);
    ['id', 'char', 'line'].forEach((kind) => assert.ok(count(kind) > 0, `no cut inside: ${kind}`));
    assert.ok(waits.length >= placed.length && hellos > READERS, `${waits.length} came back, ${hellos} hellos`);
    assert.ok(gaps > 0 && events >= READERS * log.size, `${gaps} gaps, ${events} events`);
    assert.ok(waits.filter(({ sure }) => sure).length >= CUTS / 2, 'too few have surely heard how long to wait');
    for (const { waited, told } of waits) assert.ok(waited >= Math.min(...told) - EARLY_MS && waited <= Math.max(...told) + LATE_MS, `back after ${waited} ms, told ${told} ms`);
    // The account itself would find what may not be.
    const middle = last.findIndex(([, data]) => JSON.parse(data).kind === 'reading');
    assert.throws(() => account(last.toSpliced(middle, 1), log));
    assert.throws(() => account(last.toSpliced(middle, 0, last[middle]), log));
    assert.throws(() => account(last.toSpliced(middle, 2, last[middle + 1], last[middle]), log));
    assert.throws(() => account(last.filter(([, data]) => JSON.parse(data).data.event !== 'gap'), log));
  } finally {
    await Promise.all(pages.map((page) => page.context().close()));
    cutters.forEach((one) => one.stop());
  }
}
