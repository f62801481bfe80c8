"""What a study knows about a model that is exported: its images, its results, its data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.dataset import Dataset
from headstart.deploy.export.pictures import Material, Pictures, folder_of, noise, rows_of
from headstart.errors import DataError
from headstart.models.bundle import MEMBERS, Ensemble
from headstart.models.refitted import refitted_of
from headstart.progress import say
from headstart.storage.files import read_json
from headstart.storage.opening import default_store
from headstart.study.resources import Resources
from headstart.study.results.tested import run_folder
from headstart.study.spec.schema import DataSpec

REFITTED = "train+validation"


def material_of(
    place: Path | None, ensemble: Ensemble, images: Path | None = None, most: int | None = None
) -> Material:
    """Return what is known about a model, from the study that its file is in.

    Args:
        place: the model's file or folder; None for a model that is only in memory.
        ensemble: the model.
        images: check it on the pictures of this folder, instead of the study's test images.
        most: check it on no more pictures than this, evenly spread; all by default.

    Raises:
        DataError: `images` holds no picture.
    """
    bands = ensemble.members[0].preprocessing.bands
    given = None if images is None else folder_of(images, bands)
    run = None if place is None else run_folder(place)
    found = Material(noise(bands=bands)) if run is None else _of_run(run, ensemble)
    if given is not None:
        found = replace(found, test=given)
    elif found.train is None:
        say(
            "the exported files are checked on random noise only, not on pictures: the study's images are missing;"
            " give a folder of pictures as the images"
        )
    return found if most is None else replace(found, test=found.test.first(most))


def _of_run(run: Path, ensemble: Ensemble) -> Material:
    result, spec = read_json(run / "result.json"), read_json(run / "spec.json")
    facts: dict[str, Any] = {
        "name": spec["data"]["name"],
        "fingerprint": spec["data"]["fingerprint"],
        "counts": {part: result[f"n_{part}"] for part in ("train", "validation", "test")},
    }
    bare = Material(noise(bands=ensemble.members[0].preprocessing.bands), results=result["metrics"]["test"], data=facts)
    dataset = _dataset(spec["data"])
    if dataset is None:
        return bare
    facts |= {key: value for key, value in dataset.about.items() if key in ("licence", "homepage")}
    with np.load(run / "split.npz") as arrays:
        rows = dict(arrays)
    parts = {
        part: _pictures(dataset, rows[part], f"the {len(rows[part]):,} {title} images of {dataset.name}", ensemble)
        for part, title in (("train", "training"), ("validation", "validation"), ("test", "test"))
    }
    return replace(
        bare,
        test=parts["test"],
        train=parts["train"],
        validation=parts["validation"],
        seen=refitted_of(ensemble.members[0].provenance) is not None or _has_seen(run, result),
    )


def _pictures(dataset: Dataset, rows: np.ndarray, what: str, ensemble: Ensemble) -> Pictures:
    found = rows_of(dataset, rows, what)
    same = dataset.classes == ensemble.members[0].classes
    return found if same else replace(found, labels=None)  # a model of more classes, scored on some of them


def _has_seen(run: Path, result: Mapping[str, Any]) -> bool:
    """Return whether the model learned from the validation images too, in the end."""
    if not (run / MEMBERS).is_file():
        return bool(result["refit"] == REFITTED)
    members = (run / place for place in read_json(run / MEMBERS)["members"])
    return any(read_json(member / "result.json")["refit"] == REFITTED for member in members)


def _dataset(described: Mapping[str, Any]) -> Dataset | None:
    """Return the study's dataset; None, and a line to the user, where it is gone or another one by now."""
    spec = DataSpec.model_validate({key: value for key, value in described.items() if key != "fingerprint"})
    try:
        dataset = Resources(default_store(), "cpu").dataset(spec)
    except DataError as error:
        say(f"the study's images cannot be read ({error})")
        return None
    if dataset.fingerprint != described["fingerprint"]:
        say(f"the images of {spec.source} have changed since the study")
        return None
    return dataset
