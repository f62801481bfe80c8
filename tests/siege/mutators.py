"""Ways in which bytes and text are damaged, by mistake or on purpose; each draws from a seeded generator."""

from __future__ import annotations

import random
from collections.abc import Callable

BYTES: dict[str, Callable[[bytearray, random.Random], None]] = {}


def damaged(data: bytes, rng: random.Random, *, most: int = 3) -> bytes:
    """Return the data after one to `most` mutations."""
    found = bytearray(data)
    for _ in range(rng.randint(1, most)):
        if found:
            BYTES[rng.choice(list(BYTES))](found, rng)
    return bytes(found)


def _place(data: bytearray, rng: random.Random) -> int:
    """Return a place in the data, as often in its first 200 bytes, where headers are, as anywhere."""
    return rng.randrange(min(len(data), 200) if rng.random() < 0.3 else len(data))


def _bit(data: bytearray, rng: random.Random) -> None:
    data[_place(data, rng)] ^= 1 << rng.randrange(8)


def _byte(data: bytearray, rng: random.Random) -> None:
    data[_place(data, rng)] = rng.choice((0, 0xFF, 0x7F, 0x80, rng.randrange(256)))


def _cut(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data)) :]


def _zeros(data: bytearray, rng: random.Random) -> None:
    start = _place(data, rng)
    stop = min(len(data), start + rng.choice((16, 256, 4096)))
    data[start:stop] = bytes(stop - start)


def _tail(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data))
    data[start:] = bytes(len(data) - start)


def _lost(data: bytearray, rng: random.Random) -> None:
    start = _place(data, rng)
    del data[start : start + rng.choice((1, 4, 64, 512))]


def _again(data: bytearray, rng: random.Random) -> None:
    start = _place(data, rng)
    data[start:start] = data[start : start + rng.choice((1, 4, 64, 512))]


def _moved(data: bytearray, rng: random.Random) -> None:
    start, length = _place(data, rng), rng.choice((4, 64, 512))
    part = data[start : start + length]
    del data[start : start + length]
    target = rng.randrange(len(data) + 1)
    data[target:target] = part


def _number(data: bytearray, rng: random.Random) -> None:
    """Write a number of four bytes that a length or a size may be."""
    value = rng.choice((0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 0x10000, rng.getrandbits(32)))
    start = _place(data, rng)
    written = value.to_bytes(4, rng.choice(("big", "little")))
    data[start : start + 4] = written[: len(data) - start]


BYTES.update(
    bit=_bit, byte=_byte, cut=_cut, zeros=_zeros, tail=_tail, lost=_lost, again=_again, moved=_moved, number=_number
)
