"""One saved model on new images, beside its score on its own test images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.data.dataset import Dataset
from headstart.deploy.drift import Drift
from headstart.evaluate.metrics.guards import listed_names
from headstart.evaluate.metrics.intervals import Difference, independent_difference
from headstart.storage.names import folder_name, readable
from headstart.study.results.facts import write_facts
from headstart.study.results.tested import Tested

BATCH = 64  # images that are classified at a time
SEEN = "that the model was fitted or chosen on"
EVALUATION = "evaluation.json"  # in the folder of an evaluation: each model beside its own score, and what was left out


def evaluation_folder(out: str | Path, dataset: Dataset) -> Path:
    """Return the folder in `out` for what models say of these images: the same for the same images."""
    return Path(out) / folder_name(readable(f"evaluate {dataset.name} {dataset.fingerprint[:6]}"))


def undecodable(dataset: Dataset, bad: Iterable[int]) -> str:
    """Return the note on rows whose images cannot be decoded; "" if there are none."""
    names = [dataset.reader.name(row) for row in sorted(bad)]
    return f"left out: {len(names)} images that cannot be decoded: {listed_names(names)}" if names else ""


@dataclass(frozen=True)
class Evaluated:
    """One model on these images.

    Args:
        name: of the model: its file, or its study's or run's folder.
        metrics: as `headstart.evaluate.metrics.metrics.evaluate` gives them.
        own: what its own study says of it, or None.
        change: the metric here less that on its own test images, with a 95 % interval; None where `own` is, or where
            `shared` images make it anything but a difference of two samples.
        drift: how the images differ from its own, as if they had no labels; None where `no_drift` says why.
        no_drift: why drift was not measured, or "".
        shared: how many of these images are among its own test images.
    """

    name: str
    metrics: Mapping[str, Any]
    own: Tested | None
    change: Difference | None
    drift: Drift | None = None
    no_drift: str = ""
    shared: int = 0

    def beside_own(self, metric: str) -> dict[str, Any]:
        """Return the score here, that on its own test images and their difference, as the report keeps them."""
        own = None if self.own is None else self.own.metrics.get(metric)
        tested = None
        if self.own is not None and own:
            names = {"run": self.own.run, "dataset": self.own.dataset, "refitted": self.own.refitted}
            tested = {**names, "value": own["value"], "n": own["n"]}
        here = self.metrics[metric]
        return {
            "model": self.name,
            "value": here["value"],
            "n": here["n"],
            "own": tested,
            "shared": self.shared,
            "change": None if self.change is None else list(self.change),
        }


def own_change(
    metrics: Mapping[str, Any], own: Tested | None, metric: str, dataset: Dataset, rows: npt.NDArray[np.int64]
) -> tuple[Difference | None, int]:
    """Return the difference to a model's score on its own test images, and how many of these were scored here.

    Where some were, there is no difference of two samples.

    Args:
        metrics: here, of `rows` of `dataset`.
        own: what the model's own study says of it, or None.
        metric: a name in METRICS.
    """
    if own is None:
        return None, 0
    shared = 0 if dataset.digests is None else sum(each.decode() in own.test for each in dataset.digests[rows].tolist())
    here, there = metrics.get(metric), own.metrics.get(metric)
    return (independent_difference(here, there) if here and there and not shared else None), shared


def write_beside(folder: Path, models: Sequence[Evaluated], notes: Sequence[str], metric: str) -> None:
    """Write each model beside its own test score, and what was left out, into the folder of an evaluation."""
    beside = [each.beside_own(metric) for each in models]
    write_facts(folder / EVALUATION, {"metric": metric, "notes": list(notes), "models": beside})
