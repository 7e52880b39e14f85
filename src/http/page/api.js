// Asking the gateway. Addresses are relative to the page, so that it works below any prefix. Refusals are Problems.
import { t } from './text.js';

/** A refusal (RFC 9457), or no answer at all (`status` 0). */
export class Problem extends Error {
  constructor(status, body = {}) {
    super(body.detail || body.title || t.answered(status));
    Object.assign(this, { status, title: body.title, field: body.field, allowed: body.allowed, body });
    this.name = String(body.type || '').split('/').pop();
  }

  /** The gateway does not have this at all: it is an older one. */
  get absent() {
    return (this.status === 404 && (this.name === 'not-found' || this.name === '')) || this.status === 405;
  }
}

export const address = (path) => new URL(path, document.baseURI).href;

let whenUnauthorised = () => {};
export const onUnauthorised = (then) => { whenUnauthorised = then; };

async function refusal(answer) {
  let body = {};
  try { body = await answer.json(); } catch { /* a proxy's page, not ours */ }
  if (answer.status === 401) whenUnauthorised();
  return new Problem(answer.status, body);
}

/** The whole answer; throws a Problem unless it is 2xx. */
export async function request(method, path, { body, headers = {}, signal, type } = {}) {
  const init = { method, headers: { ...headers }, signal, cache: 'no-store', credentials: 'same-origin' };
  if (body !== undefined) {
    init.headers['Content-Type'] = type || 'application/json';
    init.body = type ? body : JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(address(path), init);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0, { detail: t.noAnswer });
  }
  if (!answer.ok) throw await refusal(answer);
  return answer;
}

async function ask(method, path, options) {
  const answer = await request(method, path, options);
  return answer.status === 204 ? null : answer.json();
}

export const get = (path, options) => ask('GET', path, options);
export const post = (path, body, options) => ask('POST', path, { body, ...options });
export const patch = (path, body) => ask('PATCH', path, { body });
export const del = (path) => ask('DELETE', path);

/** Server-sent events of a plain fetch: for streams that may be refused with words. */
export async function stream(path, onMessage, signal) {
  const answer = await request('GET', path, { headers: { Accept: 'text/event-stream' }, signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value.replace(/\r/g, '')).split('\n\n');
    rest = blocks.pop();
    for (const block of blocks) {
      const data = block.split('\n').filter((line) => line.startsWith('data:')).map((line) => line.slice(5)).join('\n');
      const kind = /^event: ?(.*)$/m.exec(block)?.[1] || 'message';
      if (data) onMessage(JSON.parse(data), kind);
    }
  }
}
