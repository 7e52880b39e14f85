// A simulated house, a browser in front of it, and proxies between them. Everything waits for conditions; nothing sleeps.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

export const ROOT = resolve(import.meta.dirname ?? new URL('.', import.meta.url).pathname, '../..');
const require = createRequire(join(process.env.PAGE_MODULES || join(ROOT, 'target/page'), 'package.json'));
const { chromium } = require('playwright-core');
export const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
export const qr = () => import(require.resolve('qr'));
const BINARY = process.env.PLUGLINE || join(ROOT, 'target/debug/plugline');

/** How long anything may take that a person would wait for. */
export const PATIENCE_MS = 20_000;

const atEnd = [];
export async function end() {
  for (const undo of atEnd.splice(0).reverse()) await undo();
}

/** A module of the page, as the browser runs it. */
export const pageModule = (name) => import(`data:text/javascript;base64,${readFileSync(join(ROOT, 'src/http/page', name)).toString('base64')}`);

let routes = null;
/** A 404 of an endpoint that this gateway does not list: the page says so in words, and the browser tells of it all the same. */
const absent = (text, url) => text.includes('404') && url && !routes.some((route) => route.test(new URL(url).pathname));

export class House {
  /** A demo with its own state folder and any free ports. */
  static async start(...more) {
    const house = new House();
    house.more = more;
    house.state = more.includes('--speed') ? null : mkdtempSync(join(tmpdir(), 'plugline-page-'));
    await house.run('127.0.0.1:0');
    atEnd.push(async () => { await house.kill('SIGINT'); if (house.state) rmSync(house.state, { recursive: true, force: true }); });
    return house;
  }

  async run(listen) {
    const folder = this.state ? ['--state', this.state] : [];
    this.child = spawn(BINARY, ['demo', '--json', '--http', listen, ...folder, ...this.more], { stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, PLUGLINE_LOG: 'warn' } });
    this.gone = new Promise((then) => { this.child.once('exit', then); });
    this.told = '';
    this.child.stderr.on('data', (data) => { this.told += data; });
    const line = await new Promise((then, fail) => {
      let text = '';
      this.child.stdout.on('data', (data) => {
        text += data;
        this.told += data;
        const json = text.split('\n').find((one) => one.startsWith('{') && one.endsWith('}'));
        if (json) then(json);
      });
      this.child.once('exit', (code) => fail(new Error(`the demo ended with ${code}: ${this.told}`)));
    });
    Object.assign(this, JSON.parse(line));
    this.url = `${this.http}/`;
    const list = await (await fetch(this.url)).text();
    routes ||= [...list.matchAll(/^GET +(\S+)/gm)].map(([, path]) => new RegExp(`${path.replace(/\{.+?\}/g, '[^/]+')}$`));
  }

  /** Kills it as a power cut would. */
  async kill(signal = 'SIGKILL') {
    this.child.kill(signal);
    await this.gone;
  }

  again() { return this.run(new URL(this.http).host); }

  /** What hands do in the house. */
  hands(line) { this.child.stdin.write(`${line}\n`); }

  async ask(method, path, body, headers = {}) {
    const answer = await fetch(this.http + path, { method, headers: { ...(body ? { 'Content-Type': 'application/json' } : {}), ...headers }, body: body && JSON.stringify(body) });
    const text = await answer.text();
    return { status: answer.status, body: text && answer.headers.get('content-type')?.includes('json') ? JSON.parse(text) : text };
  }

  async has(path) { return (await this.ask('GET', path)).status !== 404; }

  device(id) { return this.ask('GET', `/v1/devices/${id}`).then(({ body }) => body); }

  /** Waits in the event feed until `fits` holds of the device. */
  async until(id, fits) {
    let cursor = 'now';
    for (const before = Date.now(); Date.now() - before < PATIENCE_MS * 3;) {
      if (fits(await this.device(id))) return;
      cursor = (await this.ask('GET', `/v1/events?after=${cursor}&wait=5`)).body.cursor;
    }
    throw new Error(`${id} never became what was waited for`);
  }
}

/** A proxy below `prefix`, as an ingress is one; `mark` adds the headers that say so. Gives the address of the page behind it. */
export async function proxy(house, prefix, mark = {}) {
  const strayed = [];
  const to = new URL(house.http);
  const server = http.createServer((ask, answer) => {
    if (!ask.url.startsWith(prefix)) {
      strayed.push(ask.url);
      answer.writeHead(404).end();
      return;
    }
    const path = `/${ask.url.slice(prefix.length)}`;
    const on = http.request({ host: to.hostname, port: to.port, method: ask.method, path, headers: { ...ask.headers, ...mark } }, (got) => {
      answer.writeHead(got.statusCode, got.headers);
      answer.flushHeaders();
      got.pipe(answer);
    });
    on.on('error', () => answer.destroy());
    answer.on('close', () => on.destroy());
    ask.pipe(on);
  });
  await new Promise((then) => { server.listen(0, '127.0.0.1', then); });
  atEnd.push(() => { server.closeAllConnections(); return new Promise((then) => { server.close(then); }); });
  return { url: `http://127.0.0.1:${server.address().port}${prefix}`, strayed };
}

let browser = null;
/** A page of a new, empty browser profile. Errors it tells of are kept in `page.errors`. */
export async function visit(url, { size = [1280, 860], dark = false, allow = [] } = {}) {
  browser ||= await chromium.launch({ executablePath: process.env.CHROMIUM || '/usr/bin/chromium', args: ['--no-sandbox', '--disable-dev-shm-usage'] });
  atEnd.push(async () => { await browser?.close(); browser = null; });
  const context = await browser.newContext({ viewport: { width: size[0], height: size[1] }, colorScheme: dark ? 'dark' : 'light', reducedMotion: 'reduce', locale: 'en-GB' });
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage();
  page.errors = [];
  const told = (text) => { if (!allow.some((one) => one.test(text))) page.errors.push(text); };
  page.on('pageerror', (error) => told(String(error.stack)));
  page.on('console', (message) => { if (message.type() === 'error' && !absent(message.text(), message.location().url)) told(`${message.text()} ${message.location().url}`); });
  await page.addInitScript(() => {
    addEventListener('securitypolicyviolation', (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
  });
  await page.goto(url);
  return page;
}

export async function shot(page, name) {
  if (process.env.SHOTS) writeFileSync(join(process.env.SHOTS, `${name}.png`), await page.screenshot({ animations: 'disabled' }));
}
