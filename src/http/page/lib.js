// Small things that every view needs: the library, figures and times as people read them, addresses within the page.
import { useEffect, useState } from './vendor/htm-preact.js';
import { t } from './text.js';

export { Component, html, render, useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from './vendor/htm-preact.js';

const number = (digits) => {
  const format = new Intl.NumberFormat('en-GB', { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return (value) => format.format(value).replace('-', '−');
};
const [whole, one, two, three] = [0, 1, 2, 3].map(number);

/** Watts as figure and unit; kilowatts from a thousand on. */
export function power(w) {
  if (w === null || w === undefined) return null;
  const size = Math.abs(w);
  if (size >= 999.5) return [size >= 9995 ? one(w / 1000) : two(w / 1000), 'kW'];
  return [size < 10 && size > 0.05 ? one(w) : whole(w), 'W'];
}
export const powerText = (w) => (power(w) || ['–', 'W']).join(' ');
export const energy = (kwh) => (Math.abs(kwh) >= 100 ? one : Math.abs(kwh) >= 10 ? two : three)(kwh);

/** Every quantity in the order of the contract: field, label, digits, unit. */
export const QUANTITIES = [
  ['power_w', t.power, one, 'W'],
  ['energy_kwh', t.energyTotal, three, 'kWh'],
  ['energy_export_kwh', t.exportTotal, three, 'kWh'],
  ['voltage_v', t.voltage, one, 'V'],
  ['current_a', t.current, three, 'A'],
  ['frequency_hz', t.frequency, two, 'Hz'],
  ['power_factor', t.powerFactor, two, ''],
  ['temperature_c', t.temperature, one, '°C'],
];
export const readings = (reading) => QUANTITIES
  .filter(([field]) => reading?.[field] !== undefined)
  .map(([field, label, format, unit]) => ({ field, label, value: format(reading[field]), unit }));
export const readingText = (data) => readings(data).map(({ value, unit }) => `${value} ${unit}`.trim()).join(' · ');
export const count = (n) => whole(n);

const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const dated = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' });
export const clockText = (time) => clock.format(new Date(time));
export const dateText = (time) => dated.format(new Date(time));
export function span(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return t.seconds(s);
  if (s < 3600) return t.minutes(Math.round(s / 60));
  if (s < 86_400 * 2) return t.hours(Math.round(s / 3600));
  return t.days(Math.round(s / 86_400));
}
export function ago(time, now) {
  if (!time) return t.never;
  const ms = now - Date.parse(time);
  return ms < 5000 ? t.justNow : t.ago(span(ms));
}

/** `#/socket/x` as ['socket', 'x']. */
export function useRoute() {
  const read = () => location.hash.replace(/^#\/?/, '').split('/').map(decodeURIComponent);
  const [route, set] = useState(read);
  useEffect(() => {
    const moved = () => set(read());
    addEventListener('hashchange', moved);
    return () => removeEventListener('hashchange', moved);
  }, []);
  return route;
}
export const link = (...parts) => `#/${parts.map(encodeURIComponent).join('/')}`;

/** What `load` gives: {value, problem, loading, again}. */
export function useLoaded(load, inputs) {
  const [all, set] = useState({ loading: true });
  const [turn, again] = useState(0);
  useEffect(() => {
    let gone = false;
    set((old) => ({ ...old, loading: true }));
    load().then(
      (value) => gone || set({ value, loading: false }),
      (problem) => gone || set({ problem, loading: false }),
    );
    return () => { gone = true; };
  }, [...inputs, turn]);
  return { ...all, again: () => again((n) => n + 1) };
}

/** Turns the view every `ms` while it is shown. */
export function useTick(ms, on = true) {
  const [, turn] = useState(0);
  useEffect(() => {
    if (!on) return undefined;
    const timer = setInterval(() => turn((n) => n + 1), ms);
    return () => clearInterval(timer);
  }, [ms, on]);
}

/** A colour of the style sheet as the canvas wants it. */
export function colour(name) {
  const probe = document.createElement('i');
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

/** Saves what a request gives as a file. */
export async function save(answer, name) {
  const url = URL.createObjectURL(await answer.blob());
  const anchor = Object.assign(document.createElement('a'), { href: url, download: name });
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
