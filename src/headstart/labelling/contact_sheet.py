"""Draws a picture and the images that are most like it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headstart.data.decoding.decode import content_of, quiet_pillow, seen_by_people
from headstart.data.decoding.pictures import Picture
from headstart.explain.picture import Column, gallery
from headstart.labelling.embeddings import Embeddings
from headstart.labelling.similar import Similar

_COLUMNS, _TILE = 6, 170


def contact_sheet(embeddings: Embeddings, picture: Picture, nearest: Sequence[Similar]) -> bytes:
    """Return a PNG: the picture first, then the images like it with their cosines, in rows of six.

    Raises:
        UndecodableError: an image can no longer be read.
    """
    reader, bands = embeddings.dataset.reader, embeddings.bands
    with quiet_pillow():
        given = picture if isinstance(picture, np.ndarray) else content_of(picture)  # an array may be of bands
        asked = seen_by_people(given, bands)
        images = [asked, *(seen_by_people(reader.read(each.row), bands) for each in nearest)]
    notes = ["the picture", *(f"{each.cosine:.3f} {each.label or each.name}" for each in nearest)]
    columns = min(_COLUMNS, len(images))
    while len(images) % columns:
        images.append(np.full((1, 1, 3), 255, dtype=np.uint8))
        notes.append("")
    cells = [Column("", images[place::columns], notes=notes[place::columns]) for place in range(columns)]
    return gallery(cells, tile=_TILE)
