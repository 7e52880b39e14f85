// The code on a socket's label, checked while it is typed: protocol-spec/join.md, 7.1. The gateway checks it again.
const BASE32 = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const PARTS = [['eui', 16, (c) => '0123456789ABCDEF'.indexOf(c)], ['key', 26, base32], ['check', 4, base32]];

function base32(c) {
  return BASE32.indexOf(c === 'O' ? '0' : c === 'I' || c === 'L' ? '1' : c);
}

/** CRC-16/X-25. */
function crc(octets) {
  let sum = 0xffff;
  for (const octet of octets) {
    sum ^= octet;
    for (let bit = 0; bit < 8; bit += 1) sum = sum & 1 ? (sum >> 1) ^ 0x8408 : sum >> 1;
  }
  return sum ^ 0xffff;
}

const wrong = (kind, more) => ({ good: false, kind, ...more });

/** {good, eui} or {good: false, kind: prefix|character|length|check, …}; characters are counted from 1. */
export function checkLabel(text) {
  const chars = [...text];
  let at = 0;
  const spacing = (c) => c === ' ' || c === '-';
  const part = (digit) => {
    const digits = [];
    let ended = true;
    for (; at < chars.length; at += 1) {
      const c = chars[at];
      if (c === ':') { at += 1; ended = false; break; }
      if (spacing(c)) continue;
      // A letter of another alphabet may become a good one in capitals: it is none.
      const value = /^[\x21-\x7e]$/.test(c) ? digit(c.toUpperCase()) : -1;
      if (value === -1) return { bad: at + 1, char: c };
      digits.push(value);
    }
    return { digits, ended };
  };
  const prefix = part((c) => c);
  if (prefix.bad || prefix.ended || prefix.digits.join('') !== 'PLG1') return wrong('prefix');
  const all = {};
  for (const [name, want, digit] of PARTS) {
    const { digits, bad, char } = part(digit);
    if (bad) return wrong('character', { at: bad, char });
    if (digits.length !== want) return wrong('length', { part: name, got: digits.length, want });
    all[name] = digits;
  }
  const rest = chars.findIndex((c, index) => index >= at && !spacing(c));
  if (rest >= 0) return wrong('character', { at: rest + 1, char: chars[rest] });
  const eui = all.eui.map((digit) => digit.toString(16).toUpperCase()).join('');
  const bits = all.key.map((digit) => digit.toString(2).padStart(5, '0')).join('');
  const octets = eui.match(/../g).map((two) => parseInt(two, 16));
  for (let octet = 0; octet < 16; octet += 1) octets.push(parseInt(bits.slice(octet * 8, octet * 8 + 8), 2));
  const sum = crc(octets);
  const fits = [15, 10, 5, 0].every((shift, index) => ((sum >> shift) & 31) === all.check[index]);
  return fits && bits.endsWith('00') ? { good: true, eui } : wrong('check');
}
