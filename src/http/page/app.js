// The frame around the views: navigation, the state of the connection, signing in. Views beside the first come when asked for.
import { Component, html, link, render, useEffect, useRef, useRoute, useState, useTick } from './lib.js';
import { connect, login, start, state, useStore } from './store.js';
import { Busy, Empty, Field, Icon } from './parts.js';
import { Sockets } from './sockets.js';
import { t } from './text.js';

const NAVIGATION = ['sockets', 'join', 'line', 'events', 'settings'];
const LATER = {
  socket: () => import('./socket.js'), group: () => import('./group.js'), join: () => import('./join.js'),
  line: () => import('./line.js'), events: () => import('./events.js'), settings: () => import('./settings.js'),
};

/** Shows a view whose code comes first. */
class Later extends Component {
  constructor(props) {
    super(props);
    this.state = {};
    LATER[props.name]().then(({ View }) => this.setState({ View }), (problem) => this.setState({ problem }));
  }

  render({ argument }, { View, problem }) {
    if (problem) return html`<${Empty} icon="warn" title=${t.noAnswer}><button onClick=${() => location.reload()}>${t.retry}</button><//>`;
    return View ? html`<${View} argument=${argument} />` : html`<${Busy} text=${t.starting} />`;
  }
}

const THEME = 'plugline-theme';
const dark = () => {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
};
function ThemeButton() {
  const [, turn] = useState(0);
  const flip = () => {
    const next = dark() ? 'light' : 'dark';
    document.documentElement.dataset.theme = next;
    try { localStorage.setItem(THEME, next); } catch { /* it holds until the page is closed */ }
    dispatchEvent(new Event('theme'));
    turn((n) => n + 1);
  };
  const label = dark() ? t.toLight : t.toDark;
  return html`<button class="round theme" onClick=${flip} aria-label=${label} title=${label}><${Icon} name=${dark() ? 'sun' : 'moon'} /></button>`;
}

const Navigation = ({ here }) => html`<nav class="bar" aria-label=${t.main}>
  <a class="brand" href="#/" aria-label=${t.product}><img src="ui/icon.svg" alt="" width="30" height="30" /><span>${t.product}</span></a>
  <ul>${NAVIGATION.map((name) => html`<li><a href=${name === 'sockets' ? '#/' : link(name)} aria-current=${here === name ? 'page' : undefined}><${Icon} name=${name} /><span>${t[name]}</span></a></li>`)}</ul>
  <${ThemeButton} />
</nav>`;

function Banner({ link: { up, lostAt, retryAt, back } }) {
  useTick(500, !up);
  const left = Math.max(0, Math.ceil((retryAt - Date.now()) / 1000));
  return html`<div class="banner-place" role="status">
    ${!up && lostAt && html`<div class="banner lost"><${Icon} name="warn" /><p><strong>${t.lost}</strong> ${t.lostHelp} <span aria-hidden="true">${left > 0 ? t.tryingIn(left) : t.trying}</span></p><button onClick=${() => connect()}>${t.tryNow}</button></div>`}
    ${up && back && html`<div class="banner back"><${Icon} name="check" /><p>${t.backAgain}</p></div>`}
  </div>`;
}

const Toasts = ({ toasts }) => html`<div class="toasts" role="status" aria-live="polite">${toasts.map((toast) => html`<p key=${toast.id} class=${`toast ${toast.kind}`}>${toast.text}</p>`)}</div>`;

function Login() {
  const [token, setToken] = useState('');
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(null);
  const go = async (event) => {
    event.preventDefault();
    const text = token.trim();
    if (!/^plg[ua]_[0-9A-Za-z]+$/.test(text)) return setError(t.loginForm);
    setBusy(true);
    try { await login(text); } catch (problem) { setError(problem.status === 401 || problem.status === 422 ? t.loginWrong : problem.message); }
    setBusy(false);
    return undefined;
  };
  return html`<main class="login" id="main" tabindex="-1"><form onSubmit=${go}>
    <img src="ui/icon.svg" alt="" width="52" height="52" /><h1>${t.product}</h1><p>${t.loginHelp}</p>
    <${Field} label=${t.token} hint=${t.tokenHint} error=${error} type="password" autocomplete="current-password" autofocus spellcheck="false" value=${token} onInput=${(event) => { setToken(event.target.value); setError(null); }} />
    <button class="primary" disabled=${busy}>${busy ? t.loginBusy : t.loginGo}</button>
  </form></main>`;
}

function View({ route: [name, argument] }) {
  if (!name || name === 'sockets') return html`<${Sockets} />`;
  if (!LATER[name]) return html`<h1>${t.notFound}</h1><a class="button" href="#/">${t.toSockets}</a>`;
  return html`<${Later} key=${`${name}/${argument}`} name=${name} argument=${argument} />`;
}

function App() {
  const { phase, link: connection, toasts } = useStore();
  const route = useRoute();
  const main = useRef(null);
  const arrived = useRef(false);
  useEffect(() => {
    // Whoever came by a link is at the top of the new view, with eyes and with a reader.
    if (arrived.current) { main.current?.focus({ preventScroll: true }); scrollTo(0, 0); }
    arrived.current = true;
    document.title = route[0] && t[route[0]] ? `${t[route[0]]} · ${t.product}` : t.product;
  }, [route.join('/')]);
  if (phase === 'login') return html`<${Login} /><${Toasts} toasts=${toasts} />`;
  const here = route[0] === 'socket' || route[0] === 'group' || !route[0] ? 'sockets' : route[0];
  return html`<button class="skip" onClick=${() => main.current.focus()}>${t.skip}</button>
    <${Navigation} here=${here} />
    <div class=${`page ${connection.up || phase !== 'live' ? '' : 'stale'}`}>
      ${phase === 'live' && html`<${Banner} link=${connection} />`}
      <main id="main" tabindex="-1" ref=${main}>
        ${phase === 'live' ? html`<${View} route=${route} />` : phase === 'unreachable' ? html`<h1>${t.product}</h1><${Empty} icon="warn" title=${t.unreachable}><p>${t.unreachableHelp}</p><button onClick=${() => connect()}>${t.tryNow}</button><//>` : html`<${Busy} text=${t.starting} />`}
      </main>
    </div><${Toasts} toasts=${toasts} />`;
}

state.phase = 'starting';
const place = document.getElementById('app');
place.textContent = '';
render(html`<${App} />`, place);
start();
