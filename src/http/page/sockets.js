// All sockets: the house's power, groups, and a card for each.
import { html, link, power, powerText, useEffect, useRef, useState } from './lib.js';
import { lastSwitch, may, now, state, useStore } from './store.js';
import { Choice, Empty, Face, Icon, Note, Power, Still, Switch, living } from './parts.js';
import { t } from './text.js';

const SHARES = 5;
export const isGroup = (device) => device.dialect === 'group';

function House({ devices }) {
  const measuring = devices.filter((device) => device.last_reading?.power_w !== undefined);
  const total = measuring.reduce((sum, device) => sum + device.last_reading.power_w, 0);
  const silent = devices.filter((device) => device.online === false).length;
  const [figure, unit] = power(Math.abs(total));
  const drawing = measuring.filter((device) => device.last_reading.power_w >= 1).sort((a, b) => b.last_reading.power_w - a.last_reading.power_w);
  const drawn = drawing.reduce((sum, device) => sum + device.last_reading.power_w, 0);
  const first = drawing.slice(0, SHARES).map((device) => ({ id: device.id, name: device.name, w: device.last_reading.power_w }));
  const rest = drawn - first.reduce((sum, share) => sum + share.w, 0);
  if (rest >= 1) first.push({ id: '', name: t.others, w: rest });
  return html`<section class="house" aria-label=${total < 0 ? t.houseFeeds : t.houseDraws}>
    <p class="eyebrow">${total < 0 ? t.houseFeeds : t.houseDraws}</p>
    <p class="total" data-testid="total">${figure}<small> ${unit}</small></p>
    <p class="sub">${t.measuring(measuring.length, devices.length)}${silent ? html` · <strong>${t.silent(silent)}</strong>` : ''}</p>
    ${drawn > 0 && html`<div class="shares" aria-hidden="true">${first.map((share, index) => html`<i class=${`s${index}`} style=${{ flexGrow: share.w }} />`)}</div>
    <ul class="legend" aria-label=${t.shares}>${first.map((share, index) => html`<li><i class=${`s${index}`} />${share.id ? html`<a href=${link('socket', share.id)}>${share.name}</a>` : share.name} <b>${powerText(share.w)}</b></li>`)}</ul>`}
  </section>`;
}

/** What the members of a group draw together, as far as they measure. */
function together(group) {
  const measured = group.members.map((id) => state.devices.get(id)?.last_reading?.power_w).filter((w) => w !== undefined);
  return measured.length ? measured.reduce((sum, w) => sum + w, 0) : null;
}

const Card = ({ device, twin }) => html`<li class=${`card socket ${device.state.relay ? 'on' : ''} ${device.online === false ? 'silent' : ''}`} data-id=${device.id}>
  <${Face} on=${device.capabilities.includes('relay') ? device.state.relay : device.online !== false} group=${isGroup(device)} />
  <div class="who"><a class="name" href=${link('socket', device.id)}>${device.name}${twin && html` <em>${device.line}</em>`}</a><${Note} device=${device} /></div>
  <${Power} w=${isGroup(device) ? together(device) : device.online === false ? null : device.last_reading?.power_w} />
  ${device.capabilities.includes('relay') ? html`<${Switch} device=${device} />` : html`<span class="noswitch" />`}
</li>`;

/** A card is drawn again when its device or its command is another one, and as its words grow old. */
const Cards = ({ devices, up, names }) => html`<ul class="cards">${devices.map((device) => html`<${Still} key=${device.id} draw=${Card} device=${device} twin=${names.get(device.name) > 1}
  of=${lastSwitch(device.id)} life=${living(device)} up=${up} age=${Math.floor(now() / 5000)} />`)}</ul>`;

const FILTERS = {
  all: () => true,
  on: (device) => device.state.relay === true,
  off: (device) => device.state.relay === false,
  trouble: (device) => device.online === false || ['failed', 'expired'].includes(living(device)?.state),
};

function useSearchKey(box) {
  useEffect(() => {
    const pressed = (event) => {
      if (event.key !== '/' || /INPUT|TEXTAREA|SELECT/.test(document.activeElement?.tagName)) return;
      event.preventDefault();
      box.current?.focus();
    };
    addEventListener('keydown', pressed);
    return () => removeEventListener('keydown', pressed);
  }, []);
}

export function Sockets() {
  const { devices, link: connection } = useStore();
  const [words, setWords] = useState('');
  const [filter, setFilter] = useState('all');
  const [sort, setSort] = useState('name');
  const box = useRef(null);
  useSearchKey(box);
  const all = [...devices.values()];
  const groups = all.filter(isGroup).sort((a, b) => a.name.localeCompare(b.name));
  const sockets = all.filter((device) => !isGroup(device));
  if (!all.length) {
    return html`<h1>${t.sockets}</h1><${Empty} title=${t.empty}><p>${t.emptyHelp}</p><a class="button primary" href="#/join">${t.emptyGo}</a><//>`;
  }
  const names = new Map();
  all.forEach((device) => names.set(device.name, (names.get(device.name) || 0) + 1));
  const fits = (device) => `${device.name} ${device.id} ${device.address || ''}`.toLowerCase().includes(words.trim().toLowerCase());
  const byName = (a, b) => a.name.localeCompare(b.name, 'en', { numeric: true });
  const watts = (device) => (device.online === false ? -Infinity : device.last_reading?.power_w ?? -1e9);
  const shown = sockets.filter((device) => fits(device) && FILTERS[filter](device)).sort(sort === 'power' ? (a, b) => watts(b) - watts(a) || byName(a, b) : byName);
  const shownGroups = groups.filter((device) => fits(device) && FILTERS[filter](device));
  return html`<h1 class="quiet-title">${t.sockets}</h1>
    <${House} devices=${sockets} />
    <div class="tools">
      <label class="search"><${Icon} name="search" /><input ref=${box} type="search" placeholder=${t.search} aria-label=${t.search} value=${words} onInput=${(event) => setWords(event.target.value)} /></label>
      <${Choice} label=${t.filter} value=${filter} onPick=${setFilter} options=${[['all', t.filterAll], ['on', t.filterOn], ['off', t.filterOff], ['trouble', t.filterTrouble]]} />
      <button class="mild" aria-pressed=${String(sort === 'power')} onClick=${() => setSort(sort === 'power' ? 'name' : 'power')}>${t.sortPower}</button>
    </div>
    ${(shownGroups.length > 0 || (groups.length > 0 && may('manage'))) && html`<h2 class="bar-title">${t.groups}${may('manage') && html`<a class="quiet-link" href="#/group">${t.newGroup}</a>`}</h2><${Cards} devices=${shownGroups} names=${names} up=${connection.up} /><h2 class="bar-title">${t.all}</h2>`}
    ${shown.length ? html`<${Cards} devices=${shown} names=${names} up=${connection.up} />` : html`<${Empty} icon="search" title=${t.noneFit}><button onClick=${() => { setWords(''); setFilter('all'); }}>${t.clearSearch}</button><//>`}
    ${!groups.length && may('manage') && sockets.length > 1 && html`<p class="foot"><a class="quiet-link" href="#/group">${t.newGroup}</a></p>`}`;
}
