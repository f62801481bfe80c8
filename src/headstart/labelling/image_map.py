"""A map of all images of a data set: where each is, and by what it is coloured."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.bands import BandsAsked
from headstart.data.sources.unlabelled import Member, Unlabelled
from headstart.deploy.classifier import Classifier
from headstart.devices import resolve_device
from headstart.labelling.capture_times import capture_times
from headstart.labelling.embeddings import BACKBONE, Embeddings, Source, embed
from headstart.maps.neighbourhoods import mixing
from headstart.maps.page import map_page
from headstart.maps.points import Colouring, encoded, mixing_rows, quantised
from headstart.maps.projection import AUTO, Projection, method_for, project
from headstart.maps.sheets import chosen_rows, sheets_of
from headstart.storage.files import disk_errors, write_atomic
from headstart.storage.store import Store

THUMBNAILS = 4000  # about 1.5 kB each


@dataclass(frozen=True)
class ImageMap:
    """Images in two dimensions.

    Args:
        embeddings: of the images.
        projection: where each is, how that was computed, and how far it can be trusted.
        colourings: by what they can be coloured: class, predicted, mistakes, split, time.
    """

    embeddings: Embeddings
    projection: Projection
    colourings: tuple[Colouring, ...]

    @property
    def positions(self) -> npt.NDArray[np.float32]:
        """Where each image is: float32 [n, 2]."""
        return self.projection.positions

    def save(self, path: str | Path, *, thumbnails: int = THUMBNAILS) -> Path:
        """Write one HTML page that works offline; return where.

        Args:
            path: the file.
            thumbnails: the maximum number of images, chosen at random, that have a small picture in the page.

        Raises:
            StoreError: the place cannot be written.
        """
        place, dataset = Path(path), self.embeddings.dataset
        n = len(dataset)
        rows = chosen_rows(n, thumbnails)
        data = {
            **drawn(self.positions, self.colourings),
            "names": self.embeddings.names,
            "sheets": sheets_of(dataset.reader, rows, self.embeddings.bands),
            "table": self.table(),
        }
        words = list(self.projection.words)
        if len(rows) < n:
            words.append(f"{len(rows):,} of {n:,} images, chosen at random, have a picture in this page.")
        facts = f"{n:,} images by {self.embeddings.network}"
        with disk_errors(place.parent):
            place.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(place, map_page(dataset.name, facts, words, data))
        return place

    def table(self) -> list[list[Any]]:
        """Return rows that say how classes are mixed: class, images, the share of the images most similar to its own
        that are of the same class, the class that most of the others are of, and their share."""
        known = next((each for each in self.colourings if each.name == "class"), None)
        if known is None:
            return []
        return mixing_rows(mixing(self.projection.neighbours, known.values, list(known.labels)))


def map_images(
    data: Source,
    *,
    backbone: str = BACKBONE,
    weights: str = "imagenet",
    label: str | None = None,
    bands: BandsAsked | None = None,
    show: BandsAsked | None = None,
    method: str = AUTO,
    model: str | Path | None = None,
    seed: int = 0,
    device: str = "auto",
    store: Store | None = None,
) -> ImageMap:
    """Return a map of all images of a dataset, or of a folder, glob, table or archive without labels.

    Images that are similar for the network are close together. The vectors and the map are cached.

    Args:
        data: what `compare` takes, or images without labels.
        backbone: the network that computes the vectors; see `embed`.
        weights: of the network.
        label: the label to use if the data have several.
        bands: which bands of each file are read: "all", or their indices or names.
        show: the three bands that people see.
        method: "tsne" (extra `map`), "pca", or "auto": the first that is installed.
        model: a saved classifier, whose predictions and mistakes the map shows.
        seed: of the t-SNE map.
        device: "auto", "cpu", "cuda", "mps".
        store: the cache.

    Raises:
        DataError: there is no usable image.
        ModelError, WeightsError: the network is unknown, or its weights are unavailable.
        MissingExtra: they come in a package that is not installed.
        MissingExtra: a t-SNE map was asked for, and the extra is not installed.
        SpecError: an unknown method.
    """
    method_for(method, 1_000_000)  # refused before anything is computed
    classifier = None if model is None else Classifier.load(model, resolve_device(device))
    network: dict[str, Any] = {"backbone": backbone, "weights": weights, "device": device, "store": store}
    embeddings = embed(data, label=label, bands=bands, show=show, **network)
    return map_of(embeddings, method=method, classifier=classifier, seed=seed)


def map_of(
    embeddings: Embeddings, *, method: str = AUTO, classifier: Classifier | None = None, seed: int = 0
) -> ImageMap:
    """Return the map of images whose vectors are at hand; see `map_images`."""
    store = embeddings.resources.store
    with store.in_use():
        projection = project(embeddings.vectors, method=method, seed=seed, store=store)
    return ImageMap(embeddings, projection, tuple(colourings(embeddings, classifier)))


def drawn(positions: npt.NDArray[np.float32], shown: tuple[Colouring, ...] | list[Colouring]) -> dict[str, Any]:
    """Return what the drawing reads: positions and colourings."""
    return {"positions": encoded(quantised(positions), "<u2"), "colours": [each.plain for each in shown]}


def colourings(embeddings: Embeddings, classifier: Classifier | None = None) -> list[Colouring]:
    """Return by what the images can be coloured."""
    dataset, labels, found = embeddings.dataset, embeddings.labels, list[Colouring]()
    if labels is not None:
        found.append(_of_words("class", labels))
    if classifier is not None:
        inputs = [Unlabelled(name, Member(dataset.reader, row)) for row, name in enumerate(embeddings.names)]
        answers = classifier.predict(inputs)
        predicted = [each.label for each in answers]
        found.append(_of_words("predicted", predicted))
        if labels is not None:
            pairs = zip(labels, answers, strict=True)
            wrong = [-1 if each.error else int(label != each.label) for label, each in pairs]
            found.append(Colouring("mistakes", ("right", "wrong"), np.array(wrong, dtype=np.int64)))
    if dataset.given_split is not None:
        found.append(_of_words("split", [str(part) for part in dataset.given_split]))
    times = capture_times(dataset.reader)
    if times is not None:
        known = times[times >= 0]
        ends = [datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%d") for moment in (known.min(), known.max())]
        found.append(Colouring("time", ends, times))
    return found


def _of_words(name: str, words: list[str]) -> Colouring:
    """Return a colouring by a word for each image, "" for none."""
    labels = sorted(set(words) - {""})
    code = {word: place for place, word in enumerate(labels)}
    return Colouring(name, labels, np.array([code.get(word, -1) for word in words], dtype=np.int64))
