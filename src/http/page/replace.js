// Replacing a socket, step by step: what it means, which one takes its place, a look at both, done.
import { html, useState } from './lib.js';
import { post } from './api.js';
import { Dialog, Field } from './parts.js';
import { checkLabel } from './label.js';
import { state, tell } from './store.js';
import { t } from './text.js';

/** A label holds the address: whoever types the whole code means the socket that it is printed on. */
const addressOf = (text) => { const label = checkLabel(text); return label.good ? label.eui.toLowerCase() : text.trim(); };

export function Replace({ device, onClose }) {
  const [step, setStep] = useState(0);
  const [text, setText] = useState('');
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  const [done, setDone] = useState(false);
  const line = state.gateway?.lines?.[device.line];
  const next = addressOf(text);
  const replace = async () => {
    setBusy(true);
    try {
      await post(`v1/devices/${device.id}/replace`, { address: next });
      tell(t.replaced(device.name), 'good');
      setDone(true);
    } catch (refused) {
      setProblem(refused);
      if (refused.field === 'address') setStep(1);
    }
    setBusy(false);
  };
  const steps = html`<ol class="wizard">${t.replaceSteps.map((name, index) => html`<li class=${index < step || done ? 'past' : ''} aria-current=${index === step && !done ? 'step' : undefined}>${name}</li>`)}</ol>`;
  if (done) {
    const label = line?.joins?.includes('label');
    return html`<${Dialog} title=${t.replaceTitle(device.name)} onClose=${onClose} wide>${steps}<p role="status"><b>${t.replaced(device.name)}.</b></p>${label && html`<p class="hint">${t.replaceLabel}</p>`}
      <footer>${label && html`<a class="button" href="#/join">${t.toJoin}</a>`}<button class="primary" onClick=${onClose}>${t.done}</button></footer><//>`;
  }
  return html`<${Dialog} title=${t.replaceTitle(device.name)} onClose=${onClose} wide>${steps}
    ${step === 0 && html`<ul class="prose">${t.replaceText.map((one) => html`<li>${one}</li>`)}<li><b>${t.replaceUnplug}</b></li></ul><footer><button onClick=${onClose}>${t.cancel}</button><button class="primary" onClick=${() => setStep(1)}>${t.next}</button></footer>`}
    ${step === 1 && html`<form onSubmit=${(event) => { event.preventDefault(); setStep(2); }}>
      ${line?.foreign?.length > 0 && html`<fieldset><legend>${t.heardOnLine}</legend>${line.foreign.slice(0, 8).map((one) => html`<label class="tick"><input type="radio" name="foreign" checked=${next === one} onChange=${() => { setText(one); setProblem(null); }} /><span>${one}</span></label>`)}</fieldset>`}
      <${Field} label=${t.newAddress} hint=${t.newAddressHelp} error=${problem?.message} value=${text} autofocus autocomplete="off" spellcheck="false" onInput=${(event) => { setText(event.target.value); setProblem(null); }} />
      <footer><button type="button" onClick=${() => setStep(0)}>${t.back}</button><button class="primary" disabled=${!next}>${t.next}</button></footer></form>`}
    ${step === 2 && html`<dl class="facts"><dt>${t.name}</dt><dd>${device.name}</dd><dt>${t.id}</dt><dd>${device.id}</dd><dt>${t.replaceOld}</dt><dd>${device.address}</dd><dt>${t.replaceNew}</dt><dd><b>${next}</b></dd></dl>
      ${problem && html`<p class="error" role="alert">${problem.message}</p>`}<footer><button onClick=${() => setStep(1)}>${t.back}</button><button class="primary" disabled=${busy} onClick=${replace}>${t.replaceGo}</button></footer>`}
  <//>`;
}
