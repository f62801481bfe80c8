"""Opens the labelling of a folder: finds the images, computes their vectors, reads the labels there are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from headstart.bands import BandsAsked
from headstart.data.sources.without_labels import load_without_labels
from headstart.labelling.embeddings import BACKBONE, embed
from headstart.labelling.label_file import LabelFile
from headstart.labelling.session import LabelSession
from headstart.storage.store import Store


def label_session(
    folder: str | Path,
    classes: Sequence[str] = (),
    *,
    file: str | Path | None = None,
    backbone: str = BACKBONE,
    weights: str = "imagenet",
    share: float = 0.25,
    suggest: bool = False,
    seed: int = 0,
    bands: BandsAsked | None = None,
    show: BandsAsked | None = None,
    device: str = "auto",
    store: Store | None = None,
) -> LabelSession:
    """Return the labelling session of a folder, which resumes if the file of labels exists.

    Args:
        folder: is searched to any depth; names of folders are not taken for labels.
        classes: those to begin with; more can be added.
        file: a CSV; by default FOLDER-labels.csv in the current folder.
        backbone: the network that computes the vectors; see `embed`.
        weights: of the network.
        device: "auto", "cpu", "cuda", "mps".
        store: the cache.
        share: of suggestions that come from a random sample, which measures the accuracy, between 0 and 1.
        suggest: show informative images; otherwise all come in random order.
        seed: of the random sample.
        bands: which bands of each file are read: "all", or their indices or names.
        show: the three bands that people see.

    Raises:
        DataError: no image, or the file is another table.
        ModelError, WeightsError: the network is unknown, or its weights are unavailable.
        MissingExtra: they come in a package that is not installed.
    """
    place = Path(file or f"{Path(folder).expanduser().absolute().name}-labels.csv")
    labels = LabelFile(place)
    labels.read()  # refused before anything is computed
    images = load_without_labels(folder, bands=bands, show=show)
    embeddings = embed(images, backbone=backbone, weights=weights, device=device, store=store)
    return LabelSession(embeddings, labels, list(classes), share=share, seed=seed, suggests=suggest)
