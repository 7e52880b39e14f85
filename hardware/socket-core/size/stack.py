#!/usr/bin/env python3
"""Deepest stack of an image: frame sizes that the compiler noted, along the calls that the code makes.

Reads what llvm-readelf and llvm-objdump print. Calls through pointers and recursion would make the figure wrong: both
are errors.
"""
import re
import subprocess
import sys


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def functions(image):
    """Start address -> name, of code symbols."""
    found = {}
    for line in run("llvm-readelf", "-sW", "-C", image).splitlines():
        match = re.match(r"\s*\d+:\s+([0-9a-f]+)\s+\d+\s+FUNC\s+\S+\s+\S+\s+\S+\s+(.+)", line)
        if match:
            found[int(match[1], 16) & ~1] = match[2].strip()
    return found


def frames(image):
    """Name -> octets of its frame."""
    sizes = {}
    for line in run("llvm-readelf", "--stack-sizes", "-C", image).splitlines():
        match = re.match(r"\s*(\d+)\s+(\S.*)", line)
        if match:
            for name in match[2].split(", "):
                sizes[name] = int(match[1])
            sizes[match[2]] = int(match[1])
    return sizes


def calls(image, starts):
    """Start address -> start addresses of what it calls, and the functions that call what cannot be told."""
    lines = []
    for line in run("llvm-objdump", "-d", "--no-show-raw-insn", image).splitlines():
        match = re.match(r"\s*([0-9a-f]+):\s+(\S+)\s*(.*)", line)
        if match:
            lines.append((int(match[1], 16), match[2], match[3]))
    # Literals between the functions are printed with their octets in front.
    words = {at: int(rest.split(".word")[1], 16) for at, _, rest in lines if ".word" in rest}
    edges, unknown, here, held = {start: set() for start in starts}, set(), None, {}
    for at, operation, operands in lines:
        if at in starts:
            here, held = at, {}
        address = re.search(r"0x([0-9a-f]+)", operands)
        if operation == "ldr" and "[pc" in operands and "@ 0x" in operands:
            # A function that is called often has its address in a register.
            literal = re.search(r"@ 0x([0-9a-f]+)", operands)
            held[operands.split(",")[0]] = words.get(int(literal[1], 16))
        to = None
        if operation in ("bl", "b", "b.w") and address:
            to = int(address[1], 16) & ~1
        elif operation == "blx" and here is not None:
            to = (held.get(operands) or 0) & ~1
            if to not in starts:
                unknown.add(here)
        if here is not None and to in starts and to != here:
            edges[here].add(to)
    return edges, unknown


def main():
    image, root = sys.argv[1:]
    names, sizes = functions(image), frames(image)
    edges, unknown = calls(image, set(names))
    deepest = {}

    def depth(start, above):
        if start in above:
            sys.exit(f"recursion: {names[start]}")
        if start not in deepest:
            below = max(((depth(to, above | {start}), to) for to in edges[start]), default=((0, []), None))
            (octets, way), _ = below
            # Assembly without a note saves a few registers at most.
            own = sizes.get(names[start], 32)
            deepest[start] = (own + octets, [(own, names[start]), *way])
            if start in unknown:
                sys.exit(f"a call through a pointer: {names[start]}")
        return deepest[start]

    for start, name in names.items():
        if name.endswith(root):
            octets, way = depth(start, frozenset())
            for own, step in way:
                print(f"# {own:6} {step[:100]}")
            print(octets)
            return
    sys.exit(f"no function {root}")


main()
