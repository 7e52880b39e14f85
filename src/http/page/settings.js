// The box itself: health in words, MQTT, tokens, who changed what, backup, log. Each panel stands alone: what a gateway or a
// token does not give says so, and the others go on.
import { address, del, get, patch, post, request } from './api.js';
import { ago, dateText, html, save, useEffect, useLoaded, useState } from './lib.js';
import { Busy, Choice, Confirm, Copy, Dialog, Field, Icon, Trouble } from './parts.js';
import { logout, may, now, state, tell, useStore } from './store.js';
import { t } from './text.js';

const LOG_KEPT = 300;
const AUDIT_SHOWN = 100;

const Panel = ({ title, children, actions }) => html`<section class="panel"><header><h2>${title}</h2>${actions}</header>${children}</section>`;
/** A panel of something that is loaded. */
function Loaded({ title, load, children, actions, inputs = [] }) {
  const { value, problem, again } = useLoaded(load, inputs);
  return html`<${Panel} title=${title} actions=${value && actions?.(again)}>${problem ? html`<${Trouble} problem=${problem} again=${again} />` : value ? children(value, again) : html`<${Busy} text=${t.starting} />`}<//>`;
}

function Gateway() {
  const { gateway, session } = useStore();
  const [asked, setAsked] = useState(false);
  const [oldest, latest] = ['oldest', 'latest'].map((end) => Number(gateway.feed[end].split('.')[1]));
  return html`<${Panel} title=${t.gatewayTitle}><dl class="facts"><dt>${t.id}</dt><dd>${gateway.id}</dd><dt>${t.version}</dt><dd>${gateway.version}</dd><dt>${t.startedAt}</dt><dd>${dateText(gateway.started_at)} (${ago(gateway.started_at, now())})</dd><dt>${t.feed}</dt><dd>${t.feedSpan(latest - oldest)}</dd></dl>
    <div class="actions"><a class="button" href=${address('docs')}>${t.apiDocs}</a><a class="button" href=${address('ui/vendor/licences.txt')}>${t.licences}</a>${may('admin') && html`<button onClick=${() => setAsked(true)}>${t.restart}</button>`}${session?.token && html`<button onClick=${logout}>${t.logout}</button>`}</div>
    ${asked && html`<${Restart} onClose=${() => setAsked(false)} />`}<//>`;
}

const Restart = ({ onClose }) => html`<${Confirm} title=${t.restartTitle} text=${t.restartText} go=${t.restart} danger=${false} onClose=${onClose} act=${async () => { await post('v1/restart', {}); tell(t.restarting); }} />`;

function Health() {
  const words = (health) => [
    ...Object.entries(health.parts || {}).filter(([name]) => name !== 'lines').map(([name, good]) => ({ name: t.healthParts[name] || name, good, detail: health.details?.[name] })),
    ...Object.entries(health.parts?.lines || {}).map(([name, line]) => ({ name: t.healthLine(name), good: line.port && line.modem !== false, detail: line.port ? (line.modem === false ? t.modemBad : line.modem ? t.modemGood : t.modemUnknown) : t.portBad(line.port_error || '') })),
  ];
  return html`<${Loaded} title=${t.healthTitle} load=${() => get('healthz')} actions=${(again) => html`<button class="mild" onClick=${again}>${t.refresh}</button>`}>${(health) => html`<p class=${health.status === 'ok' ? 'good' : 'error'}>${health.status === 'ok' ? t.healthGood : t.healthBad}</p>
    <ul class="rows">${words(health).map((part) => html`<li><span class=${part.good ? 'good' : 'error'}><${Icon} name=${part.good ? 'check' : 'warn'} /></span><span class="grow">${part.name} ${part.good ? t.works : t.worksNot}${part.detail && html`<br /><span class="hint">${part.detail}</span>`}</span></li>`)}</ul>`}<//>`;
}

function Lines() {
  const { gateway } = useStore();
  const { value } = useLoaded(() => get('v1/lines').catch(() => null), []);
  const known = new Map((value?.lines || []).map((one) => [one.line, one]));
  const dialect = (name) => known.get(name)?.dialect || [...state.devices.values()].find((device) => device.line === name)?.dialect;
  return html`<${Panel} title=${t.linesTitle}><ul class="rows">${Object.entries(gateway.lines).map(([name, line]) => html`<li><span class="grow"><b>${name}</b>${dialect(name) && dialect(name) !== name && ` · ${dialect(name)}`}<br /><span class="hint">${line.port ? (line.modem === false ? t.modemBad : line.modem ? t.modemGood : t.modemUnknown) : t.portBad(line.port_error || '')} · ${t.lastHeard(ago(line.last_heard, now()))}</span></span><a class="quiet-link" href="#/line" aria-label=${`${t.lineDetails}: ${name}`}>${t.lineDetails}</a></li>`)}</ul><//>`;
}

function Appearance() {
  const [theme, setTheme] = useState(document.documentElement.dataset.theme || 'auto');
  const pick = (name) => {
    if (name === 'auto') delete document.documentElement.dataset.theme; else document.documentElement.dataset.theme = name;
    try { if (name === 'auto') localStorage.removeItem('plugline-theme'); else localStorage.setItem('plugline-theme', name); } catch { /* it holds until the page is closed */ }
    dispatchEvent(new Event('theme'));
    setTheme(name);
  };
  return html`<${Panel} title=${t.themeTitle}><${Choice} label=${t.themeTitle} value=${theme} onPick=${pick} options=${Object.entries(t.themes)} /><//>`;
}

const MQTT = [['broker', t.broker, t.brokerHelp], ['user', t.mqttUser], ['password_file', t.passwordFile], ['base', t.base], ['discovery_prefix', t.prefix]];
function Mqtt({ config, again }) {
  const told = config.values?.mqtt || {};
  const [changed, setChanged] = useState({});
  const [problem, setProblem] = useState(null);
  const [asked, setAsked] = useState(false);
  const store = async (event) => {
    event.preventDefault();
    const wanted = Object.fromEntries(Object.entries(changed).map(([name, value]) => [name, value.trim() || null]));
    try { await patch('v1/config', { mqtt: wanted }); setChanged({}); setProblem(null); tell(t.saved, 'good'); again(); } catch (refused) { setProblem(refused); }
  };
  if (!config.file) return html`<p>${t.noConfigFile}</p>`;
  const fixed = (name) => config.overridden?.[`mqtt.${name}`];
  const at = (name) => problem?.field?.endsWith(name) && problem.message;
  return html`<form onSubmit=${store}>${MQTT.map(([name, label, hint]) => html`<${Field} key=${name} label=${label} hint=${fixed(name) ? t.overridden(fixed(name)) : hint} error=${at(name)} disabled=${!!fixed(name)} value=${changed[name] ?? told[name] ?? ''} autocomplete="off" onInput=${(event) => { setChanged({ ...changed, [name]: event.target.value }); setProblem(null); }} />`)}
    ${problem && !MQTT.some(([name]) => at(name)) && html`<p class="error" role="alert">${problem.message}</p>`}
    <p class="hint">${t.configFile(config.file)}</p><div class="actions"><button class="primary" disabled=${!Object.keys(changed).length}>${t.save}</button></div>
    ${config.restart_needed && html`<div class="banner lost"><p>${t.restartNeeded}</p><button type="button" onClick=${() => setAsked(true)}>${t.restart}</button></div>`}</form>${asked && html`<${Restart} onClose=${() => setAsked(false)} />`}`;
}

function NewToken({ onClose, onMade }) {
  const [form, setForm] = useState({ name: '', scope: 'switch', expires: '0', devices: [] });
  const [made, setMade] = useState(null);
  const [problem, setProblem] = useState(null);
  const set = (name) => (event) => { setForm({ ...form, [name]: event.target.value }); setProblem(null); };
  const make = async (event) => {
    event.preventDefault();
    const { name, scope, expires, devices } = form;
    try {
      setMade(await post('v1/tokens', { name: name.trim(), scope, ...(devices.length ? { devices } : {}), ...(Number(expires) ? { expires_in_s: Number(expires) } : {}) }));
      onMade();
    } catch (refused) { setProblem(refused); }
  };
  if (made) return html`<${Dialog} title=${made.name} onClose=${onClose}><p><b>${t.tokenOnce}</b></p><${Copy} text=${made.token} /><footer><button class="primary" onClick=${onClose}>${t.done}</button></footer><//>`;
  return html`<${Dialog} title=${t.newToken} onClose=${onClose}><form onSubmit=${make}>
    <${Field} label=${t.name} value=${form.name} autofocus maxlength="64" error=${problem?.field === 'name' && problem.message} onInput=${set('name')} />
    <${Field} label=${t.scope}>${(shared) => html`<select ...${shared} value=${form.scope} onChange=${set('scope')}>${Object.entries(t.scopes).map(([key, text]) => html`<option value=${key}>${text}</option>`)}</select>`}<//>
    <${Field} label=${t.onlyFor}>${(shared) => html`<select ...${shared} value=${form.devices[0] || ''} onChange=${(event) => setForm({ ...form, devices: event.target.value ? [event.target.value] : [] })}><option value="">${t.allSockets}</option>${[...state.devices.values()].map((one) => html`<option value=${one.id}>${one.name}</option>`)}</select>`}<//>
    <${Field} label=${t.expires}>${(shared) => html`<select ...${shared} value=${form.expires} onChange=${set('expires')}>${Object.entries(t.expiry).map(([key, text]) => html`<option value=${key}>${text}</option>`)}</select>`}<//>
    ${problem && problem.field !== 'name' && html`<p class="error" role="alert">${problem.message}</p>`}<footer><button type="button" onClick=${onClose}>${t.cancel}</button><button class="primary" disabled=${!form.name.trim()}>${t.makeToken}</button></footer></form><//>`;
}

function Tokens({ tokens, again }) {
  const [asked, setAsked] = useState(null);
  const [shown, setShown] = useState(null);
  const rotate = async (token) => { try { setShown(await post(`v1/tokens/${token.id}/rotate`, {})); again(); } catch (problem) { tell(problem.message, 'bad'); } };
  const about = (token) => [token.scopes.map((scope) => t.scopes[scope] || scope).join(', '), token.devices && token.devices.map((id) => state.devices.get(id)?.name || id).join(', '),
    token.last_used_at ? t.lastUsed(ago(token.last_used_at, now())) : t.neverUsed, token.retires_at ? t.retires(dateText(token.retires_at)) : token.expires_at && t.until(dateText(token.expires_at))].filter(Boolean).join(' · ');
  return html`<p>${t.tokensHelp}</p>${tokens.length ? html`<ul class="rows">${tokens.map((token) => html`<li key=${token.id}><span class="grow"><b>${token.name}</b><br /><span class="hint">${about(token)}</span></span><span class="actions"><button title=${t.rotateHelp} aria-label=${`${t.rotate} ${token.name}`} onClick=${() => rotate(token)}>${t.rotate}</button><button class="danger" aria-label=${`${t.remove} ${token.name}`} onClick=${() => setAsked(token)}>${t.remove}</button></span></li>`)}</ul>` : html`<p>${t.noTokens}</p>`}
    <div class="actions"><button onClick=${() => setAsked('new')}><${Icon} name="join" />${t.newToken}</button></div>
    ${asked === 'new' && html`<${NewToken} onClose=${() => setAsked(null)} onMade=${again} />`}
    ${asked?.id && html`<${Confirm} title=${t.removeToken(asked.name)} text=${t.removeTokenText} go=${t.remove} onClose=${() => setAsked(null)} act=${async () => { await del(`v1/tokens/${asked.id}`); again(); }} />`}
    ${shown && html`<${Dialog} title=${shown.name} onClose=${() => setShown(null)}><p><b>${t.tokenOnce}</b> ${t.rotateHelp}</p><${Copy} text=${shown.token} /><footer><button class="primary" onClick=${() => setShown(null)}>${t.done}</button></footer><//>`}`;
}

const who = (by) => (typeof by === 'string' ? by : by?.name || by?.id || '');
const Audit = ({ entries }) => (entries.length ? html`<div class="tall" tabindex="0" role="region" aria-label=${t.auditTitle}><ul class="rows">${entries.slice(0, AUDIT_SHOWN).map((entry) => html`<li><span class="grow"><b>${who(entry.by)}</b> ${entry.action} ${entry.target ? state.devices.get(entry.target)?.name || entry.target : ''}${entry.outcome && html` <span class="hint">${entry.outcome}</span>`}</span><time datetime=${entry.t}>${dateText(entry.t)}</time></li>`)}</ul></div>` : html`<p>${t.noAudit}</p>`);

function Backup() {
  const [phrase, setPhrase] = useState('');
  const [problem, setProblem] = useState(null);
  const [file, setFile] = useState(null);
  const [whole, setWhole] = useState(false);
  const [asked, setAsked] = useState(false);
  const backup = async (event) => {
    event.preventDefault();
    try {
      const answer = await request('POST', 'v1/backup', { body: phrase ? { passphrase: phrase } : {} });
      await save(answer, `plugline-${state.gateway.id}-${new Date(now()).toISOString().slice(0, 10)}.backup`);
    } catch (refused) { setProblem(refused); }
  };
  const restore = async () => {
    await post('v1/restore', { backup: await file.text(), ...(phrase ? { passphrase: phrase } : {}), ...(whole ? { configuration: true } : {}) });
    tell(t.restored, 'good');
  };
  return html`<${Panel} title=${t.backupTitle}><p>${t.backupHelp}</p><form onSubmit=${backup}>
    <${Field} label=${t.passphraseOptional} type="password" autocomplete="new-password" value=${phrase} onInput=${(event) => { setPhrase(event.target.value); setProblem(null); }} />
    ${problem && html`<p class="error" role="alert">${problem.absent ? t.absent : problem.message}</p>`}<button><${Icon} name="down" />${t.backupGo}</button></form>
    <details><summary>${t.restoreTitle}</summary><p class="hint">${t.restoreHelp}</p><${Field} label=${t.restoreFile} type="file" onChange=${(event) => setFile(event.target.files[0])} /><label class="tick"><input type="checkbox" checked=${whole} onChange=${() => setWhole(!whole)} /><span>${t.restoreWhole}</span></label><button class="danger" disabled=${!file} onClick=${() => setAsked(true)}>${t.restoreGo}</button></details>
    ${asked && html`<${Confirm} title=${t.restoreConfirm} text=${t.restoreHelp} go=${t.restoreGo} onClose=${() => setAsked(false)} act=${restore} />`}<//>`;
}

const LEVELS = ['error', 'warn', 'info', 'debug'];
function Log() {
  const [entries, setEntries] = useState([]);
  const [problem, setProblem] = useState(null);
  const [level, setLevel] = useState('info');
  useEffect(() => {
    const stop = new AbortController();
    (async () => {
      let after = null;
      while (!stop.signal.aborted) {
        try {
          const page = await get(`v1/log?limit=200${after === null ? '' : `&after=${after}&wait=25`}`, { signal: stop.signal });
          setEntries((old) => [...old, ...page.entries].slice(-LOG_KEPT));
          after = page.next;
          setProblem(null);
        } catch (refused) {
          if (stop.signal.aborted) return;
          setProblem(refused);
          if (refused.absent || refused.status === 401 || refused.status === 403) return;
          await new Promise((resolve) => { setTimeout(resolve, 5000); });
        }
      }
    })();
    return () => stop.abort();
  }, []);
  const shown = entries.filter((entry) => LEVELS.indexOf(String(entry.level).toLowerCase()) <= LEVELS.indexOf(level)).slice(-100).reverse();
  return html`<${Panel} title=${t.logTitle} actions=${html`<${Choice} label=${t.levels} value=${level} onPick=${setLevel} options=${LEVELS.slice(0, 3).map((one) => [one, one])} />`}>
    ${problem && !entries.length ? html`<${Trouble} problem=${problem} />` : html`<div class="log" tabindex="0" role="log" aria-label=${t.logTitle}><ol>${shown.map((entry) => html`<li key=${entry.n}><time>${dateText(entry.t)}</time> <b class=${String(entry.level).toLowerCase()}>${entry.level}</b> ${entry.message}</li>`)}${!shown.length && html`<li class="hint">${t.logWait}</li>`}</ol></div>`}<//>`;
}

export function View() {
  const { gateway } = useStore();
  if (!gateway) return html`<h1>${t.settingsTitle}</h1>`;
  const admin = may('admin');
  return html`<div class="head"><div><h1>${t.settingsTitle}</h1></div></div><div class="panels two">
    <div class="column"><${Gateway} /><${Health} />${admin && html`<${Loaded} title=${t.mqttTitle} load=${() => get('v1/config')}>${(config, again) => html`<${Mqtt} config=${config} again=${again} />`}<//>`}${may('manage') && html`<${Log} />`}</div>
    <div class="column"><${Appearance} /><${Lines} />${admin && html`<${Loaded} title=${t.tokensTitle} load=${() => get('v1/tokens')}>${({ tokens }, again) => html`<${Tokens} tokens=${tokens} again=${again} />`}<//>
      <${Loaded} title=${t.auditTitle} load=${() => get(`v1/audit?limit=${AUDIT_SHOWN}`)}>${({ entries }) => html`<${Audit} entries=${entries} />`}<//><${Backup} />`}</div></div>`;
}
