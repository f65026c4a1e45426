"""What the benchmark programs compute, said again in Python: lists, dictionaries, zlib, numpy and floats instead of their C."""

from __future__ import annotations

import math
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np

MASK32, MASK64 = (1 << 32) - 1, (1 << 64) - 1
MIX = 0x9E3779B97F4A7C15


def lcg(seed: int) -> Iterator[int]:
    while True:
        seed = (seed * 1664525 + 1013904223) & MASK32
        yield seed >> 8


def words(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}I", *(value & MASK32 for value in values))


def integer() -> int:
    draw = lcg(1)
    values = [next(draw) & 0xFFF for _ in range(256)]
    order = list(reversed(range(256)))  # each one was put in front
    total = 0
    for _ in range(32):
        wanted = values[next(draw) % 256]
        total = total * 31 + [values[i] for i in order].index(wanted)
        order.reverse()
    data = words(total) + b"".join(words(*pair) for pair in sorted((value, i) for i, value in enumerate(values)))

    pairs = [(next(draw), next(draw)) for _ in range(400)]
    left, right = (np.array([pair[i] for pair in pairs], np.uint64).reshape(20, 20) for i in (0, 1))
    data += (left @ right).astype(np.uint32).tobytes()

    text = bytearray(b"0123456789,,,+-.e0123,9.8e4-51+2"[next(draw) % 32] for _ in range(2048))
    states = "START SIGNED INTEGER POINT FRACTION E E_SIGNED EXPONENT INVALID".split()
    edges = {  # state: what follows a digit, a sign, a point and an e
        "START": ("INTEGER", "SIGNED", "POINT", ""),
        "SIGNED": ("INTEGER", "", "POINT", ""),
        "INTEGER": ("INTEGER", "", "FRACTION", "E"),
        "POINT": ("FRACTION", "", "", ""),
        "FRACTION": ("FRACTION", "", "", "E"),
        "E": ("EXPONENT", "E_SIGNED", "", ""),
        "E_SIGNED": ("EXPONENT", "", "", ""),
        "EXPONENT": ("EXPONENT", "", "", ""),
        "INVALID": ("", "", "", ""),
    }
    kinds = {**dict.fromkeys("0123456789", 0), "+": 1, "-": 1, ".": 2, "e": 3}
    ends: Counter[str] = Counter()
    visits: Counter[str] = Counter()
    for _ in range(3):
        state = "START"
        for i, byte in enumerate(text):
            if byte == ord(","):
                ends[state] += 1
                state = "START"
            else:
                kind = kinds.get(chr(byte))
                state = "INVALID" if kind is None else edges[state][kind] or "INVALID"
                visits[state] += 1
            if i % 64 == 63:
                text[i] ^= 1
    return zlib.crc32(data + words(*(ends[s] for s in states)) + words(*(visits[s] for s in states)))


def fnv1a(text: str) -> int:
    value = 2166136261
    for byte in text.encode():
        value = (value ^ byte) * 16777619 & MASK32
    return value


def strings() -> int:
    draw = lcg(7)
    syllables = "ka lo mi ren ta shu vo el dra ni sol qua be or un ith".split()
    names: list[str] = []
    points: list[tuple[int, int]] = []
    newest: dict[str, int] = {}  # of a name that came twice, the later one is found
    for i in range(256):
        name = "".join(syllables[next(draw) % 16] for _ in range(2 + next(draw) % 4)) + str(next(draw) % 100)
        names.append(name)
        points.append((next(draw) % 20001 - 10000, next(draw) % 20001 - 10000))
        newest[name] = i
    found = [0] * 256
    data = b""
    for _ in range(512):
        i = newest[names[next(draw) % 256]]
        x, y = points[i]
        data += words(fnv1a(f"{names[i]} {x},{y}"))
        x = int(x / 2) + i  # C rounds towards zero
        points[i] = x, y - x
        found[i] += 1
    for _, i in sorted((name, i) for i, name in enumerate(names)):
        data += words(*points[i], i, found[i])
    return zlib.crc32(data)


def memory() -> int:
    half = 8 << 20
    composite = np.zeros(half, np.uint8)
    composite[0] = 1
    for p in range(3, math.isqrt(2 * half) + 1, 2):
        if not composite[p // 2]:
            composite[p * p // 2 :: p] = 1
    # the copies go to and fro 0, 4, 8 and 12 KiB further on; what is summed is the buffer between
    between = np.zeros(half, np.uint8)
    for i in range(4):
        between[4096 * i :] = composite[: half - 4096 * i]
    total = 0
    for word in between.view("<u8").tolist():
        total = (total ^ word) * MIX & MASK64
    return total ^ (1 + half - int(composite.sum()))


def bytecode() -> int:
    def collatz(n: int) -> int:
        return 0 if n == 1 else 1 + collatz(3 * n + 1 if n & 1 else n // 2)

    @cache
    def fibonacci(n: int) -> int:
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    steps = sum(collatz(n) for n in range(1, 221))
    primes = sum(all(n % d for d in range(2, n)) for n in range(2, 251))
    return steps << 32 | primes << 16 | fibonacci(14)


def nbody() -> int:
    bodies = [
        [3.0 * n, n * n - 4.0, 1 - n / 2, n / 8, (2 - n) / 16, n / 64, 40.0 if n == 0 else 1 / (n + 1)] for n in range(5)
    ]
    dt = 0.01
    for _ in range(1000):
        for i, a in enumerate(bodies):
            for b in bodies[i + 1 :]:
                dx, dy, dz = a[0] - b[0], a[1] - b[1], a[2] - b[2]
                square = dx * dx + dy * dy + dz * dz
                pull = dt / (square * math.sqrt(square))
                by_a, by_b = a[6] * pull, b[6] * pull
                for k, d in enumerate((dx, dy, dz), 3):
                    a[k] -= d * by_b
                    b[k] += d * by_a
        for a in bodies:
            for k in range(3):
                a[k] += dt * a[k + 3]
    total = 0
    for body in bodies:
        x, y, _, _, _, vz, _ = (int.from_bytes(struct.pack("<d", number), "little") for number in body)
        total = ((total ^ x ^ y) * MIX + vz) & MASK64
    return total


CHECKSUMS: dict[str, Callable[[], int]] = {
    "integer": integer,
    "strings": strings,
    "memory": memory,
    "bytecode": bytecode,
    "nbody": nbody,
}
