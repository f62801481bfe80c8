"""Quantisation tables of JPEGs: those of libjpeg, which most encoders write, with a few steps that were altered.

Such a table is valid, and the picture that it gives is another one. A table that is no encoder's but for one of
libjpeg's in all other places is what damage makes of one.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

# Of ISO/IEC 10918-1, Annex K, which libjpeg scales by a quality from 1 to 100.
_BRIGHTNESS = """
    16  11  10  16  24  40  51  61
    12  12  14  19  26  58  60  55
    14  13  16  24  40  57  69  56
    14  17  22  29  51  87  80  62
    18  22  37  56  68 109 103  77
    24  35  55  64  81 104 113  92
    49  64  78  87 103 121 120 101
    72  92  95  98 112 100 103  99
"""
_COLOUR = """
    17  18  24  47  99  99  99  99
    18  21  26  66  99  99  99  99
    24  26  56  99  99  99  99  99
    47  66  99  99  99  99  99  99
    99  99  99  99  99  99  99  99
    99  99  99  99  99  99  99  99
    99  99  99  99  99  99  99  99
    99  99  99  99  99  99  99  99
"""
_COARSEST, _FINEST = 10, 97  # the qualities that are compared: beyond them most steps are 255 or 1, whoever wrote them
_MOST = 6  # steps that are altered
_FAR, _TIMES = 8, 2  # by so much and so many times; those of cameras differ by up to 3, or up to 1.52 times


def is_altered(steps: bytes) -> bool:
    """Return whether 64 steps, in the order of the file, are libjpeg's at a usual quality but for a few far ones.

    A finer first step alone is an encoder's choice: it keeps slopes smooth.
    """
    given = np.frombuffer(steps, dtype=np.uint8).astype(np.int64)
    apart = _usual() != given
    counts = apart.sum(axis=1)
    nearest = int(counts.argmin())
    if not 0 < counts[nearest] <= _MOST:
        return False
    usual, places = _usual()[nearest], np.flatnonzero(apart[nearest])
    low, high = np.minimum(usual, given)[places], np.maximum(usual, given)[places]
    far = (high - low >= _FAR) & (high >= _TIMES * low)
    return bool((far & ((places > 0) | (given[places] > usual[places]))).any())


@cache
def _usual() -> npt.NDArray[np.int64]:
    """Return the tables that libjpeg writes, int64 [2 × qualities, 64]."""
    across, down = np.meshgrid(np.arange(8), np.arange(8))
    diagonal = (across + down).ravel()
    along = np.where(diagonal % 2 == 1, down.ravel(), across.ravel())
    order = np.lexsort((along, diagonal))  # the order of the file: along the diagonals, to and fro
    tables = []
    for text in (_BRIGHTNESS, _COLOUR):
        base = np.array(text.split(), dtype=np.int64)[order]
        for quality in range(_COARSEST, _FINEST + 1):
            scale = 5000 // quality if quality < 50 else 200 - 2 * quality
            tables.append(np.clip((base * scale + 50) // 100, 1, 255))
    return np.stack(tables)
