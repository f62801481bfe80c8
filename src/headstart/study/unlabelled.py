"""Measures how images without labels differ from those that a saved model was checked on, and writes a folder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.data.dataset import Dataset
from headstart.data.decoding.image_store import ImageArray, decode_images
from headstart.data.sources.without_labels import load_without_labels
from headstart.deploy.classifier import Classifier
from headstart.deploy.drift import DRIFT, Drift, Observed, drift_facts, drift_of, why_not
from headstart.errors import DataError, ModelError
from headstart.notebook import Shown
from headstart.progress import progress
from headstart.storage.opening import default_store
from headstart.storage.store import Store
from headstart.study.results.evaluated import BATCH, SEEN, evaluation_folder, undecodable
from headstart.study.results.facts import write_facts
from headstart.study.results.tested import Tested, find_tested
from headstart.transfer.frozen.views import view_of


@dataclass(frozen=True)
class DriftReport(Shown):
    """A model on images without labels.

    Args:
        model: its name.
        name: of the images.
        images: how many were looked at.
        drift: how they differ.
        least: the names of the least familiar images and how familiar they are, the least familiar first.
        notes: what was left out, and why.
        folder: that the report is in.
    """

    model: str
    name: str
    images: int
    drift: Drift
    least: tuple[tuple[str, float], ...]
    notes: tuple[str, ...]
    folder: Path

    @property
    def report(self) -> Path:
        """The HTML report, if it was written."""
        return self.folder / "report.html"

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON holds it."""
        return {
            "data": self.name,
            "n": self.images,
            "labels": False,
            "model": self.model,
            "notes": list(self.notes),
            "drift": self.drift.to_dict(),
            "least_familiar": [{"image": name, "familiarity": share} for name, share in self.least],
            "folder": str(self.folder),
            "report": str(self.report),
        }


def measure_drift(
    place: str | Path,
    source: str | Path,
    out: str | Path = "headstart-runs",
    *,
    device: str = "auto",
    store: Store | None = None,
    command: str = "",
) -> DriftReport:
    """Measure the drift of unlabelled images, and write what the report shows.

    Left out, and named: images that the model was fitted or chosen on, where its study is at hand to tell, and files
    that cannot be decoded.

    Args:
        place: a model file, or the folder of a study.
        source: a folder, a glob, a table of paths or an archive.
        out: the folder that evaluations are written to.
        device: "auto", "cpu", "cuda", …
        store: the cache of decoded images; the default cache if None.
        command: what the user typed, for the report.

    Raises:
        ModelError: drift cannot be measured with this model; the message says why.
        DataError: the images are too few, or none can be used.
    """
    classifier, model = Classifier.load(place, device), Path(place).expanduser().resolve().name
    if (why := why_not(classifier)) is not None:
        raise ModelError(f"{place}: {why}")
    dataset, notes = _images(source, classifier), list[str]()
    views = [view_of(bundle.preprocessing) for bundle in classifier.ensemble.members]
    images = {view: decode_images(dataset, view, store=store or default_store()) for view in dict.fromkeys(views)}
    rows = _rows(dataset, images.values(), find_tested(place), notes)
    observed = Observed(classifier)
    with progress("evaluate", len(rows)) as ticker:
        for start in range(0, len(rows), BATCH):
            pixels = [images[view].batch(rows[start : start + BATCH]) for view in views]
            observed.add(pixels[0], *classifier.seen(pixels))
            ticker.advance(len(pixels[0]))
    drift = drift_of(observed)
    folder = evaluation_folder(out, dataset)
    folder.mkdir(parents=True, exist_ok=True)
    shown = drift_facts(model, drift, "", images[views[0]], rows, dataset)
    facts = {"data": dataset.name, "n": len(rows), "notes": notes, "command": command, "models": [shown]}
    write_facts(folder / DRIFT, facts)
    least = tuple((dataset.reader.name(int(rows[at])), share) for at, share in drift.least)
    return DriftReport(model, dataset.name, len(rows), drift, least, tuple(notes), folder)


def _images(source: str | Path, classifier: Classifier) -> Dataset:
    """Return the images, read in the bands that the model takes: the networks of an ensemble take the same."""
    bands = classifier.ensemble.members[0].preprocessing.bands
    return load_without_labels(source, like=None if bands is None else bands.choice)


def _rows(
    dataset: Dataset, images: Iterable[ImageArray], tested: Tested | None, notes: list[str]
) -> npt.NDArray[np.int64]:
    """Return the rows to look at; say what is left out."""
    if dataset.unusable:
        notes.append(f"left out: {dataset.unusable}")
    assert dataset.digests is not None
    learned = frozenset[str]() if tested is None else tested.learned
    seen = np.array([digest.decode() in learned for digest in dataset.digests.tolist()])
    if seen.any():
        notes.append(f"left out: {int(seen.sum())} images {SEEN}")
    bad = sorted({row for each in images for row in each.bad})
    if note := undecodable(dataset, bad):
        notes.append(note)
    rows = np.setdiff1d(np.flatnonzero(~seen), np.array(bad, dtype=np.int64))
    if not len(rows):
        raise DataError(f"{dataset.name}: no image is left to measure drift on; {'; '.join(notes)}")
    return rows
