"""What the study that left a model says of it: its own test result, and which images it has learned from."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.errors import ModelError, StoreError
from headstart.models.refitted import REFITTED
from headstart.storage.arrow import arrow_parquet
from headstart.storage.files import read_json
from headstart.study.results.folder import StudyFolder
from headstart.study.results.state import kept_words

DEPTH = 4  # folders from a run's file up to its study
_SEED = re.compile(r"seed-\d+")


@dataclass(frozen=True)
class Tested:
    """A saved model in its study.

    Args:
        run: its name.
        folder: of the run.
        dataset: the name of the images that it was tested on.
        metric: that the study's choices follow.
        metrics: its test measures, as `evaluate` gives them.
        learned, test: digests of the images that it was fitted or chosen on, and tested on; empty where the study did
            not keep them.
        refitted: the model is this run refitted on all images: it has learned from the test images too, and the
            measures are those of the run.
    """

    run: str
    folder: Path
    dataset: str
    metric: str
    metrics: Mapping[str, Any]
    learned: frozenset[str]
    test: frozenset[str]
    refitted: bool = False


def names_of(places: Sequence[str | Path]) -> dict[str, str | Path]:
    """Return a name for each model: its run's or its path's last part, or more of the path where these are equal.

    Raises:
        ModelError: a model is given twice.
    """
    paths = [Path(place).expanduser().resolve() for place in places]
    if len(set(paths)) < len(paths):
        raise ModelError("the same model is given twice; give a different one to compare with")
    short = [path.parent.name if _SEED.fullmatch(path.name) else path.name for path in paths]
    count = 1
    while len(set(short)) < len(short):
        count += 1
        short = ["/".join(path.parts[-count:]) for path in paths]
    return dict(zip(short, places, strict=True))


def single_network(place: Path) -> Path:
    """Return the folder of a study's best single network where its best model is an ensemble, or else the place."""
    if not (place / "study.json").is_file():
        return place
    network = StudyFolder(place).read_study().get("best_network")
    return place / str(network["folder"]) if network else place


def run_folder(place: Path) -> Path | None:
    """Return the run folder that a model belongs to: itself, the kept run of its study, or None."""
    folder = place.expanduser()
    folder = folder if folder.is_dir() else folder.parent
    if (folder / "result.json").is_file():
        return folder
    if (folder / "study.json").is_file():
        best = StudyFolder(folder).read_study().get("best")
        return folder / best["folder"] if best else None
    return None


def said_model(place: Path) -> str | None:
    """Describe which run the model of a study's folder is of, and why; None for any other place."""
    folder = place.expanduser()
    return kept_words(StudyFolder(folder).read_study()) if (folder / "study.json").is_file() else None


def find_tested(place: str | Path) -> Tested | None:
    """Return what a study says of the model in its folder, in one of its runs, or in one of their files.

    None for a file outside of any study: it does not carry these facts.
    """
    folder = run_folder(Path(place).expanduser().resolve())
    root = None if folder is None else _study_of(folder)
    if folder is None or root is None:
        return None
    try:
        spec, result = read_json(folder / "spec.json"), read_json(folder / "result.json")
    except (OSError, StoreError):
        return None
    learned, test, every = _digests(folder, root / "data" / str(spec["data"]["fingerprint"]) / "items.parquet")
    facts = StudyFolder(root).read_study()
    refitted = bool(facts.get(REFITTED)) and not _is_of_run(Path(place), folder)
    return Tested(
        run=str(spec["run"]),
        folder=folder,
        dataset=str(spec["data"]["name"]),
        metric=str((facts.get("compare") or {}).get("metric") or "accuracy"),
        metrics=result["metrics"].get("test") or {},
        learned=every if refitted else learned,
        test=test,
        refitted=refitted,
    )


def _is_of_run(place: Path, run: Path) -> bool:
    """Return whether a model was given as its run's folder, or a file in it; else, as that of its study."""
    return place.expanduser().resolve().is_relative_to(run)


def _study_of(run: Path) -> Path | None:
    return next((each for each in run.parents[:DEPTH] if (each / "study.json").is_file()), None)


def _digests(run: Path, items: Path) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """Return the digests of the images that a run learned from or was chosen on, of its test images, and of all."""
    nothing = frozenset[str]()
    if not (run / "split.npz").is_file() or not items.is_file():
        return nothing, nothing, nothing

    table = arrow_parquet().read_table(items)
    if "digest" not in table.column_names:
        return nothing, nothing, nothing
    digests = np.array(table["digest"].to_pylist())
    with np.load(run / "split.npz") as parts:
        rows = np.concatenate([parts["train"], parts["validation"]])
        sets = digests[rows], digests[parts["test"]], digests
    learned, test, every = (frozenset[str](each.tolist()) for each in sets)
    return learned, test, every
