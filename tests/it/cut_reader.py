"""Reads the feed of a gateway and loses its connection at random bytes, by the standard library alone.

Arguments: address, port, `sse` or `poll`, number of the last event, seed, token. Prints the number of each event, in the order
in which it came; a reset or an answer of 410 is printed as `reset`.
"""

import json
import random
import socket
import sys

address, port, way, last, seed = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
chance = random.Random(seed)
cursor, seen, cuts = None, 0, 0


def connect():
    """Asks after the cursor; gives the socket, and how many bytes of the answer come before it is cut."""
    wire = socket.create_connection((address, port), timeout=20)
    after = cursor or "earliest"
    if way == "sse":
        # A header by which a browser comes back, or the query at the first time.
        path = "/v1/events" if cursor else "/v1/events?after=earliest"
        head = "Accept: text/event-stream\r\n" + (f"Last-Event-ID: {cursor}\r\n" if cursor else "")
    else:
        path, head = f"/v1/events?after={after}&wait=5&limit=7", ""
    wire.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {sys.argv[6]}\r\n{head}\r\n".encode())
    # Seldom to the end.
    return wire, chance.choice([chance.randrange(1, 400), chance.randrange(1, 4000), 1 << 30])


def body(wire, allowed):
    """The bytes of the body as they come, chunks taken apart, until the cut or the end."""
    left, raw, plain, chunked, head = allowed, b"", b"", False, True
    while left > 0:
        got = wire.recv(min(left, 4096))
        if not got:
            return
        left -= len(got)
        raw += got
        if head:
            if b"\r\n\r\n" not in raw:
                continue
            top, raw = raw.split(b"\r\n\r\n", 1)
            head, chunked = False, b"chunked" in top.lower()
            if b" 410 " in top.split(b"\r\n")[0]:
                print("reset")
        if not chunked:
            plain, raw = raw, b""
            yield plain
            continue
        while b"\r\n" in raw:
            size, rest = raw.split(b"\r\n", 1)
            count = int(size, 16)
            if count == 0:
                return
            if len(rest) < count + 2:
                break
            yield rest[:count]
            raw = rest[count + 2:]


def tell(event):
    global seen
    seen = int(event.rsplit(".", 1)[1])
    print(seen)


while seen < last:
    wire, allowed = connect()
    cuts += 1
    text = b""
    with wire:
        for piece in body(wire, allowed):
            text += piece
            while way == "sse" and b"\n\n" in text:
                block, text = text.split(b"\n\n", 1)
                lines = dict(line.split(": ", 1) for line in block.decode().split("\n") if ": " in line)
                cursor = lines.get("id", cursor)
                if lines.get("event") == "reset":
                    print("reset")
                elif lines.get("event") not in (None, "hello"):
                    tell(lines["id"])
            if seen >= last:
                break
    if way == "poll":
        try:
            page = json.loads(text)
        except ValueError:
            continue  # cut inside: nothing of it counts
        for event in page["events"]:
            tell(event["id"])
        cursor = page["cursor"]
print(f"cuts {cuts}", file=sys.stderr)
