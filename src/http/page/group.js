// Groups: making one, its members and what the last command came to for each of them.
import { del, patch, post } from './api.js';
import { html, link, useState } from './lib.js';
import { Confirm, Dialog, Face, Field, Note, Steps, Switch } from './parts.js';
import { isGroup } from './sockets.js';
import { lastSwitch, may, state, tell, useStore } from './store.js';
import { t } from './text.js';

function Members({ chosen, onChange }) {
  const able = [...state.devices.values()].filter((device) => !isGroup(device) && device.capabilities.includes('relay')).sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }));
  const flip = (id) => onChange(chosen.includes(id) ? chosen.filter((one) => one !== id) : [...chosen, id]);
  return html`<fieldset><legend>${t.members}</legend><div class="ticks">${able.map((device) => html`<label class="tick" key=${device.id}><input type="checkbox" checked=${chosen.includes(device.id)} onChange=${() => flip(device.id)} /><span>${device.name}</span><span class="hint">${device.line}</span></label>`)}</div></fieldset>`;
}

/** What a command to the group came to for one member. */
function Outcome({ part }) {
  if (!part) return null;
  // The member's own command is younger than what the group's said of it.
  const of = state.commands.get(part.device)?.find((one) => one.id === part.command) || part;
  const bad = ['failed', 'expired'].includes(of.state);
  return html`<span class=${`life outcome ${of.state} ${bad ? 'bad' : ''}`}><${Steps} of=${of} /> ${bad && of.error ? t.why(of) : t.states[of.state] || of.state}</span>`;
}

export function Group({ device }) {
  const [asked, setAsked] = useState(null);
  const [chosen, setChosen] = useState(device.members || []);
  const last = lastSwitch(device.id);
  const outcome = (member) => last?.members?.find((one) => one.device === member.id);
  const change = async () => { await patch(`v1/groups/${device.id}`, { members: chosen }); tell(t.saved, 'good'); setAsked(null); };
  const members = (device.members || []).map((id) => state.devices.get(id) || { id, name: id, state: {}, capabilities: [], online: false });
  return html`<section class="panel"><header><h2>${t.members}</h2>${may('manage') && html`<button class="mild" onClick=${() => { setChosen(device.members || []); setAsked('members'); }}>${t.changeGroup}</button>`}</header>
    <ul class="rows">${members.map((member) => html`<li key=${member.id}><${Face} on=${member.state.relay} /><span class="grow"><a href=${link('socket', member.id)}>${member.name}</a><br />${outcome(member) ? html`<${Outcome} part=${outcome(member)} />` : html`<${Note} device=${member} />`}</span>
      ${member.capabilities.includes('relay') && html`<${Switch} device=${member} />`}</li>`)}</ul>
    ${may('manage') && html`<div class="actions"><button class="danger" onClick=${() => setAsked('dissolve')}>${t.dissolve}</button></div>`}
    ${asked === 'members' && html`<${Dialog} title=${t.changeGroup} onClose=${() => setAsked(null)}><${Members} chosen=${chosen} onChange=${setChosen} /><footer><button onClick=${() => setAsked(null)}>${t.cancel}</button><button class="primary" disabled=${!chosen.length} onClick=${() => change().catch((problem) => tell(problem.message, 'bad'))}>${t.save}</button></footer><//>`}
    ${asked === 'dissolve' && html`<${Confirm} title=${t.dissolveTitle(device.name)} text=${t.dissolveText} go=${t.dissolve} onClose=${() => setAsked(null)} act=${async () => { await del(`v1/groups/${device.id}`); location.hash = '#/'; }} />`}
  </section>`;
}

/** Making a group. */
export function View() {
  useStore();
  const [name, setName] = useState('');
  const [chosen, setChosen] = useState([]);
  const [problem, setProblem] = useState(null);
  const make = async (event) => {
    event.preventDefault();
    try {
      const made = await post('v1/groups', { name: name.trim(), members: chosen });
      tell(t.groupMade(made.name), 'good');
      location.hash = '#/';
    } catch (refused) { setProblem(refused); }
  };
  return html`<a class="quiet-link" href="#/">← ${t.sockets}</a><div class="head"><div><h1>${t.newGroup}</h1></div></div>
    <form class="panel narrow" onSubmit=${make}>
      <${Field} label=${t.groupName} value=${name} maxlength="64" autofocus error=${problem && (problem.absent ? t.noGroups : problem.message)} onInput=${(event) => { setName(event.target.value); setProblem(null); }} />
      <${Members} chosen=${chosen} onChange=${setChosen} />
      <button class="primary" disabled=${!name.trim() || !chosen.length}>${t.makeGroup}</button></form>`;
}
