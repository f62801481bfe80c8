"""Opens the review of a dataset: loads it, computes the vectors, looks for problems, reads the decisions there are."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from headstart.bands import BandsAsked
from headstart.data.dataset import Dataset
from headstart.data.sources.load import load_dataset
from headstart.labelling.embeddings import BACKBONE, Source, embed, read_already
from headstart.labelling.review.correction_file import CorrectionFile
from headstart.labelling.review.problems import find_problems
from headstart.labelling.review.session import ReviewSession
from headstart.storage.opening import default_store
from headstart.storage.store import Store

FILE = "corrections.csv"


def review_session(
    data: Source,
    *,
    file: str | Path = FILE,
    label: str | None = None,
    backbone: str = BACKBONE,
    weights: str = "imagenet",
    seed: int = 0,
    bands: BandsAsked | None = None,
    show: BandsAsked | None = None,
    device: str = "auto",
    store: Store | None = None,
) -> ReviewSession:
    """Return the review of a dataset, which resumes if the file of corrections exists.

    Args:
        data: what `compare` takes; the images need labels.
        file: a CSV, the `data.corrections` of a study.
        label: the label to use if the data have several.
        backbone: the network that computes the vectors; see `embed`.
        weights: of the network.
        device: "auto", "cpu", "cuda", "mps".
        store: the cache.
        seed: of the folds that judge the labels.
        bands: which bands of each file are read: "all", or their indices or names.
        show: the three bands that people see.

    Raises:
        DataError: the data cannot be used, or the file is another table.
        ModelError, WeightsError: the network is unknown, or its weights are unavailable.
        MissingExtra: they come in a package that is not installed.
    """
    corrections = CorrectionFile(Path(file).expanduser())
    corrections.read()  # refused before anything is computed
    store = store or default_store()
    dataset = read_already(data, bands, show)
    if dataset is None:
        assert not isinstance(data, Dataset)
        dataset = load_dataset(data, label=label, bands=bands, show=show)
    with store.in_use():
        embeddings = embed(dataset, backbone=backbone, weights=weights, device=device, store=store)
        problems = find_problems(embeddings.dataset, np.asarray(embeddings.vectors), store, seed=seed)
    return ReviewSession(embeddings, problems, corrections)
