"""When each picture was taken, from its EXIF."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
from PIL import Image

from headstart.data.dataset import Reader
from headstart.data.decoding.decode import quiet_pillow
from headstart.data.sources.without_labels import file_of
from headstart.progress import progress

UNKNOWN_TIME = -1
LEAST_SHARE = 0.5  # of the images must have a time
_TRIED = 200  # images, of which none has a time where the data have none
_EXIF, _TAKEN, _WRITTEN = 0x8769, 36867, 306


def capture_times(reader: Reader) -> npt.NDArray[np.int64] | None:
    """Return seconds since 1970 [n], -1 where there is none; None where fewer than half of the images have a time.

    The time zone is not known, so times are read as UTC.
    """
    n = len(reader)
    found = np.full(n, UNKNOWN_TIME, dtype=np.int64)
    tried = np.linspace(0, n - 1, min(n, _TRIED)).astype(int)
    with quiet_pillow():
        if not any(_taken(reader, row) >= 0 for row in tried.tolist()):
            return None
        with progress("times of the images", n) as ticker:
            for row in range(n):
                found[row] = _taken(reader, row)
                ticker.advance()
    return found if (found >= 0).mean() >= LEAST_SHARE else None


def _taken(reader: Reader, row: int) -> int:
    """Return when one picture was taken, or -1."""
    try:
        path = file_of(reader, row)
        content = path if path is not None else reader.read(row)
        if isinstance(content, np.ndarray):
            return UNKNOWN_TIME
        with Image.open(io.BytesIO(content) if isinstance(content, bytes) else content) as picture:
            exif = picture.getexif()
            text = exif.get_ifd(_EXIF).get(_TAKEN) or exif.get(_WRITTEN)
        moment = datetime.strptime(str(text), "%Y:%m:%d %H:%M:%S").replace(tzinfo=UTC)
        return max(UNKNOWN_TIME, int(moment.timestamp()))
    except Exception:  # EXIF is written by thousands of devices: whatever is wrong with it, there is no time
        return UNKNOWN_TIME
