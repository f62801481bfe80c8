"""Images made small for the page, a few hundred of them kept in memory."""

from __future__ import annotations

import threading
from collections import OrderedDict

from PIL import Image

from headstart.bands import Bands
from headstart.data.dataset import Reader
from headstart.data.decoding.decode import UndecodableError, quiet_pillow, seen_by_people
from headstart.data.decoding.thumbnail import thumbnail
from headstart.errors import DataError

_KEPT = 600
_QUALITY = 85


class Pictures:
    """JPEGs of the images of a reader, upright and in colour, as the networks see them.

    Args:
        reader: gives the image of each row.
        bands: in which they are read, if they are no ordinary pictures: three are shown.
    """

    def __init__(self, reader: Reader, bands: Bands | None = None) -> None:
        self.reader, self.bands = reader, bands
        self._made: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def jpeg(self, row: int, side: int) -> bytes:
        """Return the JPEG of an image whose longer side is at most `side` px.

        Raises:
            DataError: it can no longer be read.
        """
        with self._lock:
            if (row, side) in self._made:
                self._made.move_to_end((row, side))
                return self._made[row, side]
        try:
            with quiet_pillow():
                small = thumbnail(Image.fromarray(seen_by_people(self.reader.read(row), self.bands)), side, _QUALITY)
        except (OSError, UndecodableError) as error:
            raise DataError(f"{self.reader.name(row)}: {getattr(error, 'strerror', None) or error}") from error
        with self._lock:
            self._made[row, side] = small
            while len(self._made) > _KEPT:
                self._made.popitem(last=False)
        return small
