"""Prepares a study that retrains the kept model of a finished one with images that arrived since.

The images of the previous study keep their part: what it was tested on stays test, so that the two models can be
compared on the same images. Of a cross-validated study that is the fold on which the kept model was tested: it has
learned from the other folds. See `joined_images` for the parts of new images.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.audit.audit import without_near_duplicates
from headstart.data.dataset import Dataset
from headstart.data.decoding.image_store import decode_images
from headstart.data.overview import overview
from headstart.data.sources.written import written
from headstart.errors import DataError, StoreError
from headstart.progress import say
from headstart.storage.names import readable
from headstart.storage.opening import default_store
from headstart.storage.store import Store
from headstart.study.joined_images import as_old_and_new, joined, without_copies
from headstart.study.resources import Resources, only_classes
from headstart.study.results.folder import StudyFolder
from headstart.study.results.tested import Tested, find_tested, run_folder
from headstart.study.spec.load import load_study
from headstart.study.spec.schema import DataSpec, SplitSpec
from headstart.transfer.frozen.features import extract
from headstart.transfer.frozen.views import view_of
from headstart.units import percent

_LONGEST = 80  # characters of a study's name


@dataclass(frozen=True)
class Update:
    """What will be retrained.

    Args:
        study: as `load_study` takes it.
        former: the kept model of the previous study.
        new: number of new images by part: "train" (which validation is drawn from) and "test".
        notes: what a user should know: labels that changed, new classes.
    """

    study: dict[str, Any]
    former: Tested
    new: Mapping[str, int]
    notes: tuple[str, ...]


def prepare_update(
    place: str | Path,
    source: str,
    *,
    label: str | None = None,
    refit: str | None = None,
    device: str = "auto",
    store: Store | None = None,
) -> Update:
    """Return the study that retrains a finished study's kept model with new images; nothing is trained.

    What the cache has of the previous images, pixels and features, is used again.

    Args:
        place: the folder of the finished study.
        source: labelled images, as `load_dataset` takes them; those that the study has already may be among them.
        label: which label, where they have several.
        refit: "all" or, as in the finished study, None.
        device: where networks run.
        store: the cache; the default cache if None.

    Raises:
        StoreError: the folder holds no finished study.
        DataError: its images are gone or changed, or no image is new.
    """
    root = Path(place).expanduser()
    facts = StudyFolder(root).read_study()
    former = _former(root)
    spec = facts["spec"]
    resources = Resources(store or default_store(), device)
    old_data = DataSpec.model_validate(spec["data"])
    old = resources.dataset(old_data)
    _check_unchanged(old, former)
    given = _given(source, label, old_data, old, resources)
    dataset, notes = joined(old, given, former)
    share = len(former.test) / len(old)
    for line in overview(given, f"{percent(share, 0)} of the images that are new become test images"):
        say(line)
    study = _study(facts, former, dataset, len(dataset) - len(old), refit)
    _compute_new(study, old_data, old, resources)
    assert dataset.given_split is not None
    parts = dataset.given_split[len(old) :]
    counts = {part: int((parts == part).sum()) for part in ("train", "test")}
    notes += [f"{percent(share, 0)} of new images become test images, chosen by their content"]
    if old_data.split.fold == "seed":
        notes.append(
            f"the seeds of the study were folds: the {len(former.test)} images on which its kept model was tested stay"
            " test images, and the new study has no folds"
        )
    return Update(study, former, counts, tuple(notes))


def _former(root: Path) -> Tested:
    """Return the tested model of a study, also where the saved one is its refit.

    Raises:
        StoreError: there is none.
    """
    kept = run_folder(root)
    former = None if kept is None else find_tested(kept)
    if former is None:
        raise StoreError(f"{root}: has no kept model; update needs a study that has ended")
    return former


def _study(facts: Mapping[str, Any], former: Tested, dataset: Dataset, more: int, refit: str | None) -> dict[str, Any]:
    """Return the study that retrains the kept model on the old and the new images."""
    spec = facts["spec"]
    old_data = DataSpec.model_validate(spec["data"])
    data = {
        "source": str(written(dataset)),
        "name": dataset.name,
        "split": {"given": True, "validation": old_data.split.validation},
        "classes": None if old_data.classes is None else list(dataset.classes),
        "drop_duplicates": old_data.drop_duplicates,
        "strict": old_data.strict,
    }
    return {
        "name": _name(spec["name"], dataset.fingerprint),
        "question": f"Is {former.run} better with {more} more images?",
        "data": data,
        "seeds": _seeds(spec["seeds"], old_data.split),
        "runs": _runs(facts, former.run),
        "ensembles": {key: value for key, value in spec["ensembles"].items() if key == former.run},
        "audit": spec["audit"],
        "compare": {"metric": former.metric},
        "refit": refit or spec.get("refit"),
    }


def _seeds(former: int | list[int], split: SplitSpec) -> int | list[int]:
    """Return the seeds of the study; where they were folds, one for each repeat: now the test part is one of them."""
    if split.fold != "seed":
        return former
    assert split.folds is not None
    count = former if isinstance(former, int) else len(former)
    return max(1, count // split.folds)


def _check_unchanged(old: Dataset, former: Tested) -> None:
    """Refuse where some images that the study was tested on are missing."""
    assert old.digests is not None
    there = {digest.decode() for digest in old.digests.tolist()}
    if not former.test:
        raise DataError(f"{former.folder}: does not say which images it was tested on; run the comparison again")
    if gone := len(former.test - there):
        raise DataError(
            f"{old.name}: {gone} of the {len(former.test)} images that the model was tested on are gone or changed, so"
            " that the models could not be compared; put them back, or run the comparison again"
        )


def _given(source: str, label: str | None, old_data: DataSpec, old: Dataset, resources: Resources) -> Dataset:
    """Return the images that arrived, loaded as the study's own were."""
    whole = {"source": source, "label": label or old_data.label, "split": SplitSpec(), "name": None, "classes": None}
    whole["corrections"] = None  # they are of the old images
    given = resources.dataset(old_data.model_copy(update=whole))
    if old_data.classes is not None:
        shared = [name for name in given.classes if name in old.classes]
        if not shared:
            raise DataError(f"{given.name}: has no image of the classes that the study is limited to")
        given = only_classes(given, shared)
    if old_data.drop_duplicates == "near":
        given = without_copies(old, given, without_near_duplicates(as_old_and_new(old, given), resources.store))
    return given


def _name(former: str, fingerprint: str) -> str:
    """Return the study's name: that of the first study of a series of updates, and which images there are now."""
    mark = f"-update-{fingerprint[:6]}"
    first = readable(re.sub(r"([- ]update[- ][0-9a-f]{6})+$", "", former))
    return first[: _LONGEST - len(mark)].rstrip("-.") + mark


def _runs(facts: Mapping[str, Any], kept: str) -> dict[str, Any]:
    """Return the settings of the kept run, of the members of an ensemble, and of runs that they start from."""
    spec, found = facts["spec"], {}
    wanted = list(spec["ensembles"].get(kept, [kept]))
    while wanted:
        name = wanted.pop()
        if name in found:
            continue
        found[name] = {key: value for key, value in spec["runs"][name].items() if value not in (None, {})}
        weights = {key: value for key, value in found[name]["weights"].items() if value is not None}
        found[name]["weights"] = weights
        if "run" in weights:
            wanted.append(weights["run"])
    return {name: found[name] for name in spec["runs"] if name in found}


def _compute_new(study: Mapping[str, Any], old_data: DataSpec, old: Dataset, resources: Resources) -> None:
    """Decode and run through frozen networks the new images only; the study then finds all of them in the cache."""
    loaded = load_study(study)
    seed = loaded.spec.seed_list[0]
    for run in loaded.runs:
        if run.spec.data is not None or run.needs is not None or run.spec.head_kind is None:
            continue
        backbone, dataset = resources.loaded(run.network, seed).backbone, resources.dataset(run.data)
        needs = backbone.preprocessing
        assert dataset.digests is not None and old.digests is not None
        begins = np.array_equal(dataset.digests[: len(old)], old.digests)  # else the first images are others
        images = decode_images(dataset, view_of(needs), store=resources.store, parts=[old] if begins else [])
        extract(
            images,
            backbone.stages,
            needs,
            key=resources.features_key(run.data, run.network, seed),
            store=resources.store,
            device=resources.device,
            title=f"{dataset.name}: features of {backbone.name}",
            parts=[resources.features_key(old_data, run.network, seed)] if begins else [],
        )
