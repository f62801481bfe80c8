"""Features image by image: those computed before are found again, whichever images they were computed with.

`extract` stores the features of a list of images under a key of the whole list. The parts that cross-validation and
grid search draw are other lists of the same images; an index says which row of which stored matrix an image has, so
that the network runs once per image.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL

from headstart.data.dataset import Dataset
from headstart.data.decoding.decode import DECODER
from headstart.data.decoding.image_store import decode_images, images_key
from headstart.errors import DataError
from headstart.models.backbone import Backbone
from headstart.storage.opening import default_store
from headstart.storage.store import Store, cache_root, content_key
from headstart.transfer.frozen.features import KIND, extract, features_key, load_features
from headstart.transfer.frozen.views import view_of

_PATIENCE = 10.0  # seconds to wait for another process that writes
_QUERY = 500  # values in one SQL question
Places = dict[str, tuple[str, int]]


def features_of(
    dataset: Dataset, backbone: Backbone, device: str, store: Store | None = None
) -> npt.NDArray[np.float32]:
    """Return the features of every image at the end of a frozen backbone, float32 [n, d].

    Args:
        dataset: its images have been looked at (`digests`).
        backbone: in evaluation mode.
        device: where it runs.
        store: where features are kept; the default store if None.

    Raises:
        DataError: an image cannot be decoded.
    """
    assert dataset.digests is not None
    store, needs = store or default_store(), backbone.preprocessing
    bare = features_key("", backbone.stages, needs, device)
    network = content_key([bare, view_of(needs).facts(), DECODER, PIL.__version__])
    digests = [digest.decode() for digest in dataset.digests.tolist()]
    with _Index(cache_root() / "features.sqlite") as index:
        noted = index.find(network, set(digests))
        for entry in {place[0] for place in noted.values()}:
            store.check(KIND, entry)
        there = {entry for entry in {place[0] for place in noted.values()} if store.here(KIND, entry)}
        places = {digest: place for digest, place in noted.items() if place[0] in there}
        first = {digest: row for row, digest in reversed(list(enumerate(digests)))}
        missing = sorted(row for digest, row in first.items() if digest not in places)
        if missing:
            key = _computed(dataset.select(missing), backbone, device, store)
            new = {digests[row]: (key, place) for place, row in enumerate(missing)}
            index.add(network, new)
            places |= new
    return _gathered([places[digest] for digest in digests], store)


def _computed(part: Dataset, backbone: Backbone, device: str, store: Store) -> str:
    """Store the features of these images; return their key."""
    needs = backbone.preprocessing
    images = decode_images(part, view_of(needs), store=store)
    if images.bad:
        row, why = min(images.bad.items())
        raise DataError(f"image {part.reader.name(row)}: {why}")
    key = features_key(images_key(part, view_of(needs)), backbone.stages, needs, device)
    extract(images, backbone.stages, needs, key=key, store=store, device=device, title=f"features of {backbone.name}")
    return key


def _gathered(places: list[tuple[str, int]], store: Store) -> npt.NDArray[np.float32]:
    """Return the rows from the matrices they are in."""
    keys = np.array([key for key, _ in places])
    rows = np.array([row for _, row in places], dtype=np.int64)
    found: npt.NDArray[np.float32] | None = None
    for key in dict.fromkeys(keys.tolist()):
        matrix = load_features(key, store)
        here = np.flatnonzero(keys == key)
        part = np.asarray(matrix[rows[here]]).reshape(len(here), -1)
        if found is None:
            found = np.empty((len(places), part.shape[1]), dtype=np.float32)
        found[here] = part
    assert found is not None
    return found


@dataclass
class _Index:
    """Where the features of an image are; without a place to write to, nothing is found and nothing is noted.

    Each note has a checksum: one that was damaged is not found, and never names another image's features.
    """

    path: Path
    connection: sqlite3.Connection | None = None

    def __enter__(self) -> _Index:
        with contextlib.suppress(sqlite3.Error, OSError):  # it only saves time
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.connection = sqlite3.connect(self.path, timeout=_PATIENCE)
            self.connection.execute(
                "CREATE TABLE IF NOT EXISTS places (network TEXT, image TEXT, entry TEXT, row INTEGER, sum TEXT,"
                " PRIMARY KEY (network, image)) WITHOUT ROWID"
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self.connection is not None:
            self.connection.close()

    def find(self, network: str, images: set[str]) -> Places:
        """Return entry and row of each image that has been noted."""
        found: Places = {}
        for part in _parts(sorted(images)):
            marks = ",".join("?" * len(part))
            question = f"SELECT image, entry, row, sum FROM places WHERE network = ? AND image IN ({marks})"
            with contextlib.suppress(sqlite3.Error):
                if self.connection is not None:
                    answer = self.connection.execute(question, [network, *part]).fetchall()
                    whole = (row for row in answer if row[3] == content_key([network, *row[:3]]))
                    found |= {image: (entry, place) for image, entry, place, _ in whole}
        return found

    def add(self, network: str, places: Places) -> None:
        """Note where these images are."""
        values = [
            (network, image, entry, row, content_key([network, image, entry, row]))
            for image, (entry, row) in places.items()
        ]
        with contextlib.suppress(sqlite3.Error):
            if self.connection is not None:
                with self.connection:
                    self.connection.executemany("INSERT OR REPLACE INTO places VALUES (?, ?, ?, ?, ?)", values)


def _parts(values: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(values), _QUERY):
        yield values[start : start + _QUERY]
