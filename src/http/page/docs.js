// The API for people: the gateway's own openapi.json, searched and opened piece by piece.
import { html, render, useEffect, useMemo, useRef, useState } from './lib.js';
import { address, get } from './api.js';
import { Fold, Form, Members, marked, words } from './docs-forms.js';
import { Busy, Choice, Copy, Empty, Icon } from './shapes.js';
import { t } from './text.js';

const d = t.docs;
const SCOPES = ['read', 'switch', 'manage', 'admin'];
const METHODS = ['get', 'post', 'patch', 'delete'];
const EVENTS = 'text/event-stream';

/** Each operation as the page shows it, in the order of the document. */
function operations(whole) {
  return Object.entries(whole.paths).flatMap(([path, methods]) => METHODS.filter((method) => methods[method]).map((method) => {
    const told = methods[method];
    const parameters = told.parameters || [];
    const scope = told.security?.[0]?.token?.[0] || '';
    const text = [method, path, told.summary, scope, told.tags, told.operationId, ...parameters.map((one) => one.name)].join(' ').toLowerCase();
    return { ...told, id: told.operationId, method: method.toUpperCase(), path, tag: told.tags[0], parameters, scope, text };
  }));
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** A line for a shell. On the gateway's own machine nobody is asked for a token. */
function curl({ method, path, parameters, scope, requestBody, responses }, asked) {
  const value = (name) => parameters.find((one) => one.name === name)?.example || name;
  const filled = path.slice(1).replace(/\{(\w+)\}/g, (_, name) => value(name));
  const query = parameters.filter((one) => one.in === 'query' && one.required).map(({ name }) => `${name}=${value(name)}`).join('&');
  const body = requestBody?.content['application/json'];
  return ['curl', method !== 'GET' && `-X ${method}`,
    Object.keys(responses[200]?.content || {}).join() === EVENTS && '-N',
    scope && asked && '-H "Authorization: Bearer $TOKEN"',
    body && `-H 'Content-Type: application/json' -d ${quoted(JSON.stringify(body.example))}`,
    quoted(address(query ? `${filled}?${query}` : filled))].filter(Boolean).join(' ');
}

const Parameters = ({ all }) => html`<h3>${d.parameters}</h3><ul class="members">${all.map((one) => html`<li><p><code class="member">${one.name}</code> <${Form} schema=${one.schema} /> <span class="tag">${d.places[one.in]}</span>${one.required && one.in !== 'path' && html` <span class="must">${d.required}</span>`}</p>${one.description && html`<p class="hint">${marked(one.description)}</p>`}</li>`)}</ul>`;

const Body = ({ whole, content: { schema, example } }) => html`<h3>${d.body} <span class="form">${words(schema)}</span></h3>
  <pre tabindex="0" aria-label=${d.example}>${JSON.stringify(example, null, 2)}</pre><${Members} whole=${whole} schema=${schema} />`;

function Answer({ whole, status, told }) {
  const kinds = Object.entries(told.content || {}).filter(([media]) => media !== 'application/problem+json');
  const line = ([media, { schema }]) => html`<p><span class=${`status s${status[0]}`}>${status}</span> ${media === 'application/json' ? html`<span class="form">${words(schema)}</span>` : html`<code>${media}</code> <span class="hint">${schema.description}</span>`}</p>`;
  if (!kinds.length) return html`<li><p><span class=${`status s${status[0]}`}>${status}</span> <span class="hint">${d.noBody}</span></p></li>`;
  return kinds.map((kind) => html`<li>${kind[0] === 'application/json' ? html`<${Fold} kind="nested" summary=${line(kind).props.children}>${() => html`<${Members} whole=${whole} schema=${kind[1].schema} answer=${true} />`}<//>` : line(kind)}</li>`);
}

const Scope = ({ scope }) => html`<span class=${`scope ${scope || 'open'}`}>${scope || d.open}</span>`;

function Operation({ whole, of, asked, open }) {
  const answers = Object.entries(of.responses).filter(([status]) => !status.endsWith('XX'));
  const content = of.requestBody?.content['application/json'];
  const summary = html`<span class=${`method ${of.method.toLowerCase()}`}>${of.method}</span><span class="what"><code>${of.path}</code><span class="hint">${of.summary}</span></span><${Scope} scope=${of.scope} />`;
  return html`<li><${Fold} id=${of.id} kind="operation card" open=${open} summary=${summary}>${() => html`<div class="inside">
    <${Copy} text=${curl(of, asked)} />
    ${of.parameters.length > 0 && html`<${Parameters} all=${of.parameters} />`}
    ${content && html`<${Body} whole=${whole} content=${content} />`}
    <h3>${d.answers}</h3><ul class="members">${answers.map(([status, told]) => html`<${Answer} key=${status} whole=${whole} status=${status} told=${told} />`)}<li><p><span class="status s4">4xx</span> <a class="quiet-link" href="#problems">${d.refused}</a></p></li></ul>
    <p class="hint">${d.permalink} <a href=${`#${of.id}`}>#${of.id}</a></p></div>`}<//></li>`;
}

const Group = ({ tag, all, ...rest }) => html`<section aria-labelledby=${tag.name}><h2 id=${tag.name} tabindex="-1">${tag.name[0].toUpperCase() + tag.name.slice(1)}</h2><p class="hint">${tag.description}</p>
  <ul class="operations">${all.map((of) => html`<${Operation} key=${of.id} of=${of} open=${location.hash === `#${of.id}`} ...${rest} />`)}</ul></section>`;

const Problems = ({ all }) => html`<section aria-labelledby="problems"><h2 id="problems" tabindex="-1">${d.problems}</h2><p class="hint">${marked(d.problemsHelp)}</p>
  <ul class="problems card">${all.map((one) => html`<li key=${one.name}><p><span class=${`status s${String(one.status)[0]}`}>${one.status}</span> <a href=${address(`problems/${one.name}`)}><code>${one.name}</code></a> <b>${one.title}</b></p><p class="hint">${marked(one.about)}</p></li>`)}</ul></section>`;

/** What fits the words and the scope. */
function useSearch(whole) {
  const [text, setText] = useState('');
  const [scope, setScope] = useState('all');
  const all = useMemo(() => operations(whole), [whole]);
  const asked = text.toLowerCase().split(/\s+/).filter(Boolean);
  const has = (hay) => asked.every((word) => hay.includes(word));
  const fits = all.filter((of) => has(of.text) && (scope === 'all' || (of.scope || 'open') === scope));
  const problems = scope === 'all' ? whole['x-problems'].filter((one) => has(Object.values(one).join(' ').toLowerCase())) : [];
  const groups = whole.tags.map((tag) => ({ tag, all: fits.filter((of) => of.tag === tag.name) })).filter((group) => group.all.length);
  return { text, setText, scope, setScope, all, fits, problems, groups };
}

function Tools({ search: { text, setText, scope, setScope, all, fits } }) {
  const box = useRef(null);
  useEffect(() => {
    const key = (event) => {
      if (event.key !== '/' || event.target.closest('input')) return;
      event.preventDefault();
      box.current.focus();
    };
    addEventListener('keydown', key);
    return () => removeEventListener('keydown', key);
  }, []);
  return html`<div class="tools"><label class="search"><${Icon} name="search" /><span class="sr">${d.search}</span><input ref=${box} type="search" placeholder=${d.search} value=${text} onInput=${(event) => setText(event.target.value)} /></label>
    <${Choice} label=${d.scope} options=${[['all', t.filterAll], ['open', d.open], ...SCOPES.map((one) => [one, one])]} value=${scope} onPick=${setScope} /></div>
    <p class="hint found" role="status">${d.found(fits.length, all.length)}</p>`;
}

function Whole({ whole, asked }) {
  const search = useSearch(whole);
  useEffect(() => {
    const go = () => {
      const there = document.getElementById(location.hash.slice(1));
      if (!there) return;
      if (there.tagName === 'DETAILS') there.open = true;
      there.scrollIntoView();
    };
    go();
    addEventListener('hashchange', go);
    return () => removeEventListener('hashchange', go);
  }, []);
  const tags = [...search.groups.map(({ tag }) => tag.name), ...(search.problems.length ? ['problems'] : [])];
  return html`<button class="skip" onClick=${() => document.getElementById('main').focus()}>${t.skip}</button>
    <header class="top"><a class="home" href=${address('.')}><img src="ui/icon.svg" alt="" width="30" height="30" /><span>${t.product}</span></a><a class="quiet-link" href=${address('openapi.json')}>openapi.json</a></header>
    <nav class="tags" aria-label=${d.parts}><ul>${tags.map((name) => html`<li key=${name}><a href=${`#${name}`}>${name}</a></li>`)}</ul></nav>
    <main id="main" tabindex="-1"><h1>${d.title}</h1><p class="lead">${d.lead(whole.info.version)}${asked ? ` ${d.asked}` : ''}</p>
      <${Tools} search=${search} />
      ${search.groups.map(({ tag, all }) => html`<${Group} key=${tag.name} tag=${tag} all=${all} whole=${whole} asked=${asked} />`)}
      ${search.problems.length > 0 && html`<${Problems} all=${search.problems} />`}
      ${tags.length === 0 && html`<${Empty} icon="search" title=${d.noneFit}><button onClick=${() => { search.setText(''); search.setScope('all'); }}>${t.clearSearch}</button><//>`}
    </main>`;
}

function Page() {
  const [told, set] = useState({});
  const load = () => {
    const open = get('v1/session').then((session) => session.open, () => false);
    Promise.all([get('openapi.json'), open]).then(([whole, open]) => set({ whole, asked: !open }), (problem) => set({ problem }));
  };
  useEffect(load, []);
  if (told.whole) return html`<${Whole} ...${told} />`;
  return html`<main id="main"><h1>${d.title}</h1>${told.problem ? html`<${Empty} icon="warn" title=${told.problem.message}><button onClick=${load}>${t.retry}</button><//>` : html`<${Busy} text=${t.starting} />`}</main>`;
}

const place = document.getElementById('app');
place.textContent = '';
render(html`<${Page} />`, place);
