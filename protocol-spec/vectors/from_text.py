#!/usr/bin/env python3
"""Plugline, read a second time.

Written from the pages alone (README, line, timing, security, messages, join,
host-link, bearers); it shares no code with the crate, nor with
plugline_vectors.py. What the two say of the published vectors must be the same:

    from_text.py --check      build each vector from its fields, take it apart
                              again, refuse what must be refused;
                              exits 1 on any disagreement

Numbers are those of the line (10 mV, 10 mW, 0.1 Wh ...); None is "absent".
Needs the package `cryptography`.
"""

import json
import pathlib
import sys

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC


class Drop(Exception):
    """A frame that is dropped; the text is its reason in 3.6."""


def u(n, octets):
    return n.to_bytes(octets, "big")


def n(octets):
    return int.from_bytes(octets, "big")


# --- 3.4, 9.1: checks, COBS -------------------------------------------------


def reflected_crc(data, poly, width):
    reg = mask = (1 << width) - 1
    poly = int(format(poly, f"0{width}b")[::-1], 2)
    for octet in data:
        reg ^= octet
        for _ in range(8):
            reg = reg >> 1 ^ (poly if reg & 1 else 0)
    return reg ^ mask


def crc16(data):
    return reflected_crc(data, 0x1021, 16)


def crc32c(data):
    return reflected_crc(data, 0x1EDC6F41, 32)


assert crc16(b"123456789") == 0x906E
assert crc32c(b"123456789") == 0xE3069283


def with_crc(pdu):
    return pdu + crc16(pdu).to_bytes(2, "little")


def without_crc(frame):
    if len(frame) < 3 or with_crc(frame[:-2]) != frame:
        raise Drop("crc")
    return frame[:-2]


def cobs(data):
    out = bytearray()
    block = bytearray()
    for octet in data:
        if octet:
            block.append(octet)
            if len(block) == 254:
                out += b"\xff" + block
                block.clear()
        else:
            out += bytes([len(block) + 1]) + block
            block.clear()
    return bytes(out + bytes([len(block) + 1]) + block)


def uncobs(data):
    out = bytearray()
    at = 0
    while at < len(data):
        code = data[at]
        block = data[at + 1 : at + code]
        if code == 0 or len(block) != code - 1 or 0 in block:
            raise Drop("cobs")
        out += block
        at += code
        if at < len(data) and code != 255:
            out.append(0)
    return bytes(out)


# --- 5.2, 5.3, 5.4: keys, sealing, short tags -------------------------------


def cmac(key, data):
    mac = CMAC(AES(key))
    mac.update(data)
    return mac.finalize()


def keys(root, eui, netid, short, ns, ng, labels=("up", "down", "ack", "wrap", "kek")):
    tail = b"\0" + eui + u(netid, 2) + u(short, 2) + ns + ng + b"\x00\x80"
    return {name: cmac(root, b"\x01" + name.encode() + tail) for name in labels}


def seal(key, nonce, about, plain):
    return AESCCM(key, tag_length=8).encrypt(nonce, plain, about)


def unseal(key, nonce, about, sealed):
    try:
        return AESCCM(key, tag_length=8).decrypt(nonce, sealed, about)
    except InvalidTag:
        raise Drop("forged") from None


def right(tag, expected):
    if tag != expected:
        raise Drop("forged")


# --- 3.3: header ------------------------------------------------------------

KINDS = (
    "BEACON REPORT COMMAND RESPONSE ANSWER ACK JOIN-UP JOIN-DOWN "
    "RESUME-ASK RESUME-UP RESUME-DOWN"
).split()
FIXED = {
    "ANSWER": 6, "ACK": 5, "JOIN-UP": 28, "JOIN-DOWN": 46,
    "RESUME-ASK": 16, "RESUME-UP": 16, "RESUME-DOWN": 30,
}
SECURED = {"BEACON": "group", "REPORT": "up", "COMMAND": "down", "RESPONSE": "up"}


def header(kind, netid, short, ack_request=0, relay_ok=0, hop=0):
    fc = 1 << 6 | KINDS.index(kind) << 2 | ack_request << 1 | relay_ok
    return bytes([fc, hop]) + u(netid, 2) + u(short, 2)


def about(pdu):
    """FC, NETID, SHORT: what of the header enters tags."""
    return pdu[:1] + pdu[2:6]


def parse_header(pdu, own=None):
    if not pdu:
        raise Drop("length")
    if pdu[0] >> 6 != 1:
        raise Drop("version")
    number = pdu[0] >> 2 & 15
    if number >= len(KINDS):
        raise Drop("kind")
    kind = KINDS[number]
    if len(pdu) > 126 or len(pdu) < 6:
        raise Drop("length")
    if kind in SECURED and len(pdu) < 6 + 4 + 8:
        raise Drop("length")
    if kind in FIXED and len(pdu) != 6 + FIXED[kind]:
        raise Drop("length")
    netid, short = n(pdu[2:4]), n(pdu[4:6])
    if kind == "JOIN-UP":
        ok = netid == short == 0xFFFF
    else:
        ok = netid not in (0, 0xFFFF)
        ok &= short == 0 if kind == "BEACON" else short not in (0, 0xFFFF)
        if ok and own is not None and netid != own:
            raise Drop("foreign")
    if not ok:
        raise Drop("address")
    return {
        "kind": kind, "ack_request": pdu[0] >> 1 & 1, "relay_ok": pdu[0] & 1,
        "hop": pdu[1], "netid": netid, "short": short,
    }


def nonce(kind, netid, eui, counter):
    way = SECURED[kind]
    if way == "group":
        return b"\x03" + u(netid, 2) + bytes(6) + u(counter, 4)
    return (b"\x01" if way == "up" else b"\x02") + eui + u(counter, 4)


def secured(kind, key, netid, short, eui, counter, plain, ack_request=0, relay_ok=0, hop=0):
    pdu = header(kind, netid, short, ack_request, relay_ok, hop) + u(counter, 4)
    return pdu + seal(key, nonce(kind, netid, eui, counter), about(pdu) + pdu[6:10], plain)


def open_secured(pdu, key, eui, own=None):
    """-> header, counter, plain text"""
    head = parse_header(pdu, own)
    counter = n(pdu[6:10])
    plain = unseal(key, nonce(head["kind"], head["netid"], eui, counter),
                   about(pdu) + pdu[6:10], pdu[10:])
    return head, counter, plain


def answer(k_ack, netid, short, counter, status):
    pdu = header("ANSWER", netid, short)
    what = about(pdu) + u(counter, 4)
    mask = cmac(k_ack, b"\x06" + what)[0]
    tag = cmac(k_ack, b"\x07" + what + bytes([status]))[:4]
    return pdu + bytes([counter & 255, status ^ mask]) + tag


def open_answer(pdu, k_ack, counter, own=None):
    """counter: that of the COMMAND on the way -> status"""
    parse_header(pdu, own)
    what = about(pdu) + u(counter, 4)
    status = pdu[7] ^ cmac(k_ack, b"\x06" + what)[0]
    right(pdu[6:7], u(counter & 255, 1))
    right(pdu[8:], cmac(k_ack, b"\x07" + what + bytes([status]))[:4])
    return status


def ack(k_ack, netid, short, counter):
    pdu = header("ACK", netid, short)
    tag = cmac(k_ack, b"\x05" + about(pdu) + u(counter, 4))[:4]
    return pdu + bytes([counter & 255]) + tag


def open_ack(pdu, k_ack, counter, own=None):
    parse_header(pdu, own)
    right(pdu[6:7], u(counter & 255, 1))
    right(pdu[7:], cmac(k_ack, b"\x05" + about(pdu) + u(counter, 4))[:4])


# --- 7, 5.7: joining, RESUME ------------------------------------------------


def join_up(install, eui, minor, capabilities, hardware, ns):
    pdu = header("JOIN-UP", 0xFFFF, 0xFFFF) + eui + bytes([minor, capabilities]) + u(hardware, 2) + ns
    return pdu + cmac(install, b"\x02join-up\0" + about(pdu) + pdu[6:26])[:8]


def open_join_up(pdu, install):
    parse_header(pdu)
    right(pdu[26:], cmac(install, b"\x02join-up\0" + about(pdu) + pdu[6:26])[:8])
    return {"eui": pdu[6:14], "minor": pdu[14], "capabilities": pdu[15],
            "hardware": n(pdu[16:18]), "ns": pdu[18:26]}


def grant(group_key, group_counter, slot):
    return group_key + u(group_counter, 4) + u(0xFFFF if slot is None else slot, 2)


def open_grant(plain):
    slot = n(plain[20:])
    if slot != 0xFFFF and slot > 639:
        raise Drop("malformed")
    return {"group_key": plain[:16], "group_counter": n(plain[16:20]),
            "slot": None if slot == 0xFFFF else slot}


def join_down(install, eui, netid, short, ns, ng, granted):
    wrap = keys(install, eui, netid, short, ns, ng)["wrap"]
    pdu = header("JOIN-DOWN", netid, short) + eui + ng
    return pdu + seal(wrap, b"\x04" + eui + bytes(4), about(pdu) + pdu[6:], granted)


def open_join_down(pdu, install, eui, ns):
    head = parse_header(pdu)
    ng = pdu[14:22]
    if pdu[6:14] != eui:
        raise Drop("address")
    wrap = keys(install, eui, head["netid"], head["short"], ns, ng)["wrap"]
    plain = unseal(wrap, b"\x04" + eui + bytes(4), about(pdu) + pdu[6:22], pdu[22:])
    return {"eui": eui, "ng": ng, **open_grant(plain)}


def resume_ask(kek, eui, netid, short, ng):
    pdu = header("RESUME-ASK", netid, short)
    return pdu + ng + cmac(kek, b"\x03resume-ask\0" + about(pdu) + eui + ng)[:8]


def open_resume_ask(pdu, kek, eui, own=None):
    parse_header(pdu, own)
    ng = pdu[6:14]
    right(pdu[14:], cmac(kek, b"\x03resume-ask\0" + about(pdu) + eui + ng)[:8])
    return ng


def resume_up(kek, eui, netid, short, ns, ng):
    pdu = header("RESUME-UP", netid, short)
    return pdu + ns + cmac(kek, b"\x04resume-up\0" + about(pdu) + eui + ng + ns)[:8]


def open_resume_up(pdu, kek, eui, ng, own=None):
    parse_header(pdu, own)
    ns = pdu[6:14]
    right(pdu[14:], cmac(kek, b"\x04resume-up\0" + about(pdu) + eui + ng + ns)[:8])
    return ns


def resume_keys(kek, eui, netid, short, ns, ng):
    return keys(kek, eui, netid, short, ns, ng, ("up", "down", "ack", "wrap"))


def resume_down(kek, eui, netid, short, ns, ng, granted):
    wrap = resume_keys(kek, eui, netid, short, ns, ng)["wrap"]
    pdu = header("RESUME-DOWN", netid, short)
    return pdu + seal(wrap, b"\x05" + eui + bytes(4), about(pdu), granted)


def open_resume_down(pdu, kek, eui, ns, ng, own=None):
    head = parse_header(pdu, own)
    wrap = resume_keys(kek, eui, head["netid"], head["short"], ns, ng)["wrap"]
    return open_grant(unseal(wrap, b"\x05" + eui + bytes(4), about(pdu), pdu[6:]))


# --- 6: messages ------------------------------------------------------------

# 6.2: name, octets, signed, absent
READING = (
    ("flags", 2, False, None),
    ("voltage", 2, False, 0xFFFF),
    ("current", 2, False, 0xFFFF),
    ("power", 3, True, -0x800000),
    ("energy", 4, False, 0xFFFFFFFF),
    ("temperature", 1, True, -0x80),
)
FLAGS = {
    "relay_on": 0, "booted": 4, "energy_reset": 5, "export": 6, "free_running": 7,
    "locked_out": 8, "hot": 9, "button": 10, "sync": 11, "more": 15,
}


def reading(values):
    out = b""
    for name, octets, signed, absent in READING:
        value = values[name]
        out += (absent if value is None else value).to_bytes(octets, "big", signed=signed)
    return out


def open_reading(octets):
    out, at = {}, 0
    for name, size, signed, absent in READING:
        value = int.from_bytes(octets[at : at + size], "big", signed=signed)
        out[name] = None if value == absent else value
        at += size
    return out


def flag(flags, name):
    return flags >> FLAGS[name] & 1


def cause(flags):
    return flags >> 1 & 7


def extensions(pairs):
    return b"".join(bytes([kind, len(value)]) + value for kind, value in pairs)


def open_extensions(octets):
    out = []
    while octets:
        if len(octets) < 2 or len(octets) < 2 + octets[1]:
            raise Drop("malformed")
        out.append((octets[0], octets[2 : 2 + octets[1]]))
        octets = octets[2 + octets[1] :]
    return out


def report(minute, values, history, ext=()):
    """history: four steps, None unknown"""
    bits, known = 0, True
    for step in history:
        known = known and step is not None and step <= 4094
        bits = bits << 12 | (step if known else 0xFFF)
    return bytes([minute]) + reading(values) + u(bits, 6) + extensions(ext)


def open_report(plain):
    if len(plain) < 21:
        raise Drop("malformed")
    values = open_reading(plain[1:15])
    if not flag(values["flags"], "more") and len(plain) > 21:
        raise Drop("malformed")
    bits, history = n(plain[15:21]), []
    for shift in (36, 24, 12, 0):
        step = bits >> shift & 0xFFF
        known = step != 0xFFF and None not in history
        history.append(step if known else None)
    return {"minute": plain[0], "reading": values, "history": history,
            "ext": open_extensions(plain[21:])}


OPS = {  # number: name, argument's fields in octets, permitted values of the first
    0x01: ("SWITCH", (1,), range(2)),
    0x02: ("READ", (), None),
    0x03: ("INTERVAL", (1,), range(1, 61)),
    0x04: ("OVER-CURRENT", (2,), None),
    0x05: ("POWER-ON", (1,), range(3)),
    0x06: ("IDENTIFY", (1,), None),
    0x07: ("SLOT", (2,), (*range(640), 0xFFFF)),
    0x08: ("SYNC", (4,), None),
    0x09: ("REBOOT", (), None),
    0x0C: ("LEAVE", (), None),
    0x0D: ("GROUP-KEY", (16, 4), None),
}


def command(reference, op, arguments=()):
    return u(reference, 4) + bytes([op]) + b"".join(map(u, arguments, OPS[op][1]))


def open_command(plain):
    """-> reference, op, arguments; or an outcome where it cannot be done (6.3-2, 6.3-3, 5.6)"""
    out = {"reference": None, "op": None, "arguments": [], "outcome": None}
    if len(plain) < 4:
        return {**out, "outcome": "stale"}
    out["reference"] = n(plain[:4])
    if len(plain) < 5:
        return {**out, "outcome": "bad_argument"}
    out["op"] = plain[4]
    argument = plain[5:]
    if plain[4] not in OPS:
        return {**out, "outcome": "unsupported"}
    _, sizes, allowed = OPS[plain[4]]
    if len(argument) != sum(sizes):
        return {**out, "outcome": "bad_argument"}
    for size in sizes:
        out["arguments"].append(n(argument[:size]))
        argument = argument[size:]
    if allowed is not None and out["arguments"][0] not in allowed:
        out["outcome"] = "bad_argument"
    return out


OUTCOMES = ("done", "unsupported", "refused", "bad_argument", "stale", "busy")


def response(counter, form, outcome, data=b""):
    return u(counter & 0xFFFF, 2) + bytes([form << 4 | outcome]) + data


def open_response(plain):
    if len(plain) < 3:
        raise Drop("malformed")
    form, data = plain[2] >> 4, plain[3:]
    if form == 0 and data or form == 1 and len(data) != 14:
        raise Drop("malformed")
    return {"counter": n(plain[:2]), "form": form, "outcome": plain[2] & 15,
            "data": data, "reading": open_reading(data) if form == 1 else None}


def slot_start(k, first, pitch):
    """4.2-1"""
    before = max(0, (30_000 - first) // pitch)  # slots that end by 30 s
    return first + k * pitch if k < before else max(first, 31_000) + (k - before) * pitch


def beacon(minute, offset, time, first, pitch, slots, received, ext=()):
    """received: the numbers of the slots that were heard"""
    bits = bytearray((slots + 7) // 8)
    for k in received:
        bits[k // 8] |= 1 << k % 8
    return (bytes([minute]) + u(offset, 2) + u(time, 4) + u(first, 2) + u(pitch, 2)
            + u(slots, 2) + bits + extensions(ext))


def open_beacon(plain):
    if len(plain) < 13:
        raise Drop("malformed")
    out = {"minute": plain[0], "offset": n(plain[1:3]), "time": n(plain[3:7]),
           "first": n(plain[7:9]), "pitch": n(plain[9:11]), "slots": n(plain[11:13])}
    slots, size = out["slots"], (out["slots"] + 7) // 8
    if slots > 640 or len(plain) < 13 + size or out["offset"] >= 60_000:
        raise Drop("malformed")
    if slots and (not out["pitch"]
                  or slot_start(slots - 1, out["first"], out["pitch"]) + out["pitch"] > 60_000):
        raise Drop("malformed")
    out["received"] = [k for k in range(slots) if plain[13 + k // 8] >> k % 8 & 1]
    out["ext"] = open_extensions(plain[13 + size :])
    return out


# --- 5.5, 5.6: freshness ----------------------------------------------------


class Upwards:
    """What a gateway keeps for one K_up."""

    def __init__(self, newest=0):
        self.newest = newest
        self.seen = set(range(max(0, newest - 63), newest + 1))

    def take(self, counter):
        if counter == 0 or counter < self.newest - 63:
            return "replayed"
        if counter in self.seen:
            return "repeat"
        self.newest = max(self.newest, counter)
        self.seen = {c for c in self.seen | {counter} if c >= self.newest - 63}
        return "fresh"


class Downwards:
    """What a socket keeps of COMMANDs."""

    def __init__(self):
        self.last, self.tag = 0, None

    def take(self, counter, tag, reference, own):
        if (counter, tag) == (self.last, self.tag):
            return "repeat"
        if counter <= self.last:
            return "replayed"
        if reference is None or reference > own or own - reference > 4:
            return "stale"
        self.last, self.tag = counter, tag
        return "fresh"


class Group:
    """What a socket keeps of group frames; it acts on none before a SYNC."""

    def __init__(self, floor=None):
        self.last = floor

    def sync(self, floor):
        self.last = floor

    def take(self, counter):
        if self.last is None:
            return "unsynced"
        if counter <= self.last:
            return "replayed"
        if counter - self.last > 4096:
            return "too far"
        self.last = counter
        return "fresh"


# --- 7.1: label -------------------------------------------------------------

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def base32(value, characters):
    return "".join(CROCKFORD[value >> 5 * k & 31] for k in reversed(range(characters)))


def digits(text, alphabet, characters):
    """one part of a label: the value of each character"""
    if any(c not in alphabet for c in text):
        raise ValueError("character")
    if len(text) != characters:
        raise ValueError("length")
    value = 0
    for c in text:
        value = value * len(alphabet) + alphabet.index(c)
    return value


def label(eui, install):
    return (f"PLG1:{eui.hex().upper()}:{base32(n(install) << 2, 26)}"
            f":{base32(crc16(eui + install), 4)}")


def open_label(text):
    """-> EUI, install key; ValueError "prefix", "character", "length" or "check" """
    prefix, *rest = text.upper().replace(" ", "").replace("-", "").split(":", 3)
    if prefix != "PLG1" or not rest:
        raise ValueError("prefix")
    alike = str.maketrans("OIL", "011")
    parts = [rest[0]] + [part.translate(alike) for part in rest[1:]] + ["", ""]
    eui = u(digits(parts[0], "0123456789ABCDEF", 16), 8)
    key = digits(parts[1], CROCKFORD, 26)
    check = digits(parts[2], CROCKFORD, 4)
    install = u(key >> 2, 16)
    if key & 3 or crc16(eui + install) != check:
        raise ValueError("check")
    return eui, install


# --- 9: host link -----------------------------------------------------------

LINK = {  # type: name, fields (octets; negative: signed), a PDU behind them
    0x01: ("RESET", (("version", 1),), False),
    0x02: ("HELLO", (("version", 1), ("boot", 4), ("kind", 1), ("reason", 1), ("rate", 4),
                     ("overhead", 1), ("flags", 1), ("max_pdu", 1), ("queue", 1),
                     ("clock", 8)), False),
    0x20: ("TX-REQ", (("flags", 1), ("not_before", 8), ("not_after", 8)), True),
    0x21: ("RX-IND", (("snr", -1), ("level", 1), ("end", 8)), True),
    0x22: ("CANCEL", (("number", 1),), False),
    0x23: ("TX-CONF", (("result", 1), ("end", 8), ("airtime", 4)), False),
    0x24: ("STATUS-REQ", (), False),
    0x25: ("STATUS", (("clock", 8), ("received", 4), ("bad", 4), ("sent", 4),
                      ("link_errors", 4), ("busy_ms", 4), ("queued", 1)), False),
}


def packet(kind, number, body):
    data = bytes([kind, number]) + body
    return b"\0" + cobs(data + crc32c(data).to_bytes(4, "little")) + b"\0"


def link_body(kind, values, pdu=b""):
    return b"".join(values[name].to_bytes(abs(size), "big", signed=size < 0)
                    for name, size in LINK[kind][1]) + pdu


def packets(stream):
    """-> [(type, number, body)], count of what is no packet; the stream's end counts as a zero"""
    found, bad = [], 0
    for piece in stream.split(b"\0"):
        if not piece:
            continue
        try:
            data = uncobs(piece)
        except Drop:
            bad += 1
            continue
        if not 6 <= len(data) <= 160 or crc32c(data[:-4]) != int.from_bytes(data[-4:], "little"):
            bad += 1
            continue
        found.append((data[0], data[1], data[2:-4]))
    return found, bad


def open_link_body(kind, body):
    if kind not in LINK:
        raise Drop("kind")
    name, fields, has_pdu = LINK[kind]
    out, at = {}, 0
    for field, size in fields:
        octets = body[at : at + abs(size)]
        if len(octets) < abs(size):
            raise Drop("length")
        out[field] = int.from_bytes(octets, "big", signed=size < 0)
        at += abs(size)
    if has_pdu:
        out["pdu"] = body[at:]
    if name == "HELLO" and out["rate"] == 0:
        raise Drop("rate")
    return out


# --- the published vectors --------------------------------------------------
# Their names for things, and the world of 5.10.

HERE = pathlib.Path(__file__).parent
NETID, SHORT = 0x4A17, 0x0012
EUI = bytes.fromhex("02A0B1FFFE001234")
INSTALL = bytes(range(16))
NS, NG = bytes(range(0x10, 0x18)), bytes(range(0x20, 0x28))
NS2, NG2 = bytes(range(0x30, 0x38)), bytes(range(0x40, 0x48))
GROUP_KEY = bytes(range(0xC0, 0xD0))
KEYS = keys(INSTALL, EUI, NETID, SHORT, NS, NG)
RESUMED = resume_keys(KEYS["kek"], EUI, NETID, SHORT, NS2, NG2)

CAUSES = ("power_on", "command", "button", "over_current", "over_temperature")
POWER_ON = ("off", "on", "last")
UNITS = {"voltage": "voltage_10mv", "current": "current_ma", "power": "power_10mw",
         "energy": "energy_100mwh", "temperature": "temperature_c"}
ARGUMENTS = {
    "SWITCH": ("on", bool, int),
    "INTERVAL": ("minutes", int, int),
    "OVER-CURRENT": ("limit_ma", int, int),
    "POWER-ON": ("power_on", POWER_ON.__getitem__, POWER_ON.index),
    "IDENTIFY": ("seconds", int, int),
    "SLOT": ("slot", lambda x: None if x == 0xFFFF else x, lambda x: 0xFFFF if x is None else x),
    "SYNC": ("group_counter", int, int),
}


def octets(text):
    return bytes.fromhex(text)


def show_reading(values):
    flags = values["flags"]
    out = {name: bool(flag(flags, name)) for name in FLAGS if name != "more"}
    out["cause"] = CAUSES[cause(flags)]
    return {**out, **{UNITS[k]: values[k] for k in UNITS}}


def read_reading(said):
    flags = CAUSES.index(said["cause"]) << 1 | ("extensions" in said) << FLAGS["more"]
    for name, bit in FLAGS.items():
        flags |= bool(said.get(name)) << bit
    return {"flags": flags, **{k: said[UNITS[k]] for k in UNITS}}


def show_extensions(ext):
    return {"extensions": extensions(ext).hex().upper()} if ext else {}


def show_outcome(number):
    return OUTCOMES[number] if number < len(OUTCOMES) else "other"


def build_payload(said):
    """the clear payload of a secured frame, from its fields"""
    kind, ext = said["frame"], open_extensions(octets(said.get("extensions", "")))
    if kind == "report":
        history = [said[f"delta_{i}_100mwh"] for i in (1, 2, 3, 4)]
        return report(said["minute"], read_reading(said), history, ext)
    if kind == "response":
        outcome = OUTCOMES.index(said["outcome"])
        if "form" in said:
            return response(said["command_low"], said["form"], outcome, octets(said["data"]))
        if "cause" in said:
            return response(said["command_low"], 1, outcome, reading(read_reading(said)))
        return response(said["command_low"], 0, outcome)
    if kind == "beacon":
        bits = octets(said["received"])
        received = [k for k in range(said["slots"]) if bits[k // 8] >> k % 8 & 1]
        return beacon(said["minute"], said["offset_ms"], said["unix_time_s"] or 0,
                      said["first_slot_ms"], said["pitch_ms"], said["slots"], received, ext)
    name = said["op"].upper().replace("_", "-")
    op = next(number for number, row in OPS.items() if row[0] == name)
    if name == "GROUP-KEY":
        return command(said["reference"], op, (n(GROUP_KEY), said["group_counter"]))
    arguments = ()
    if name in ARGUMENTS:
        field, _, to_line = ARGUMENTS[name]
        arguments = (to_line(said[field]),)
    return command(said["reference"], op, arguments)


def key_of(kind):
    return GROUP_KEY if SECURED[kind] == "group" else KEYS[SECURED[kind]]


def build_frame(said, about_counter, payload, status):
    kind = said["frame"].upper().replace("_", "-")
    netid, short = int(said["network"], 16), int(said["short"], 16)
    if kind in SECURED:
        pdu = secured(kind, key_of(kind), netid, short, EUI, said["counter"], payload,
                      said["ack_request"], said["relay_ok"],
                      said["hops_allowed"] << 4 | said["hops_left"])
    elif kind == "ANSWER":
        pdu = answer(KEYS["ack"], netid, short, about_counter, status)
    elif kind == "ACK":
        pdu = ack(KEYS["ack"], netid, short, about_counter)
    elif kind == "JOIN-UP":
        pdu = join_up(INSTALL, octets(said["eui"]), said["minor"], said["capabilities"],
                      said["hardware"], octets(said["socket_nonce"]))
    elif kind == "JOIN-DOWN":
        pdu = join_down(INSTALL, octets(said["eui"]), netid, short, NS,
                        octets(said["gateway_nonce"]),
                        grant(GROUP_KEY, said["group_counter"], said["slot"]))
    elif kind == "RESUME-ASK":
        pdu = resume_ask(KEYS["kek"], EUI, netid, short, octets(said["gateway_nonce"]))
    elif kind == "RESUME-UP":
        pdu = resume_up(KEYS["kek"], EUI, netid, short, octets(said["socket_nonce"]), NG2)
    else:
        pdu = resume_down(KEYS["kek"], EUI, netid, short, NS2, NG2,
                          grant(GROUP_KEY, said["group_counter"], said["slot"]))
    return with_crc(pdu)


def take_apart(frame, about_counter):
    """by the party that the frame is for -> fields, clear payload; Drop"""
    pdu = without_crc(frame)
    head = parse_header(pdu, NETID)
    kind, payload = head["kind"], None
    said = {"frame": kind.lower().replace("-", "_"), "ack_request": bool(head["ack_request"]),
            "relay_ok": bool(head["relay_ok"]), "hops_allowed": head["hop"] >> 4,
            "hops_left": head["hop"] & 15, "network": f"{head['netid']:04X}",
            "short": f"{head['short']:04X}"}
    if kind in SECURED:
        _, said["counter"], payload = open_secured(pdu, key_of(kind), EUI, NETID)
    if kind == "REPORT":
        got = open_report(payload)
        said |= {"minute": got["minute"], **show_reading(got["reading"])}
        said |= {f"delta_{i + 1}_100mwh": step for i, step in enumerate(got["history"])}
        said |= show_extensions(got["ext"])
    elif kind == "COMMAND":
        got = open_command(payload)
        if got["outcome"]:
            return {"kind": "rejected", "outcome": got["outcome"]}, payload
        name = OPS[got["op"]][0]
        said |= {"reference": got["reference"], "op": name.lower().replace("-", "_")}
        if name in ARGUMENTS:
            said[ARGUMENTS[name][0]] = ARGUMENTS[name][1](got["arguments"][0])
        if name == "GROUP-KEY":
            assert u(got["arguments"][0], 16) == GROUP_KEY
            said["group_counter"] = got["arguments"][1]
    elif kind == "RESPONSE":
        got = open_response(payload)
        said |= {"command_low": got["counter"], "outcome": show_outcome(got["outcome"])}
        if got["form"] == 1:
            said |= show_reading(got["reading"])
        elif got["form"]:
            said |= {"form": got["form"], "data": got["data"].hex().upper()}
    elif kind == "BEACON":
        got = open_beacon(payload)
        bits = payload[13 : 13 + (got["slots"] + 7) // 8]
        said |= {"minute": got["minute"], "offset_ms": got["offset"],
                 "unix_time_s": got["time"] or None, "first_slot_ms": got["first"],
                 "pitch_ms": got["pitch"], "slots": got["slots"],
                 "received": bits.hex().upper(), **show_extensions(got["ext"])}
    elif kind == "ANSWER":
        status = open_answer(pdu, KEYS["ack"], about_counter, NETID)
        said |= {"counter_low": pdu[6], "outcome": show_outcome(status & 15),
                 "relay_on": bool(status >> 7)}
    elif kind == "ACK":
        open_ack(pdu, KEYS["ack"], about_counter, NETID)
        said["counter_low"] = pdu[6]
    elif kind == "JOIN-UP":
        got = open_join_up(pdu, INSTALL)
        said |= {"eui": got["eui"].hex().upper(), "minor": got["minor"],
                 "capabilities": got["capabilities"], "hardware": got["hardware"],
                 "socket_nonce": got["ns"].hex().upper()}
    elif kind == "RESUME-ASK":
        said["gateway_nonce"] = open_resume_ask(pdu, KEYS["kek"], EUI, NETID).hex().upper()
    elif kind == "RESUME-UP":
        said["socket_nonce"] = open_resume_up(pdu, KEYS["kek"], EUI, NG2, NETID).hex().upper()
    else:
        if kind == "JOIN-DOWN":
            got = open_join_down(pdu, INSTALL, EUI, NS)
            said |= {"eui": got["eui"].hex().upper(), "gateway_nonce": got["ng"].hex().upper()}
        else:
            got = open_resume_down(pdu, KEYS["kek"], EUI, NS2, NG2, NETID)
        assert got["group_key"] == GROUP_KEY
        said |= {"group_counter": got["group_counter"], "slot": got["slot"]}
    return said, payload


# What a sender of this version would not write, so that it cannot follow from the fields.
NOT_FROM_FIELDS = {"report-more", "report-reserved", "report-gap", "response-unknown-outcome"}
STATUS = {"answer-reserved": 0xF0}


def check_frame(vector):
    frame, counter = octets(vector["hex"]), vector.get("about_counter")
    published = octets(vector["payload"]) if "payload" in vector else None
    try:
        said, payload = take_apart(frame, counter)
    except Drop as drop:
        said, payload = {"kind": str(drop)}, None
    wanted = vector.get("expect") or vector["error"]
    yield "taken apart", said, wanted
    if payload is not None:
        yield "payload", payload, published
    if "expect" in vector:
        built, status = published, None
        if published is not None and vector["id"] not in NOT_FROM_FIELDS:
            built = build_payload(wanted)
            yield "payload built", built, published
        if wanted["frame"] == "answer":
            status = wanted["relay_on"] << 7 | OUTCOMES.index(wanted["outcome"])
            status = STATUS.get(vector["id"], status)
        yield "built", build_frame(wanted, counter, built, status), frame
    elif published is not None:  # genuine, but wrong within
        pdu = without_crc(frame)
        kind = KINDS[pdu[0] >> 2 & 15]
        sealed = secured(kind, key_of(kind), n(pdu[2:4]), n(pdu[4:6]), EUI, n(pdu[6:10]), published)
        yield "built", with_crc(sealed), frame


def check_key(vector):
    found = KEYS if vector["root"] == "install" else RESUMED
    yield "derived", found[vector["label"]], octets(vector["hex"])


def check_fresh(vector):
    floor = vector.get("restored", 0)
    gate = {"reports": Upwards, "commands": Downwards, "group": Group}[vector["gate"]]
    gate = gate() if vector["gate"] == "commands" else gate(floor)
    for i, step in enumerate(vector["steps"]):
        given = [step["counter"]]
        if vector["gate"] == "commands":
            given += [step["tag"], step["reference"], step["sent"]]
        yield f"step {i}", gate.take(*given).replace(" ", "_"), step["verdict"]


def check_label(vector):
    try:
        eui, install = open_label(vector["text"])
    except ValueError as error:
        yield "read", {"kind": str(error)}, vector.get("error")
        return
    said = {"eui": eui.hex().upper(), "install_key": install.hex().upper()}
    yield "read", said, vector.get("expect")
    typed = "".join(vector["text"].upper().split()).replace("-", "")
    fields = typed.split(":")
    fields[2:] = [f.translate(str.maketrans("OIL", "011")) for f in fields[2:]]
    yield "printed", label(eui, install), ":".join(fields)


LINK_FIELDS = {  # theirs: ours, when read
    "bit_per_s": "rate", "clock_us": "clock", "not_before_us": "not_before",
    "not_after_us": "not_after", "end_us": "end", "airtime_us": "airtime",
    "snr_db": "snr", "level_dbuv": "level", "own_check": "flags", "no_slots": "flags", "request": "number",
}
KNOWN = {"kind": 3, "reason": 5}  # 9.2-3: the highest that this version knows
RESULTS = ("queued", "sent", "late", "full", "bad", "cancelled")
UNKNOWN = {"snr": 127, "level": 255, "not_after": 2**64 - 1}


def check_link(vector):
    stream = octets(vector["hex"])
    found, bad = packets(stream)
    if "error" in vector:
        try:
            for kind, _, body in found:
                open_link_body(kind, body)
            yield "read", bad, 1
        except Drop:
            yield "read", len(found), 1
        return
    wanted = vector["expect"]
    if len(found) != 1 or bad:
        yield "packets", (len(found), bad), (1, 0)
        return
    kind, number, body = found[0]
    got = open_link_body(kind, body)
    said = {"number": number, "message": LINK[kind][0].lower().replace("-", "_")}
    for theirs in wanted:
        ours = LINK_FIELDS.get(theirs, theirs)
        if theirs in said or ours not in got:
            continue
        value = got[ours]
        if theirs == "own_check":
            value = bool(value & 1)
        elif theirs == "no_slots":
            value = bool(value & 2)
        elif theirs in KNOWN and not 1 <= value <= KNOWN[theirs]:
            value = None
        elif theirs == "result":
            value = RESULTS[value] if value < len(RESULTS) else "other"
        elif theirs == "pdu":
            value = value.hex().upper()
        elif ours in UNKNOWN and value == UNKNOWN[ours]:
            value = None
        said[theirs] = value
    yield "read", said, wanted
    values = {"flags": wanted.get("own_check", 0) | wanted.get("no_slots", 0) << 1}
    if vector["id"] == "hello-unknown":  # reserved bits, which a sender of this version leaves 0
        values["flags"] = got["flags"]
    for theirs, value in wanted.items():
        ours = LINK_FIELDS.get(theirs, theirs)
        if ours == "flags":
            continue
        if theirs in KNOWN and value is None:
            values[ours] = got[ours]
            continue
        if theirs == "result":
            value = RESULTS.index(value) if value in RESULTS else got["result"]
        values[ours] = UNKNOWN[ours] if value is None else value
    if "request" in wanted:
        values["number"] = wanted["request"]
    pdu = octets(wanted.get("pdu", ""))
    later = body[len(link_body(kind, got)) :] if not LINK[kind][2] else b""
    yield "written", packet(kind, number, link_body(kind, values, pdu) + later), stream


def check():
    """Of a packet of the host link only whether it is refused is compared: the text has no names for why."""
    vectors = right_ones = 0
    for name, judge in (("keys", check_key), ("frames", check_frame), ("fresh", check_fresh),
                        ("labels", check_label), ("link", check_link)):
        rows = json.loads((HERE / f"plugline-{name}.json").read_text())
        agreed = 0
        for vector in rows:
            wrong = [row for row in judge(vector) if row[1] != row[2]]
            for what, ours, theirs in wrong:
                print(f"plugline-{name} {vector['id']}, {what}: from the text {ours!r}, published {theirs!r}")
            agreed += not wrong
        print(f"plugline-{name}: {agreed} of {len(rows)} agree")
        vectors += len(rows)
        right_ones += agreed
    print(f"{right_ones} of {vectors} agree")
    return right_ones == vectors


if __name__ == "__main__":
    if sys.argv[1:] != ["--check"]:
        sys.exit(__doc__)
    sys.exit(0 if check() else 1)
