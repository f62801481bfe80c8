"""A picture made small, as JPEG."""

from __future__ import annotations

import io

from PIL import Image


def thumbnail(picture: Image.Image, side: int, quality: int) -> bytes:
    """Return the JPEG of a picture whose longer side is at most `side` px; a smaller picture keeps its size.

    The picture itself is made small.
    """
    picture.thumbnail((side, side))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
