// The two charts of a socket: power over time (uPlot, fetched with the first chart) and energy per day (drawn here).
import { address } from './api.js';
import { clockText, colour, dateText, energy, html, powerText, useEffect, useRef } from './lib.js';
import { t } from './text.js';

let library = null;
function uPlot() {
  library ||= new Promise((resolve, reject) => {
    const style = Object.assign(document.createElement('link'), { rel: 'stylesheet', href: address('ui/vendor/uPlot.css') });
    const script = Object.assign(document.createElement('script'), { src: address('ui/vendor/uPlot.js') });
    script.onload = () => resolve(window.uPlot);
    script.onerror = () => { library = null; reject(new Error(t.noAnswer)); };
    document.head.append(style, script);
  });
  return library;
}

const HEIGHT = 230;
const day = new Intl.DateTimeFormat('en-GB', { weekday: 'short', day: 'numeric' });
const hour = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' });

function options(Plot, width, readout, long) {
  const ink = colour('soft'); const edge = colour('edge'); const green = colour('green');
  const axis = { stroke: ink, grid: { stroke: edge, width: 1 }, ticks: { show: false }, font: '12px system-ui, sans-serif' };
  const label = (s, step) => { const at = new Date(s * 1000); return long && at.getHours() === 0 ? day.format(at) : (step < 60 ? clockText : hour.format)(at); };
  return {
    width, height: HEIGHT, padding: [8, 24, 0, 0], legend: { show: false }, cursor: { y: false, points: { size: 8, fill: green } },
    scales: { y: { range: (_, low, high) => [Math.min(0, low * 1.1), Math.max(high * 1.12, 10)] } },
    axes: [
      { ...axis, size: 28, grid: { show: false }, values: (_, splits, axis, space, step) => splits.map((s) => label(s, step)), space: 72 },
      { ...axis, size: 58, values: (_, splits) => splits.map(powerText), space: 44 },
    ],
    series: [{}, {
      stroke: green, width: 1.8, points: { show: false }, spanGaps: false,
      fill: (plot) => {
        const wash = plot.ctx.createLinearGradient(0, plot.bbox.top, 0, plot.bbox.top + plot.bbox.height);
        const [r, g, b] = green.match(/[\d.]+/g);
        wash.addColorStop(0, `rgba(${r},${g},${b},.28)`);
        wash.addColorStop(1, `rgba(${r},${g},${b},.02)`);
        return wash;
      },
    }],
    hooks: { setCursor: [(plot) => {
      const at = plot.cursor.idx;
      const w = at === null || at === undefined ? null : plot.data[1][at];
      readout.textContent = w === null || w === undefined ? '' : `${dateText(plot.data[0][at] * 1000)} · ${powerText(w)}`;
    }] },
  };
}

/** `points`: [[unix seconds], [W or null]]. */
export function PowerChart({ points, words, long }) {
  const place = useRef(null);
  const readout = useRef(null);
  const plot = useRef(null);
  useEffect(() => {
    let gone = false;
    let Plot = null;
    const draw = () => {
      if (gone || !Plot || !place.current) return;
      plot.current?.destroy();
      plot.current = new Plot(options(Plot, place.current.clientWidth, readout.current, long), points, place.current);
    };
    uPlot().then((loaded) => { Plot = loaded; draw(); }, () => {});
    const size = new ResizeObserver(() => plot.current?.setSize({ width: place.current.clientWidth, height: HEIGHT }));
    size.observe(place.current);
    const scheme = matchMedia('(prefers-color-scheme: dark)');
    addEventListener('theme', draw);
    scheme.addEventListener('change', draw);
    return () => {
      gone = true;
      size.disconnect();
      removeEventListener('theme', draw);
      scheme.removeEventListener('change', draw);
      plot.current?.destroy();
      plot.current = null;
    };
  }, [long]);
  useEffect(() => { plot.current?.setData(points); }, [points]);
  return html`<div class="chart"><div class="plot" role="img" aria-label=${words} ref=${place} /><p class="readout" aria-hidden="true" ref=${readout} /></div>`;
}

const BAR = { width: 20, gap: 6, height: 120 };
const weekday = new Intl.DateTimeFormat('en-GB', { weekday: 'short', day: 'numeric', month: 'short', timeZone: 'UTC' });

const DAYS_LEAST = 14;
const DAYS_MOST = 400; // what the gateway keeps
/** Every day up to the last one told, at least so many: days of which nothing is known are left out by the gateway. */
function padded(told, least) {
  const known = new Map(told.map((one) => [one.date, one]));
  const at = new Date(`${told.at(-1).date}T00:00:00Z`);
  const all = [];
  while (all.length < least || (known.size && all.length < DAYS_MOST)) {
    const date = at.toISOString().slice(0, 10);
    all.unshift(known.get(date) || { date, none: true });
    known.delete(date);
    at.setUTCDate(at.getUTCDate() - 1);
  }
  return all;
}

/** A bar for each day; the table behind it is for screen readers. */
export function EnergyBars({ days: all }) {
  const days = padded(all, DAYS_LEAST).slice(innerWidth < 560 ? -DAYS_LEAST : 0);
  const most = Math.max(...days.map((one) => one.energy_kwh || 0), 0.001);
  const width = days.length * (BAR.width + BAR.gap);
  const name = (one) => weekday.format(new Date(`${one.date}T00:00:00Z`));
  const words = (one) => `${name(one)}: ${one.none ? t.noReading : `${energy(one.energy_kwh || 0)} kWh`}${one.energy_export_kwh ? `, ${energy(one.energy_export_kwh)} kWh ${t.exported}` : ''}${one.partial ? `, ${t.partial}` : one.estimated ? `, ${t.estimated}` : ''}`;
  return html`<figure class="bars">
    <svg viewBox=${`0 0 ${width} ${BAR.height + 20}`} aria-hidden="true" preserveAspectRatio="xMinYMax meet">
      ${days.map((one, index) => {
    const high = Math.max(one.none ? 4 : 2, ((one.energy_kwh || 0) / most) * BAR.height);
    const x = index * (BAR.width + BAR.gap) + BAR.gap / 2;
    const last = index === days.length - 1;
    return html`<g class=${`${one.none ? 'none' : ''} ${last ? 'last' : ''}`}><title>${words(one)}</title>
        <rect class="hit" x=${x - BAR.gap / 2} y="0" width=${BAR.width + BAR.gap} height=${BAR.height} />
        <rect class="bar-of" x=${x} y=${BAR.height - high} width=${BAR.width} height=${high} rx="5" />
        ${((days.length - 1 - index) % 7 === 0) && html`<text x=${x + BAR.width / 2} y=${BAR.height + 15} text-anchor="middle">${one.date.slice(8)}.</text>`}</g>`;
  })}
    </svg>
    <div class="sr"><table><caption>${t.energyDays}</caption><thead><tr><th>${t.day}</th><th>${t.energyUsed}</th></tr></thead>
      <tbody>${days.filter((one) => !one.none).map((one) => html`<tr><td>${name(one)}</td><td>${words(one).split(': ')[1]}</td></tr>`)}</tbody></table></div>
  </figure>`;
}
