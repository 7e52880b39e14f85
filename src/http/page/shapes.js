// What any page is made of: icons, states of a view, a text to copy, a row of choices. It knows nothing of sockets.
import { html, useRef, useState } from './lib.js';
import { t } from './text.js';

const PATHS = {
  sockets: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18M8.8 12h.01M15.2 12h.01',
  join: 'M12 5v14M5 12h14',
  line: 'M3 12h3l2.5-6 4 12 3-8 1.6 2H21',
  events: 'M5 6h14M5 12h14M5 18h8',
  settings: 'M4 7h9m5 0h2M4 17h2m5 0h9M15.5 4.5a2.5 2.5 0 1 1 0 5 2.5 2.5 0 0 1 0-5M8.5 14.5a2.5 2.5 0 1 1 0 5 2.5 2.5 0 0 1 0-5',
  back: 'M15 5l-7 7 7 7', pencil: 'M4 20l1-4L16 5l3 3L8 19z', sun: 'M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8M12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.4 1.4M17.6 17.6L19 19M5 19l1.4-1.4M17.6 6.4L19 5',
  moon: 'M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5', search: 'M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14M16 16l4 4', group: 'M4 4h7v7H4zM13 13h7v7h-7zM13 4h7v7h-7zM4 13h7v7H4z',
  warn: 'M12 4l9 16H3zM12 10v4M12 17h.01', check: 'M5 12.5l4.5 4.5L19 7.5', cross: 'M6 6l12 12M18 6L6 18', camera: 'M4 8h3l2-3h6l2 3h3v11H4zM12 10a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7',
  down: 'M12 4v11M7 11l5 5 5-5M5 20h14', pause: 'M9 5v14M15 5v14', play: 'M7 5l12 7-12 7z',
};
export const Icon = ({ name }) => html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><path d=${PATHS[name]} /></svg>`;

export const Empty = ({ icon = 'sockets', title, children }) => html`<div class="empty"><${Icon} name=${icon} /><p class="title">${title}</p>${children}</div>`;
export const Busy = ({ text }) => html`<p class="busy" role="status"><i class="spin" /> ${text}</p>`;

export function Copy({ text }) {
  const [done, setDone] = useState(false);
  const box = useRef(null);
  const copy = async () => {
    try { await navigator.clipboard.writeText(text); } catch { getSelection().selectAllChildren(box.current); document.execCommand('copy'); }
    setDone(true);
  };
  return html`<p class="copy"><code ref=${box}>${text}</code><button onClick=${copy}>${done ? t.copied : t.copy}</button></p>`;
}

/** A row of choices of which one holds. */
export const Choice = ({ label, options, value, onPick }) => html`<div class="choice" role="group" aria-label=${label}>
  ${options.map(([key, text]) => html`<button key=${key} aria-pressed=${String(key === value)} onClick=${() => onPick(key)}>${text}</button>`)}</div>`;
