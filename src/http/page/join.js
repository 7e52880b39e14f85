// Letting sockets in: the code of a label typed, photographed or seen by the camera; the window and its countdown; what happens.
import { del, get, post } from './api.js';
import { checkLabel } from './label.js';
import { clockText, html, link, useEffect, useRef, useState, useTick } from './lib.js';
import { Choice, Empty, Field, Icon } from './parts.js';
import { may, now, state, tell, useStore, watch } from './store.js';
import { t } from './text.js';

const PHOTO_MAX = 1600; // pixels of the longer side that the decoder looks at
const CAMERA_LOOK_MS = 150;
const NEWS_KEPT = 40;

/** The text of a code in a picture, or null. The decoder is fetched with the first picture. */
async function readCode(canvas) {
  const { decodeQR } = await import('./vendor/qr/decode.js');
  const { width, height } = canvas;
  try { return decodeQR(canvas.getContext('2d', { willReadFrequently: true }).getImageData(0, 0, width, height)); } catch { return null; }
}

function drawn(image, width, height) {
  const scale = Math.min(1, PHOTO_MAX / Math.max(width, height));
  const canvas = Object.assign(document.createElement('canvas'), { width: Math.round(width * scale), height: Math.round(height * scale) });
  const pen = canvas.getContext('2d', { willReadFrequently: true });
  pen.fillStyle = '#fff';
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas;
}

function Camera({ onCode, onEnd }) {
  const video = useRef(null);
  useEffect(() => {
    let media = null;
    let timer = null;
    let gone = false;
    const look = async () => {
      const { videoWidth, videoHeight } = video.current || {};
      const text = videoWidth ? await readCode(drawn(video.current, videoWidth, videoHeight)) : null;
      if (gone) return;
      if (text && onCode(text)) onEnd(null);
      else timer = setTimeout(look, CAMERA_LOOK_MS);
    };
    navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' } }).then((got) => {
      media = got;
      if (gone) return media.getTracks().forEach((track) => track.stop());
      video.current.srcObject = media;
      video.current.play();
      return look();
    }).catch((error) => onEnd(error.name === 'NotFoundError' ? t.cameraNone : t.cameraRefused));
    return () => { gone = true; clearTimeout(timer); media?.getTracks().forEach((track) => track.stop()); };
  }, []);
  return html`<div class="camera"><video ref=${video} muted playsinline aria-label=${t.cameraLook} /><p class="hint">${t.cameraLook}</p></div>`;
}

function Pictures({ onCode }) {
  const [told, setTold] = useState(null);
  const [filming, setFilming] = useState(false);
  const picker = useRef(null);
  const take = (text) => {
    const good = /^\s*PLG1/i.test(text);
    setTold(good ? null : t.otherCode);
    if (good) onCode(text.trim());
    return good;
  };
  const photo = async (event) => {
    const [file] = event.target.files;
    event.target.value = '';
    if (!file) return;
    setTold(t.decoding);
    try {
      const image = await createImageBitmap(file);
      const text = await readCode(drawn(image, image.width, image.height));
      if (text) take(text); else setTold(t.noCode);
    } catch { setTold(t.noCode); }
  };
  const live = window.isSecureContext && navigator.mediaDevices?.getUserMedia;
  return html`<div class="pictures"><div class="actions">
      <button type="button" onClick=${() => picker.current.click()}><${Icon} name="camera" />${t.photo}</button>
      <input ref=${picker} class="sr" type="file" accept="image/*" capture="environment" tabindex="-1" aria-label=${t.photo} onChange=${photo} />
      ${live && html`<button type="button" onClick=${() => { setTold(null); setFilming(!filming); }}>${filming ? t.cameraStop : t.camera}</button>`}</div>
    ${!live && html`<p class="hint">${t.cameraSecure}</p>`}
    ${filming && html`<${Camera} onCode=${take} onEnd=${(why) => { setFilming(false); setTold(why); }} />`}
    ${told && html`<p class="hint" role="status">${told}</p>`}</div>`;
}

function LabelField({ text, onText, refused }) {
  const checked = text.trim() ? checkLabel(text) : null;
  const whole = text.trim().length > 4;
  const { kind } = checked || {};
  const words = kind === 'prefix' ? t.codeErrors.prefix : kind === 'character' ? t.codeErrors.character(checked.at, checked.char) : kind === 'length' ? t.codeErrors.length(checked.part, checked.got, checked.want) : t.codeErrors.check;
  const error = refused || (checked && !checked.good && whole ? words : null);
  return html`<div><${Field} label=${t.code} hint=${t.codeHint} error=${error} class="mono" value=${text} autocomplete="off" autocapitalize="characters" spellcheck="false" placeholder="PLG1:" onInput=${(event) => onText(event.target.value)} />
    ${checked?.good && html`<p class="good" role="status"><${Icon} name="check" /> ${t.codeGood(checked.eui)}</p>`}<${Pictures} onCode=${onText} /></div>`;
}

/** A ring that empties. */
function Countdown({ window: open, onClose }) {
  useTick(500);
  const whole = Date.parse(open.closes_at) - Date.parse(open.opened_at);
  const left = Math.max(0, Date.parse(open.closes_at) - now());
  const round = 2 * Math.PI * 26;
  return html`<div class="countdown" data-testid="window"><svg viewBox="0 0 60 60" aria-hidden="true"><circle class="way" cx="30" cy="30" r="26" /><circle class="left" cx="30" cy="30" r="26" stroke-dasharray=${round} stroke-dashoffset=${round * (1 - left / (whole || 1))} /></svg>
    <p><b>${t.windowOpen}</b>${open.code && ` ${t.windowFor(open.code)}`}<br /><span class="hint" role="timer">${t.windowLeft(Math.ceil(left / 1000))}</span></p><button onClick=${onClose}>${t.closeWindow}</button></div>`;
}

function Opener({ name, about, onOpened }) {
  const byLabel = about.joins.includes('label');
  const byCode = about.joins.includes('code');
  const [text, setText] = useState('');
  const [seconds, setSeconds] = useState(180);
  const [problem, setProblem] = useState(null);
  const label = byLabel ? checkLabel(text) : null;
  const change = (value) => { setText(value); setProblem(null); };
  const open = async (event, body) => {
    event.preventDefault();
    try {
      onOpened(await post('v1/joining', { line: name, seconds, ...body }));
      setText('');
    } catch (refused) { setProblem(refused); }
  };
  const ready = byLabel ? label.good : byCode ? text.trim() !== '' : true;
  const atCode = problem?.field === 'code';
  return html`<form onSubmit=${(event) => open(event, text.trim() ? { code: text.trim() } : {})}>
    ${about.joins.map((way) => html`<p class="hint way">${t.waysHelp[way]}</p>`)}
    ${byLabel && html`<${LabelField} text=${text} onText=${change} refused=${atCode && problem.message} />`}
    ${byCode && html`<${Field} label=${t.codeAddress} hint=${t.codeAddressHint} error=${atCode && problem.message} value=${text} autocomplete="off" spellcheck="false" onInput=${(event) => change(event.target.value)} />`}
    <div class="field"><span class="label">${t.seconds_}</span><div><${Choice} label=${t.seconds_} value=${seconds} onPick=${setSeconds} options=${[60, 180, 600].map((one) => [one, t.openFor[one]])} /></div></div>
    ${problem && !atCode && html`<p class="error" role="alert">${problem.message}</p>`}
    <div class="actions">${(byLabel || byCode) && html`<button class="primary" disabled=${!ready}>${t.letIn}</button>`}
      ${about.joins.some((way) => way === 'button' || way === 'call') ? html`<button type="button" class=${byCode ? '' : 'primary'} onClick=${(event) => open(event, {})}>${t.openWindow}</button>` : ''}</div>
  </form>`;
}

function AddByAddress({ name }) {
  const [address, setAddress] = useState('');
  const [title, setTitle] = useState('');
  const [problem, setProblem] = useState(null);
  const add = async (event) => {
    event.preventDefault();
    try {
      const made = await post('v1/devices', { line: name, address: address.trim(), ...(title.trim() ? { name: title.trim() } : {}) });
      tell(t.added(made.name), 'good');
      location.hash = link('socket', made.id);
    } catch (refused) { setProblem(refused); }
  };
  return html`<details class="panel"><summary>${t.addTitle}</summary><p class="hint">${t.addHelp}</p><form onSubmit=${add}>
    <${Field} label=${t.address} value=${address} error=${problem?.field === 'address' && problem.message} autocomplete="off" onInput=${(event) => { setAddress(event.target.value); setProblem(null); }} />
    <${Field} label=${t.name} value=${title} maxlength="64" error=${problem?.field === 'name' && problem.message} onInput=${(event) => { setTitle(event.target.value); setProblem(null); }} />
    ${problem && !problem.field && html`<p class="error" role="alert">${problem.message}</p>`}<button disabled=${!address.trim()}>${t.addGo}</button></form></details>`;
}

/** An event as a line of the story of joining; null when it is no part of it. */
function news(event) {
  const d = event.data;
  const name = (id) => state.devices.get(id)?.name || id;
  if (event.kind === 'notification') return { text: d.detail, bad: /fail|wrong|twice/.test(d.code) };
  if (event.kind === 'device' && d.change === 'added') return { text: t.added(d.device.name), good: true, id: event.device };
  if (event.kind !== 'gateway') return null;
  if (d.event === 'foreign_device') return { text: t.joinNews.foreign(d.address) };
  if (d.event !== 'joining') return null;
  if (d.state === 'joined') return { text: t.joinNews.joined(name(d.device)), good: true, id: d.device };
  if (d.state === 'failed') return { text: t.joinNews.failed(d.error?.detail || ''), bad: d.error?.code !== 'awaits_code' };
  if (d.state === 'closed') return { text: t.joinNews.closed[d.reason] || t.joinNews.closed.request };
  return { text: t.joinNews.open };
}

function Story({ waiting }) {
  const [all, setAll] = useState([]);
  useEffect(() => watch((event) => {
    const one = news(event);
    if (one) setAll((old) => [{ ...one, key: event.id, at: event.t }, ...old.filter((other) => other.text !== one.text)].slice(0, NEWS_KEPT));
  }), []);
  return html`<section class="panel"><header><h2>${t.happening}</h2></header><div role="log" aria-label=${t.happening}><ul class="rows">
    ${all.map((one) => html`<li key=${one.key} class=${one.good ? 'good' : one.bad ? 'error' : ''}><${Icon} name=${one.good ? 'check' : one.bad ? 'warn' : 'events'} /><span class="grow">${one.text}${one.id && html` · <a href=${link('socket', one.id)}>${t.show}</a>`}</span><time>${clockText(one.at)}</time></li>`)}
    ${!all.length && html`<li><span class="grow hint">${waiting ? t.waiting : t.noRecent}</span></li>`}</ul></div></section>`;
}

export function View() {
  const { gateway } = useStore();
  const lines = Object.entries(gateway?.lines || {});
  const able = lines.filter(([, about]) => about.joins?.length);
  const [picked, setPicked] = useState(null);
  const [windows, setWindows] = useState([]);
  const load = () => get('v1/joining').then((answer) => setWindows(answer.joining), () => {});
  useEffect(() => {
    load();
    return watch((event) => event.kind === 'gateway' && event.data.event === 'joining' && load());
  }, []);
  const byLabel = able.find(([, about]) => about.joins.includes('label'))?.[0];
  const name = picked || windows.find((one) => one.open)?.line || byLabel || able[0]?.[0];
  const about = gateway?.lines?.[name];
  const open = windows.find((one) => one.line === name && one.open && Date.parse(one.closes_at) > now());
  const close = () => del(`v1/joining?line=${name}`).then(load, (problem) => tell(problem.message, 'bad'));
  if (!may('manage')) return html`<h1>${t.joinTitle}</h1><${Empty} icon="warn" title=${t.denied} />`;
  if (!about) return html`<h1>${t.joinTitle}</h1><${Empty} icon="line" title=${t.joinNone}><p>${t.joinNoneHelp}</p><//>`;
  return html`<div class="head"><div><h1>${t.joinTitle}</h1></div></div>
    <div class="panels two"><div class="column"><section class="panel">
      ${lines.length > 1 && html`<div class="field"><span class="label">${t.joinLine}</span><div><${Choice} label=${t.joinLine} value=${name} onPick=${setPicked} options=${lines.map(([one]) => [one, one])} /></div></div>`}
      ${open && html`<${Countdown} window=${open} onClose=${close} />`}
      ${about.joins.length ? html`<${Opener} key=${name} name=${name} about=${about} onOpened=${load} />` : ''}</section>
      <${AddByAddress} key=${`add ${name}`} name=${name} /></div>
    <div class="column"><${Story} waiting=${open} />
      ${about.foreign?.length > 0 && html`<section class="panel"><header><h2>${t.foreign}</h2></header><p>${t.foreignHelp}</p><ul class="rows">${about.foreign.map((one) => html`<li><code class="grow">${one}</code></li>`)}</ul></section>`}</div></div>`;
}
