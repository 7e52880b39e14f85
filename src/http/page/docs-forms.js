// Schemas (JSON Schema) in words, and as lists whose members open. Knows nothing of operations.
import { html, useState } from './lib.js';
import { t } from './text.js';

const d = t.docs;
const code = (value) => JSON.stringify(value);
export const resolved = (whole, schema) => (schema?.$ref ? schema.$ref.slice(2).split('/').reduce((at, part) => at?.[part], whole) : schema) || {};
const nothing = (schema) => schema.type === 'null';

/** Bounds of a number, a text or a list. */
function bounds(low, high, unit = '') {
  if (low === undefined && high === undefined) return '';
  return `, ${d.bounds(low, high)}${unit}`;
}

function ofKind(schema, kind) {
  switch (kind) {
    case 'string': return ({ 'date-time': d.time, date: d.date }[schema.format] || d.text) + bounds(schema.minLength, schema.maxLength, d.characters);
    case 'integer': return d.whole + bounds(schema.minimum, schema.maximum);
    case 'number': return d.number + bounds(schema.minimum, schema.maximum);
    case 'boolean': return d.flag;
    case 'array': return d.list(words(schema.items || {})) + bounds(schema.minItems, schema.maxItems);
    case 'null': return 'null';
    default: return schema.additionalProperties === false && !Object.keys(schema.properties).length ? d.empty : schema.additionalProperties?.constructor === Object ? d.map(words(schema.additionalProperties)) : d.object;
  }
}

/** What may stand there, in words. */
export function words(schema) {
  if (schema.$ref) return schema.$ref.split('/').pop();
  if (schema.const !== undefined) return code(schema.const);
  if (schema.enum) return schema.enum.map(code).join(d.or);
  const either = schema.anyOf || schema.oneOf;
  if (either) return either.map(words).join(d.or);
  if (schema.type === undefined) return schema.description || d.anything;
  return [schema.type].flat().map((kind) => ofKind(schema, kind)).join(d.or);
}

/** The schema below which there are members: its own, those of a list's items, of a map's values. */
function within(whole, schema) {
  const of = resolved(whole, schema);
  if (of.oneOf || Object.keys(of.properties || {}).length) return of;
  if (of.anyOf) return within(whole, of.anyOf.find((one) => !nothing(one)) || {});
  if (of.items) return within(whole, of.items);
  if (of.additionalProperties?.constructor === Object) return within(whole, of.additionalProperties);
  return null;
}

/** Text whose `words` between backticks are code. */
export const marked = (text) => text.split('`').map((part, at) => (at % 2 ? html`<code>${part}</code>` : part));

/** A `details` whose content is made when it is opened. */
export function Fold({ id, kind, open = false, summary, children }) {
  const [shown, show] = useState(open);
  return html`<details id=${id} class=${kind} open=${shown} onToggle=${(event) => event.target === event.currentTarget && show(event.target.open)}><summary>${summary}</summary>${shown && children()}</details>`;
}

/** The form of a text beyond its words. */
const shape = (schema) => schema.pattern || schema.items?.pattern;

export const Form = ({ schema }) => html`<span class="form">${words(schema)}</span>${shape(schema) && html` <code class="shape">${shape(schema)}</code>`}`;

function Member({ whole, name, schema, must, answer }) {
  const mark = answer ? !must && html` <span class="hint">${d.optional}</span>` : must && html` <span class="must">${d.required}</span>`;
  const line = html`<code class="member">${name}</code> <${Form} schema=${schema} />${mark}`;
  return html`<li>${within(whole, schema) ? html`<${Fold} kind="nested" summary=${line}>${() => html`<${Members} whole=${whole} schema=${schema} answer=${answer} />`}<//>` : html`<p>${line}</p>`}</li>`;
}

/** The members of an object; of several forms, those of each. Of an answer it says what may be absent, of a body what must be there. */
export function Members({ whole, schema, answer = false }) {
  const of = within(whole, schema);
  if (!of) return html`<p><${Form} schema=${resolved(whole, schema)} /></p>`;
  if (of.oneOf) return of.oneOf.map((one, at) => html`<div class="variant"><p class="hint">${at ? d.orElse : d.either}</p><${Members} whole=${whole} schema=${one} answer=${answer} /></div>`);
  const must = new Set(of.required);
  const ordered = Object.entries(of.properties).sort(([one], [other]) => must.has(other) - must.has(one));
  return html`<ul class="members">${ordered.map(([name, member]) => html`<${Member} key=${name} whole=${whole} name=${name} schema=${member} must=${must.has(name)} answer=${answer} />`)}</ul>`;
}
