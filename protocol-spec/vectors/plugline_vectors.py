#!/usr/bin/env python3
"""The vectors of the Plugline line, made from the text alone (README.md of the folder above and the pages it names).

    plugline_vectors.py            write plugline-*.json beside this file
    plugline_vectors.py --check    compare them with what stands there; exit 1 if they differ

Needs the package `cryptography`. Section numbers in comments are those of the text.
"""
import json
import pathlib
import struct
import sys

from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from cryptography.hazmat.primitives.cmac import CMAC

HERE = pathlib.Path(__file__).parent
B = bytes.fromhex


def u8(value):
    return struct.pack(">B", value)


def u16(value):
    return struct.pack(">H", value)


def u32(value):
    return struct.pack(">I", value)


def u64(value):
    return struct.pack(">Q", value)


def spaced(data):
    return data.hex(" ").upper()


def dense(data):
    return data.hex().upper()


# 3.4, 9.1, 7.1: checks and codes -------------------------------------------------------------------------------------


def crc(data, poly, width):
    """A reflected CRC whose start and final exclusive-or are all ones."""
    ones = (1 << width) - 1
    value = ones
    for octet in data:
        value ^= octet
        for _ in range(8):
            value = value >> 1 ^ poly if value & 1 else value >> 1
    return value ^ ones


def x25(data):
    return crc(data, 0x8408, 16)


def crc32c(data):
    return crc(data, 0x82F63B78, 32)


assert x25(b"123456789") == 0x906E and crc32c(b"123456789") == 0xE3069283


def on_line(pdu):
    return pdu + struct.pack("<H", x25(pdu))


def cobs(data):
    out = b""
    rest = data
    while True:
        zero = rest.find(0)
        run = rest if zero < 0 else rest[:zero]
        assert len(run) < 254, "no packet is that long"
        out += bytes([len(run) + 1]) + run
        if zero < 0:
            return out
        rest = rest[zero + 1 :]


CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def base32(number, digits):
    return "".join(CROCKFORD[number >> 5 * place & 31] for place in reversed(range(digits)))


def label_of(eui, key):
    check = base32(x25(eui + key), 4)
    return f"PLG1:{dense(eui)}:{base32(int.from_bytes(key, 'big') << 2, 26)}:{check}"


# 5.10: the world -----------------------------------------------------------------------------------------------------

INSTALL = B("000102030405060708090A0B0C0D0E0F")
EUI = B("02A0B1FFFE001234")
NET = B("4A17")
SHORT = B("0012")
NS, NG = B("1011121314151617"), B("2021222324252627")
NS2, NG2 = B("3031323334353637"), B("4041424344454647")
GROUP_KEY = B("C0C1C2C3C4C5C6C7C8C9CACBCCCDCECF")
NONE = B("FFFF")
ALL = B("0000")

# 5.2: keys -----------------------------------------------------------------------------------------------------------


def cmac(key, data):
    mac = CMAC(algorithms.AES(key))
    mac.update(data)
    return mac.finalize()


def derive(root, label, ns, ng, net=NET, short=SHORT):
    return cmac(root, b"\x01" + label.encode() + b"\x00" + EUI + net + short + ns + ng + B("0080"))


LABELS = ["up", "down", "ack", "wrap", "kek"]
K = {label: derive(INSTALL, label, NS, NG) for label in LABELS}
K2 = {label: derive(K["kek"], label, NS2, NG2) for label in LABELS if label != "kek"}
OTHER = {label: derive(INSTALL, label, NS, NG, B("1234"), B("0099")) for label in LABELS}


def keys():
    out = []
    for label in LABELS:
        out.append({"id": f"K_{label}", "about": "joining, root is the install key", "root": "install", "label": label, "hex": dense(K[label])})
    for label in K2:
        out.append({"id": f"K_{label}'", "about": "RESUME, root is K_kek", "root": "kek", "label": label, "hex": dense(K2[label])})
    return out


# 3.3: header, 5.3 and 5.4: tags ----------------------------------------------------------------------------------------

BEACON, REPORT, COMMAND, RESPONSE, ANSWER, ACK, JOIN_UP, JOIN_DOWN, ASK, UP, DOWN, BULK = range(12)
NAMES = ["beacon", "report", "command", "response", "answer", "ack", "join_up", "join_down", "resume_ask", "resume_up", "resume_down", "bulk"]
DIRECTION = {REPORT: 1, RESPONSE: 1, COMMAND: 2, BEACON: 3, BULK: 3}


def fc(kind, ack=0, relay=0, version=1):
    return u8(version << 6 | kind << 2 | ack << 1 | relay)


def header(kind, net=NET, short=SHORT, ack=0, relay=0, hops=0):
    return fc(kind, ack, relay) + u8(hops << 4 | hops) + net + short


def signed(head):
    """The octets of a header that tags cover: all but HOP."""
    return head[:1] + head[2:]


def nonce(direction, name, counter):
    return u8(direction) + name + u32(counter)


def seal(kind, key, counter, payload, direction=None, name=None, **options):
    if kind in (BEACON, BULK):
        options.setdefault("short", ALL)
    head = header(kind, **options)
    direction = direction or DIRECTION[kind]
    name = name or (head[2:4] + bytes(6) if direction == 3 else EUI)
    aad = signed(head) + u32(counter)
    return head + u32(counter) + AESCCM(key, tag_length=8).encrypt(nonce(direction, name, counter), payload, aad)


def ack(counter, key=K["ack"]):
    head = header(ACK)
    return head + u8(counter & 255) + cmac(key, b"\x05" + signed(head) + u32(counter))[:4]


def answer(counter, status, key=K["ack"]):
    head = header(ANSWER)
    about = signed(head) + u32(counter)
    mask = cmac(key, b"\x06" + about)[0]
    return head + u8(counter & 255) + u8(status ^ mask) + cmac(key, b"\x07" + about + u8(status))[:4]


# 7.2, 7.3, 5.7 ---------------------------------------------------------------------------------------------------------

GRANT = GROUP_KEY + u32(6) + u16(3)


def join_up(install=INSTALL):
    head = header(JOIN_UP, NONE, NONE)
    body = EUI + u8(0) + u8(0b01_0011) + u16(0x0107) + NS
    return head + body + cmac(install, b"\x02join-up\x00" + signed(head) + body)[:8]


def join_down(keyset=K, grant=GRANT, eui=EUI):
    head = header(JOIN_DOWN)
    clear = eui + NG
    return head + clear + AESCCM(keyset["wrap"], tag_length=8).encrypt(nonce(4, EUI, 0), grant, signed(head) + clear)


def resume_ask(kek=K["kek"]):
    head = header(ASK)
    return head + NG2 + cmac(kek, b"\x03resume-ask\x00" + signed(head) + EUI + NG2)[:8]


def resume_up(ng=NG2):
    head = header(UP)
    return head + NS2 + cmac(K["kek"], b"\x04resume-up\x00" + signed(head) + EUI + ng + NS2)[:8]


def resume_down(wrap=K2["wrap"]):
    head = header(DOWN)
    return head + AESCCM(wrap, tag_length=8).encrypt(nonce(5, EUI, 0), GRANT, signed(head))


# 6: messages, each as octets and as what they mean -----------------------------------------------------------------------

CAUSES = ["power_on", "command", "button", "over_current", "over_temperature"]
FLAGS = {"relay_on": 0, "booted": 4, "energy_reset": 5, "export": 6, "free_running": 7, "locked_out": 8, "hot": 9, "button": 10, "sync": 11}


def reading(*set_flags, cause="command", v=None, i=None, p=None, e=None, t=None, more=False, reserved=0):
    bits = CAUSES.index(cause) << 1 | sum(1 << FLAGS[flag] for flag in set_flags) | more << 15 | reserved
    octets = u16(bits)
    octets += u16(0xFFFF if v is None else v)
    octets += u16(0xFFFF if i is None else i)
    octets += (0x800000 if p is None else p & 0xFFFFFF).to_bytes(3, "big")
    octets += u32(0xFFFFFFFF if e is None else e)
    octets += u8(0x80 if t is None else t & 0xFF)
    meaning = {flag: flag in set_flags for flag in FLAGS} | {"cause": cause}
    return octets, meaning | {"voltage_10mv": v, "current_ma": i, "power_10mw": p, "energy_100mwh": e, "temperature_c": t}


def report(minute, read, deltas, extensions=b""):
    octets, meaning = read
    bits = 0
    for delta in deltas:
        bits = bits << 12 | (0xFFF if delta is None else delta)
    meaning = {"minute": minute} | meaning | {f"delta_{k + 1}_100mwh": delta for k, delta in enumerate(deltas)}
    if extensions:
        meaning["extensions"] = dense(extensions)
    return u8(minute) + octets + bits.to_bytes(6, "big") + extensions, meaning


def command(op, name, argument=b"", reference=0x1234, **meaning):
    return u32(reference) + u8(op) + argument, {"reference": reference, "op": name} | meaning


OUTCOMES = ["done", "unsupported", "refused", "bad_argument", "stale", "busy"]


def response(low, outcome, form=0, data=b"", **meaning):
    return u16(low) + u8(form << 4 | OUTCOMES.index(outcome)) + data, {"command_low": low, "outcome": outcome} | meaning


def beacon(minute, offset, unix, first, pitch, slots, received, extensions=b""):
    octets = u8(minute) + u16(offset) + u32(unix or 0) + u16(first) + u16(pitch) + u16(slots) + received + extensions
    meaning = {"minute": minute, "offset_ms": offset, "unix_time_s": unix, "first_slot_ms": first, "pitch_ms": pitch, "slots": slots, "received": dense(received)}
    if extensions:
        meaning["extensions"] = dense(extensions)
    return octets, meaning


KETTLE = dict(v=23041, i=523, p=11834, e=123456, t=34)
PLAIN = report(7, reading("relay_on", **KETTLE), [20, 19, 21, 3])
BEACON_24 = beacon(7, 173, 0x67FF0000, 1000, 2400, 24, B("05FF7F"))


def seen(pdu, **more):
    """What the header says, and more."""
    kind = pdu[0] >> 2 & 15
    out = {
        "frame": NAMES[kind],
        "ack_request": bool(pdu[0] & 2),
        "relay_ok": bool(pdu[0] & 1),
        "hops_allowed": pdu[1] >> 4,
        "hops_left": pdu[1] & 15,
        "network": dense(pdu[2:4]),
        "short": dense(pdu[4:6]),
    }
    if kind in DIRECTION:
        out["counter"] = int.from_bytes(pdu[6:10], "big")
    elif kind in (ANSWER, ACK):
        out["counter_low"] = pdu[6]
    return out | more


class Frames:
    """The list of frame vectors, in the making."""

    def __init__(self):
        self.all = []

    def good(self, name, about, pdu, meaning, **extra):
        self.all.append({"id": name, "about": about, "hex": spaced(on_line(pdu)), **extra, "expect": seen(pdu, **meaning)})

    def bad(self, name, about, pdu, kind, line=None, **extra):
        self.all.append({"id": name, "about": about, "hex": spaced(line or on_line(pdu)), **extra, "error": {"kind": kind}})

    def sealed(self, name, about, kind, key, counter, message, **options):
        payload, meaning = message
        self.good(name, about, seal(kind, key, counter, payload, **options), meaning, payload=spaced(payload))

    def broken(self, name, about, kind, key, counter, payload):
        self.bad(name, about, seal(kind, key, counter, payload), "malformed", payload=spaced(payload))


def reports(out):
    up = K["up"]
    out.sealed("report", "relay on, 118.34 W, four minutes of history", REPORT, up, 0x1234, PLAIN)
    absent = report(8, reading(cause="power_on"), [None] * 4)
    out.sealed("report-absent", "nothing measured, no history", REPORT, up, 0x1235, absent)
    button = report(8, reading("button", cause="button", **KETTLE), [20, 19, 21, 3])
    out.sealed("report-event", "the button opened the relay; an ACK is wanted", REPORT, up, 0x1236, button, ack=1)
    export = report(255, reading("relay_on", "export", v=23500, i=65534, p=-8388607, e=0xFFFFFFFE, t=-127), [4094, 0, 1, None])
    out.sealed("report-export", "a solar inverter, at the ends of the ranges", REPORT, up, 0x1237, export)
    start = report(3, reading("booted", "sync", "energy_reset", "free_running", "locked_out", "hot", cause="over_temperature", **KETTLE), [5, None, None, None])
    out.sealed("report-boot", "after a start, with all that can be wrong", REPORT, up, 0x1638, start, ack=1, relay=1, hops=2)
    tail = B("0102 1388 0501 14 F003 AABBCC".replace(" ", ""))
    more = report(9, reading("relay_on", more=True, **KETTLE), [1, 2, 3, 4], tail)
    out.sealed("report-extensions", "50.00 Hz, beacon heard with 20 dB, and one of an experiment", REPORT, up, 0x1639, more)
    octets, meaning = report(9, reading("relay_on", reserved=0x7000, **KETTLE), [1, 2, 3, 4])
    out.sealed("report-reserved", "reserved flags set by a later version are ignored", REPORT, up, 0x163A, (octets, meaning))
    out.sealed("report-more", "the flag *more* with nothing behind it: no extensions", REPORT, up, 0x163C, report(9, reading("relay_on", more=True, **KETTLE), [1, 2, 3, 4]))
    octets, meaning = report(9, reading("relay_on", **KETTLE), [1, None, 3, 4])
    meaning = meaning | {"delta_3_100mwh": None, "delta_4_100mwh": None}
    out.sealed("report-gap", "behind an unknown minute all are unknown", REPORT, up, 0x163B, (octets, meaning))


def commands(out):
    down = K["down"]
    on = command(1, "switch", u8(1), on=True)
    off = command(1, "switch", u8(0), on=False)
    out.sealed("command-on", "switch on", COMMAND, down, 0x51, on)
    out.sealed("command-off", "switch off, two relays allowed", COMMAND, down, 0x52, off, relay=1, hops=2)
    pdu = seal(COMMAND, down, 0x52, off[0], relay=1, hops=2)
    pdu = pdu[:1] + B("21") + pdu[2:]
    out.good("command-off-relayed", "the same after one relay: HOP and CRC differ, the tag is the same", pdu, off[1], payload=spaced(off[0]))
    rows = [
        ("read", 2, b"", {}),
        ("interval", 3, u8(5), {"minutes": 5}),
        ("over_current", 4, u16(10000), {"limit_ma": 10000}),
        ("power_on", 5, u8(2), {"power_on": "last"}),
        ("identify", 6, u8(30), {"seconds": 30}),
        ("slot", 7, u16(639), {"slot": 639}),
        ("sync", 8, u32(7), {"group_counter": 7}),
        ("reboot", 9, b"", {}),
        ("leave", 0x0C, b"", {}),
        ("group_key", 0x0D, GROUP_KEY + u32(0), {"group_counter": 0}),
    ]
    for at, (name, op, argument, meaning) in enumerate(rows):
        message = command(op, name, argument, **meaning)
        out.sealed(f"command-{name.replace('_', '-')}", name, COMMAND, down, 0x53 + at, message)
    out.sealed("command-slot-none", "report by listening", COMMAND, down, 0x60, command(7, "slot", NONE, slot=None))
    rejected = [
        ("unknown-op", "an op of a later version", u32(0x1234) + B("F1AA"), "unsupported"),
        ("reserved-op", "BACKFILL, which a socket of this version does not know", u32(0x1234) + B("11"), "unsupported"),
        ("dead-op", "0A is not used", u32(0x1234) + B("0A"), "unsupported"),
        ("switch-2", "neither off nor on", u32(0x1234) + B("0102"), "bad_argument"),
        ("switch-long", "an octet too many", u32(0x1234) + B("010100"), "bad_argument"),
        ("switch-short", "no argument", u32(0x1234) + B("01"), "bad_argument"),
        ("interval-0", "never", u32(0x1234) + B("0300"), "bad_argument"),
        ("interval-61", "longer than an hour", u32(0x1234) + B("033D"), "bad_argument"),
        ("power-on-3", "a behaviour that there is not", u32(0x1234) + B("0503"), "bad_argument"),
        ("slot-640", "a slot that there is not", u32(0x1234) + B("070280"), "bad_argument"),
        ("group-key-short", "a key of fifteen octets", u32(0x1234) + B("0D") + GROUP_KEY[:15] + u32(0), "bad_argument"),
        ("no-op", "ends before the op", u32(0x1234), "bad_argument"),
        ("no-reference", "ends within the reference, which is then none", B("001234"), "stale"),
    ]
    for at, (name, about, payload, outcome) in enumerate(rejected):
        pdu = seal(COMMAND, down, 0x70 + at, payload)
        out.all.append({"id": f"command-{name}", "about": about, "hex": spaced(on_line(pdu)), "payload": spaced(payload), "error": {"kind": "rejected", "outcome": outcome}})


def answers(out):
    up = K["up"]
    octets, meaning = reading("relay_on", **KETTLE)
    out.sealed("response-reading", "the answer to READ, counter 0053", RESPONSE, up, 0x1640, response(0x53, "done", 1, octets, **meaning))
    out.sealed("response-stale", "the reference was too old", RESPONSE, up, 0x1641, response(0x54, "stale"))
    octets, _ = response(0x55, "done", 2, B("0102"))
    later = octets, {"command_low": 0x55, "outcome": "done", "form": 2, "data": "0102"}
    out.sealed("response-later", "a form of a later version: only the outcome is understood", RESPONSE, up, 0x1642, later)
    payload = u16(0x56) + u8(0x0E)
    out.sealed("response-unknown-outcome", "an outcome of a later version", RESPONSE, up, 0x1643, (payload, {"command_low": 0x56, "outcome": "other"}))
    out.good("answer-on", "done, relay on", answer(0x51, 0x80), {"outcome": "done", "relay_on": True}, about_counter=0x51)
    out.good("answer-off", "done, relay off", answer(0x152, 0x00), {"outcome": "done", "relay_on": False}, about_counter=0x152)
    out.good("answer-refused", "refused, relay off", answer(0x53, 0x02), {"outcome": "refused", "relay_on": False}, about_counter=0x53)
    out.good("answer-reserved", "reserved bits are ignored", answer(0x54, 0xF0), {"outcome": "done", "relay_on": True}, about_counter=0x54)
    out.good("ack", "REPORT 1236 arrived", ack(0x1236), {}, about_counter=0x1236)


def group(out):
    out.sealed("beacon", "24 slots, 2.4 s apart; 18 reports arrived", BEACON, GROUP_KEY, 7, BEACON_24)
    quiet = beacon(8, 30173, None, 0, 0, 0, b"", B("41013C"))
    out.sealed("beacon-quiet", "no slots, time not known, a minute of silence", BEACON, GROUP_KEY, 8, quiet)
    full = beacon(9, 59999, 0x67FF0078, 500, 90, 640, bytes(range(80)))
    out.sealed("beacon-full", "as long as it gets", BEACON, GROUP_KEY, 9, full)


def joining(out):
    meaning = {"eui": dense(EUI), "minor": 0, "capabilities": 0x13, "hardware": 0x0107, "socket_nonce": dense(NS)}
    out.good("join-up", "a socket with relay, meter and ring asks", join_up(), meaning)
    granted = {"group_counter": 6, "slot": 3}
    out.good("join-down", "it is let in, slot 3", join_down(), {"eui": dense(EUI), "gateway_nonce": dense(NG)} | granted)
    none = GRANT[:20] + NONE
    out.good("join-down-no-slot", "it is let in, without a slot", join_down(grant=none), {"eui": dense(EUI), "gateway_nonce": dense(NG), "group_counter": 6, "slot": None})
    out.good("resume-ask", "new keys are wanted", resume_ask(), {"gateway_nonce": dense(NG2)})
    out.good("resume-up", "the socket's half", resume_up(), {"socket_nonce": dense(NS2)})
    out.good("resume-down", "and the rest", resume_down(), granted)


def flipped(data, octet, mask=1):
    return data[:octet] + u8(data[octet] ^ mask) + data[octet + 1 :]


def unframed(out):
    good = seal(REPORT, K["up"], 0x1234, PLAIN[0])
    out.bad("bad-crc", "the last bit of the CRC is wrong", good, "crc", line=flipped(on_line(good), -1 + len(on_line(good))))
    out.bad("bad-crc-noise", "one bit of the payload was hit", good, "crc", line=flipped(on_line(good), 15))
    out.bad("bad-empty", "nothing but a CRC", b"", "crc", line=on_line(b""))
    for version in (0, 2, 3):
        pdu = fc(REPORT, version=version) + good[1:]
        out.bad(f"bad-version-{version}", "another major version", pdu, "version")
    out.bad("bad-version-short", "another major version may be as short as it likes", B("80"), "version")
    for kind in (12, 13, 14, 15):
        out.bad(f"bad-kind-{kind}", "reserved, or an experiment", fc(kind) + good[1:], "kind")
    out.bad("bad-short-header", "ends within the header", good[:5], "length")
    out.bad("bad-short-tag", "no room for counter and tag", good[:17], "length")
    out.bad("bad-long", "127 octets", good + bytes(127 - len(good)), "length")
    out.bad("bad-ack-long", "an octet too many", ack(0x1236) + b"\x00", "length")
    out.bad("bad-answer-short", "an octet too few", answer(0x51, 0x80)[:-1], "length")
    out.bad("bad-join-up-short", "truncated", join_up()[:-1], "length")
    out.bad("bad-join-down-long", "an octet too many", join_down() + b"\x00", "length")
    out.bad("bad-join-up-network", "JOIN-UP within a network", header(JOIN_UP, NET, NONE) + join_up()[6:], "address")
    out.bad("bad-join-up-short-address", "JOIN-UP with an address", header(JOIN_UP, NONE, SHORT) + join_up()[6:], "address")
    out.bad("bad-beacon-address", "a BEACON to one socket", header(BEACON) + seal(BEACON, GROUP_KEY, 7, BEACON_24[0])[6:], "address")
    for field, net, short in [("group", NET, ALL), ("unjoined", NET, NONE), ("network-0", ALL, SHORT), ("network-ffff", NONE, SHORT)]:
        out.bad(f"bad-report-{field}", "a REPORT from nobody", header(REPORT, net, short) + good[6:], "address")


def unauthentic(out):
    up, down = K["up"], K["down"]
    good = seal(REPORT, up, 0x1234, PLAIN[0])
    foreign = dict(net=B("1234"), short=B("0099"))
    out.bad("foreign-report", "a neighbour's socket", seal(REPORT, OTHER["up"], 0x1234, PLAIN[0], **foreign), "foreign")
    stolen = seal(COMMAND, down, 0x51, u32(0x1234) + B("0101"), net=B("1234"))
    out.bad("foreign-command", "under our own key, for another network", stolen, "foreign")
    for name, about, octet, mask in [
        ("payload", "one bit of the ciphertext", 12, 1),
        ("tag", "one bit of the tag", len(good) - 1, 0x80),
        ("counter", "the next counter", 9, 1),
        ("ack-request", "a flag that the socket did not set", 0, 2),
        ("relay-ok", "a relay that lets itself in", 0, 1),
    ]:
        out.bad(f"forged-{name}", about, flipped(good, octet, mask), "forged")
    out.bad("forged-kind", "a REPORT made a RESPONSE", fc(RESPONSE) + good[1:], "forged")
    out.bad("forged-key", "a COMMAND under K_up", seal(COMMAND, up, 0x51, u32(0x1234) + B("0101")), "forged")
    out.bad("forged-direction", "a COMMAND under the right key with the nonce of a REPORT", seal(COMMAND, down, 0x51, u32(0x1234) + B("0101"), direction=1), "forged")
    out.bad("forged-group", "a BEACON under a socket's key", seal(BEACON, up, 7, BEACON_24[0]), "forged")
    out.bad("forged-group-command", "a COMMAND under the group key", seal(COMMAND, GROUP_KEY, 0x51, u32(0x1234) + B("0101")), "forged")
    out.bad("forged-resumed", "under a key of the next set", seal(REPORT, K2["up"], 1, PLAIN[0]), "forged")
    out.bad("forged-answer-status", "refused made done", flipped(answer(0x51, 0x82), 7, 2), "forged", about_counter=0x51)
    out.bad("forged-answer-old", "the answer to the command 256 before", answer(0x51, 0x80), "forged", about_counter=0x151)
    out.bad("forged-answer-from-ack", "an ACK's tag", header(ANSWER) + B("5180") + ack(0x51)[-4:], "forged", about_counter=0x51)
    out.bad("forged-ack-old", "the ACK of a REPORT 65,536 before", ack(0x1236), "forged", about_counter=0x11236)
    out.bad("forged-ack-key", "under K_up", ack(0x1236, up), "forged", about_counter=0x1236)
    out.bad("forged-join-up", "a wrong install code", join_up(bytes(16)), "forged")
    out.bad("forged-join-up-nonce", "another Ns", flipped(join_up(), 18), "forged")
    stale = {label: derive(INSTALL, label, NS2, NG) for label in LABELS}
    out.bad("forged-join-down-attempt", "made for another Ns", join_down(stale), "forged")
    out.bad("forged-join-down-short", "another SHORT", flipped(join_down(), 5), "forged")
    out.bad("forged-join-down-code", "from a gateway with a wrong install code", join_down({label: derive(bytes(16), label, NS, NG) for label in LABELS}), "forged")
    out.bad("forged-resume-ask", "under another K_kek", resume_ask(K["up"]), "forged")
    out.bad("forged-resume-up", "answers another Ng'", resume_up(NG), "forged")
    out.bad("forged-resume-down", "under the old K_wrap", resume_down(K["wrap"]), "forged")


def malformed(out):
    up = K["up"]
    report_octets = PLAIN[0]
    more = report_octets[:1] + u8(report_octets[1] | 0x80) + report_octets[2:]
    out.broken("malformed-report-short", "no room for the history", REPORT, up, 0x1700, report_octets[:20])
    out.broken("malformed-report-long", "extensions without the flag", REPORT, up, 0x1701, report_octets + B("010109"))
    out.broken("malformed-extension", "an extension that ends behind the payload", REPORT, up, 0x1702, more + B("0102AA"))
    out.broken("malformed-extension-type", "a type without a length", REPORT, up, 0x1703, more + B("01"))
    out.broken("malformed-response", "a reading of 13 octets", RESPONSE, up, 0x1704, u16(0x53) + B("10") + bytes(13))
    out.broken("malformed-response-empty", "data where there are none", RESPONSE, up, 0x1705, u16(0x53) + B("0001"))
    out.broken("malformed-response-short", "ends before the outcome", RESPONSE, up, 0x1706, u16(0x53))
    octets = BEACON_24[0]
    out.broken("malformed-beacon-short", "a bitmap of two octets for 24 slots", BEACON, GROUP_KEY, 20, octets[:-1])
    out.broken("malformed-beacon-offset", "ends in the next minute", BEACON, GROUP_KEY, 21, octets[:1] + u16(60000) + octets[3:])
    out.broken("malformed-beacon-late-slots", "the last slot lies in the next minute", BEACON, GROUP_KEY, 22, beacon(7, 1, 0, 2500, 2400, 24, bytes(3))[0])
    out.broken("malformed-beacon-pitch", "24 slots at once", BEACON, GROUP_KEY, 25, beacon(7, 1, 0, 1000, 0, 24, bytes(3))[0])
    out.broken("malformed-beacon-middle", "its only slot ends at 60,001 ms", BEACON, GROUP_KEY, 26, beacon(7, 1, 0, 30999, 29001, 1, bytes(1))[0])
    out.broken("malformed-beacon-many-slots", "641 slots", BEACON, GROUP_KEY, 23, beacon(7, 1, 0, 0, 90, 641, bytes(81))[0])
    out.broken("malformed-beacon-extension", "an extension without a length", BEACON, GROUP_KEY, 24, octets + B("41"))
    out.bad("malformed-join-down-slot", "slot 640", join_down(grant=GRANT[:20] + u16(640)), "malformed")


def frames():
    out = Frames()
    for part in (reports, commands, answers, group, joining, unframed, unauthentic, malformed):
        part(out)
    return out.all


# 5.5, 5.6: freshness, as sequences -----------------------------------------------------------------------------------------


def fresh():
    tag = lambda number: f"{number:016X}"
    window = lambda *steps: [{"counter": counter, "verdict": verdict} for counter, verdict in steps]
    cmd = lambda counter, tag_no, reference, sent, verdict: {"counter": counter, "tag": tag(tag_no), "reference": reference, "sent": sent, "verdict": verdict}
    return [
        {"id": "up-in-order", "gate": "reports", "about": "one after the other, each once", "steps": window((1, "fresh"), (2, "fresh"), (2, "repeat"), (1, "repeat"), (3, "fresh"))},
        {"id": "up-overtaken", "gate": "reports", "about": "a repeat that was overtaken is fresh once", "steps": window((10, "fresh"), (12, "fresh"), (11, "fresh"), (11, "repeat"), (10, "repeat"))},
        {"id": "up-window", "gate": "reports", "about": "63 below the newest are remembered", "steps": window((100, "fresh"), (37, "fresh"), (36, "replayed"), (37, "repeat"), (164, "fresh"), (101, "fresh"), (100, "replayed"))},
        {"id": "up-jump", "gate": "reports", "about": "after a power cut the counter jumps", "steps": window((5, "fresh"), (1040, "fresh"), (5, "replayed"), (1041, "fresh"), (4294967295, "fresh"), (4294967295, "repeat"))},
        {"id": "up-zero", "gate": "reports", "about": "counter 0 is never used", "steps": window((0, "replayed"), (1, "fresh"), (0, "replayed"))},
        {"id": "up-restored", "gate": "reports", "restored": 50, "about": "what may have been told before is not told again", "steps": window((50, "repeat"), (49, "repeat"), (51, "fresh"), (52, "fresh"))},
        {"id": "down-in-order", "gate": "commands", "about": "each once; the last one again is a repeat", "steps": [cmd(1, 1, 100, 100, "fresh"), cmd(1, 1, 100, 100, "repeat"), cmd(2, 2, 100, 101, "fresh"), cmd(1, 1, 100, 101, "replayed")]},
        {"id": "down-other-tag", "gate": "commands", "about": "the last counter with another tag is not a repeat", "steps": [cmd(7, 1, 9, 9, "fresh"), cmd(7, 2, 9, 9, "replayed"), cmd(7, 1, 9, 9, "repeat")]},
        {"id": "down-repeat-late", "gate": "commands", "about": "a repeat is answered however far the up-counter went", "steps": [cmd(7, 1, 9, 9, "fresh"), cmd(7, 1, 9, 500, "repeat")]},
        {"id": "down-stale", "gate": "commands", "about": "four behind is the most, and none ahead; stale ones are not remembered", "steps": [cmd(1, 1, 96, 100, "fresh"), cmd(2, 2, 95, 100, "stale"), cmd(3, 3, 101, 100, "stale"), cmd(2, 4, 100, 100, "fresh")]},
        {"id": "down-whole", "gate": "commands", "about": "the low 16 bits alone say nothing", "steps": [cmd(1, 1, 1, 65537, "stale"), cmd(2, 2, 65537, 1, "stale"), cmd(3, 3, 65533, 65537, "fresh"), cmd(4, 4, 4294967295, 4294967295, "fresh")]},
        {"id": "down-power-cut", "gate": "commands", "about": "recorded before the cut at 1000, sent after the start at ceiling 1024 + 16", "steps": [cmd(41, 1, 1000, 1040, "stale"), cmd(42, 2, 1024, 1040, "stale"), cmd(43, 3, 1040, 1041, "fresh")]},
        {"id": "down-come-round", "gate": "commands", "about": "63 power cuts later the low 16 bits fit again; the reference does not", "steps": [cmd(12, 1, 1040, 66576, "stale"), cmd(40, 1, 1041, 66576, "stale")]},
        {"id": "group-in-order", "gate": "group", "about": "only upwards, by at most 4096", "steps": window((1, "fresh"), (1, "replayed"), (4097, "fresh"), (8194, "too_far"), (8193, "fresh"), (4294967295, "too_far"), (8192, "replayed"))},
        {"id": "group-restored", "gate": "group", "restored": 600, "about": "below the floor that a SYNC named all is old", "steps": window((600, "replayed"), (1, "replayed"), (601, "fresh"))},
    ]


# 7.1: labels -------------------------------------------------------------------------------------------------------------------


def labels():
    plain = label_of(EUI, INSTALL)
    ones = label_of(B("FFFFFFFFFFFFFFFF"), B("FF" * 16))
    hard = label_of(B("02A0B1FFFE00ABCD"), B("080021084210842108421084210842FF"))
    prefix, eui, key, check = plain.split(":")
    ok = lambda name, about, text, eui, key: {"id": name, "about": about, "text": text, "expect": {"eui": dense(eui), "install_key": dense(key)}}
    no = lambda name, about, text, kind: {"id": name, "about": about, "text": text, "error": {"kind": kind}}
    body = hard.split(":")
    mistyped = ":".join([body[0], body[1], body[2].replace("0", "O").replace("1", "l"), body[3]]).lower().replace("plg1", "PLG1")
    dashes = lambda text: "-".join(text[at : at + 4] for at in range(0, len(text), 4))
    swapped = key[:5] + key[6] + key[5] + key[7:]
    assert swapped != key
    late = key[:-1] + CROCKFORD[CROCKFORD.index(key[-1]) + 1]
    return [
        ok("label", "as it is printed", plain, EUI, INSTALL),
        ok("label-ones", "every bit set", ones, B("FF" * 8), B("FF" * 16)),
        ok("label-mistyped", "small letters, O for 0, l for 1", mistyped, B("02A0B1FFFE00ABCD"), B("080021084210842108421084210842FF")),
        ok("label-spaced", "with spaces and hyphens", f" {prefix}: {dashes(eui)} : {dashes(key)}: {check} ", EUI, INSTALL),
        no("label-prefix", "a label of something else", plain.replace("PLG1", "PLG2"), "prefix"),
        no("label-bare", "without its prefix", plain[5:], "prefix"),
        no("label-empty", "nothing", "", "prefix"),
        no("label-wrong", "one character of the key is wrong", f"{prefix}:{eui}:{key[:9]}Z{key[10:]}:{check}", "check"),
        no("label-eui", "one digit of the EUI is wrong", plain.replace("1234", "1235"), "check"),
        no("label-swapped", "two characters changed places", f"{prefix}:{eui}:{swapped}:{check}", "check"),
        no("label-late-bit", "a bit behind the 128th", f"{prefix}:{eui}:{late}:{check}", "check"),
        no("label-short", "a character is missing", f"{prefix}:{eui}:{key[1:]}:{check}", "length"),
        no("label-long", "a character too many", f"{prefix}:{eui}:{key}0:{check}", "length"),
        no("label-cut", "ends before the check", f"{prefix}:{eui}:{key}", "length"),
        no("label-letter", "U is not in the alphabet", f"{prefix}:{eui}:U{key[1:]}:{check}", "character"),
        no("label-hex", "G in the EUI", f"{prefix}:G{eui[1:]}:{key}:{check}", "character"),
        no("label-more", "something behind it", plain + ":1", "character"),
    ]


# 9: host link --------------------------------------------------------------------------------------------------------------------


def packet(kind, number, body):
    data = u8(kind) + u8(number) + body
    data += struct.pack("<I", crc32c(data))
    return b"\x00" + cobs(data) + b"\x00"


def link():
    pdu = seal(COMMAND, K["down"], 0x51, u32(0x1234) + B("0101"))
    heard = seal(REPORT, K["up"], 0x1234, PLAIN[0])
    hello = u8(1) + u32(5) + u8(1) + u8(2) + u32(2400) + u8(14) + u8(1) + u8(126) + u8(4) + u64(123456)
    status = u64(60_000_000) + u32(120) + u32(3) + u32(14) + u32(0) + u32(21000) + u8(1)
    out = []

    def good(name, about, kind, number, body, message, /, **meaning):
        out.append({"id": name, "about": about, "hex": spaced(packet(kind, number, body)), "expect": {"number": number, "message": message} | meaning})

    def bad(name, about, wire, kind):
        out.append({"id": name, "about": about, "hex": spaced(wire), "error": {"kind": kind}})

    good("reset", "the gateway starts", 0x01, 0, u8(1), "reset", version=1)
    greeting = dict(version=1, boot=5, kind=1, reason=2, bit_per_s=2400, overhead=14, own_check=True, no_slots=False, max_pdu=126, queue=4, clock_us=123456)
    good("hello", "an ST7580 after a RESET", 0x02, 0, hello, "hello", **greeting)
    good("hello-later", "a later version says more", 0x02, 1, hello + B("DEADBEEF"), "hello", **greeting)
    unknown = u8(1) + u32(6) + u8(9) + u8(9) + u32(2400) + u8(6) + u8(0xFE) + u8(126) + u8(4) + u64(123456)
    nothing = dict(greeting, boot=6, kind=None, reason=None, overhead=6, own_check=False, no_slots=True)
    good("hello-unknown", "kind, reason and flags of a later version, and no slots", 0x02, 2, unknown, "hello", **nothing)
    good("tx-req", "switch on, between 2 s and 2.5 s", 0x20, 2, u8(0) + u64(2_000_000) + u64(2_500_000) + pdu, "tx_req", not_before_us=2_000_000, not_after_us=2_500_000, pdu=dense(pdu))
    good("tx-req-now", "at once, whenever", 0x20, 3, u8(0) + u64(0) + u64(2**64 - 1) + pdu, "tx_req", not_before_us=0, not_after_us=None, pdu=dense(pdu))
    good("tx-queued", "it waits", 0x23, 2, u8(0) + u64(0) + u32(0), "tx_conf", result="queued", end_us=0, airtime_us=0)
    good("tx-conf", "it was sent, at 2 s: 24 octets and 14 of overhead, at 2400 bit/s", 0x23, 2, u8(1) + u64(2_126_667) + u32(126_667), "tx_conf", result="sent", end_us=2_126_667, airtime_us=126_667)
    good("tx-late", "the line was not free", 0x23, 3, u8(2) + u64(0) + u32(0), "tx_conf", result="late", end_us=0, airtime_us=0)
    good("tx-later", "a result of a later version", 0x23, 4, u8(9) + u64(0) + u32(0), "tx_conf", result="other", end_us=0, airtime_us=0)
    good("rx-ind", "a REPORT, 25 dB, 71 dBµV", 0x21, 3, u8(25) + u8(71) + u64(3_456_789) + heard, "rx_ind", snr_db=25, level_dbuv=71, end_us=3_456_789, pdu=dense(heard))
    good("rx-ind-unknown", "how well is not known", 0x21, 4, u8(127) + u8(255) + u64(1) + heard, "rx_ind", snr_db=None, level_dbuv=None, end_us=1, pdu=dense(heard))
    good("rx-ind-weak", "below the noise", 0x21, 5, u8(0xFD) + u8(30) + u64(1) + B("40"), "rx_ind", snr_db=-3, level_dbuv=30, end_us=1, pdu="40")
    good("cancel", "not that one", 0x22, 6, u8(3), "cancel", request=3)
    good("status-req", "how are you", 0x24, 7, b"", "status_req")
    good("status", "well", 0x25, 7, status, "status", clock_us=60_000_000, received=120, bad=3, sent=14, link_errors=0, busy_ms=21000, queued=1)
    wire = packet(0x01, 0, u8(1))
    bad("bad-link-crc", "one bit was hit", flipped(wire, 4, 2), "crc")
    bad("bad-link-stuffing", "a code that points behind the end", B("00 FF 01 02 00".replace(" ", "")), "stuffing")
    bad("bad-link-short", "no room for number and CRC", b"\x00" + cobs(B("0102030405")) + b"\x00", "short")
    bad("bad-link-long", "longer than any packet", b"\x00" + b"\x41" * 400 + b"\x00", "long")
    bad("bad-link-type", "a type of a later version", packet(0x77, 0, b""), "malformed")
    bad("bad-link-body", "a HELLO that ends early", packet(0x02, 0, hello[:-1]), "malformed")
    bad("bad-link-rate", "a line at 0 bit/s", packet(0x02, 0, hello[:7] + u32(0) + hello[11:]), "malformed")
    return out


def rendered(vectors):
    def one(vector):
        lines = [f"    {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in vector.items()]
        return "  {\n" + ",\n".join(lines) + "\n  }"

    return "[\n" + ",\n".join(one(vector) for vector in vectors) + "\n]\n"


def main():
    made = {"keys": keys(), "frames": frames(), "fresh": fresh(), "labels": labels(), "link": link()}
    check = sys.argv[1:] == ["--check"]
    wrong = []
    for name, vectors in made.items():
        ids = [vector["id"] for vector in vectors]
        assert len(ids) == len(set(ids)), f"{name}: an id twice"
        path = HERE / f"plugline-{name}.json"
        text = rendered(vectors)
        if not check:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            wrong.append(path.name)
    print(f"{sum(map(len, made.values()))} vectors" + (f"; differ: {', '.join(wrong)}" if wrong else ""))
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
