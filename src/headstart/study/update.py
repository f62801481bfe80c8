"""Prepares a study that learns the kept model of a finished one again, with images that arrived since.

The images of the former study keep their part: what it was tested on stays test, so that the two models can be compared
on the same images. Each new image is given a part by its content, the same one whenever and in whatever order it comes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.data.dataset import Dataset, JoinedRows, fingerprint_of
from headstart.data.decoding.image_store import decode_images
from headstart.data.sources.written import written
from headstart.errors import DataError, StoreError
from headstart.storage.names import readable
from headstart.storage.opening import default_store
from headstart.storage.store import Store
from headstart.study.resources import Resources
from headstart.study.results.folder import StudyFolder
from headstart.study.results.tested import Tested, find_tested
from headstart.study.spec.load import load_study
from headstart.study.spec.schema import DataSpec
from headstart.transfer.frozen.features import extract
from headstart.transfer.frozen.views import view_of


@dataclass(frozen=True)
class Update:
    """What will be learned again.

    Args:
        study: as `load_study` takes it.
        former: the kept model of the former study.
        new: number of new images by part: "train" (which validation is drawn from) and "test".
        notes: what a user should know: labels that changed, new classes.
    """

    study: dict[str, Any]
    former: Tested
    new: Mapping[str, int]
    notes: tuple[str, ...]


def prepare_update(
    place: str | Path, source: str, *, label: str | None = None, device: str = "auto", store: Store | None = None
) -> Update:
    """Return the study that learns a finished study's kept model again, with new images; nothing is trained.

    What the cache has of the former images, pixels and features, is used again.

    Args:
        place: the folder of the finished study.
        source: labelled images, as `load_dataset` takes them; those that the study has already may be among them.
        label: which label, where they have several.
        device: where networks run.
        store: the cache; the default cache if None.

    Raises:
        StoreError: the folder holds no finished study.
        DataError: the study was cross-validated, its images are gone or changed, or no image is new.
    """
    root = Path(place).expanduser()
    facts = StudyFolder(root).read_study()
    former = find_tested(root)
    if former is None:
        raise StoreError(f"{root}: has no kept model; update needs a study that has ended")
    spec = facts["spec"]
    if (spec["data"].get("split") or {}).get("folds"):
        raise DataError(
            f"{root}: was cross-validated, so that every image was a test image once; run the comparison again with"
            " all images"
        )
    resources = Resources(store or default_store(), device)
    old_data = DataSpec.model_validate(spec["data"])
    old, given = resources.dataset(old_data), resources.dataset(DataSpec(source=source, label=label))
    _check_unchanged(old, former)
    dataset, new, notes = _joined(old, given, former)
    share = len(former.test) / len(old)
    data = {"source": str(written(dataset)), "split": {"given": True, "validation": old_data.split.validation}}
    name = readable(f"{spec['name']} update {dataset.fingerprint[:6]}")
    runs = _runs(facts, former.run)
    study = {
        "name": name,
        "question": f"Is {former.run} better with {new} more images?",
        "data": {**data, "name": old.name},
        "seeds": spec["seeds"],
        "runs": runs,
        "ensembles": {key: value for key, value in spec["ensembles"].items() if key == former.run},
        "audit": spec["audit"],
        "compare": {"metric": former.metric},
    }
    _compute_new(study, old_data, old, resources)
    assert dataset.given_split is not None
    parts = dataset.given_split[len(old) :]
    counts = {part: int((parts == part).sum()) for part in ("train", "test")}
    notes += [f"{share:.0%} of new images become test images, chosen by their content"]
    return Update(study, former, counts, tuple(notes))


def _check_unchanged(old: Dataset, former: Tested) -> None:
    """Refuse where the images that the study was tested on are not all there any more."""
    assert old.digests is not None
    there = {digest.decode() for digest in old.digests.tolist()}
    if not former.test:
        raise DataError(f"{former.folder}: does not say which images it was tested on; run the comparison again")
    if gone := len(former.test - there):
        raise DataError(
            f"{old.name}: {gone} of the {len(former.test)} images that the model was tested on are gone or changed, so"
            " that the models could not be compared; put them back, or run the comparison again"
        )


def _joined(old: Dataset, given: Dataset, former: Tested) -> tuple[Dataset, int, list[str]]:
    """Return the old images, then the new ones, with their parts; the number of new ones; and what to tell."""
    assert old.digests is not None and given.digests is not None
    if old.multi_label != given.multi_label:
        raise DataError(f"{given.name}: labels are of another kind than those of {old.name}")
    place = {digest: row for row, digest in reversed(list(enumerate(old.digests.tolist())))}
    known = np.array([digest in place for digest in given.digests.tolist()], dtype=bool)
    fresh = given.select(np.flatnonzero(~known))
    if not len(fresh):
        raise DataError(f"{given.name}: has no image that the study does not know already")
    classes = tuple(sorted({*old.classes, *(c for c, n in zip(given.classes, given.counts(), strict=True) if n)}))
    labels = np.concatenate([_coded(old, classes), _coded(fresh, classes)])
    notes = []
    if added := [name for name in classes if name not in old.classes]:
        notes.append(f"new classes: {', '.join(added)}; the former model does not know them")
    relabelled = 0
    for row, code in zip(np.flatnonzero(known).tolist(), _coded(given, classes)[known], strict=True):
        mine = place[given.digests[row]]
        if not np.array_equal(labels[mine], code):
            labels[mine], relabelled = code, relabelled + 1
    if relabelled:
        notes.append(f"{relabelled} images have another label now than in the study; the new one is used")
    assert fresh.digests is not None
    digests = np.concatenate([old.digests, fresh.digests])
    share = len(former.test) / len(old)
    parts = [_part(digest.decode(), former, share) for digest in digests.tolist()]
    return (
        Dataset(
            name=old.name,
            reader=JoinedRows(old.reader, fresh.reader),
            labels=labels,
            classes=classes,
            given_split=np.array(parts, dtype=np.str_),
            fingerprint=fingerprint_of(digests, labels, classes),
            digests=digests,
        ),
        len(fresh),
        notes,
    )


def _coded(dataset: Dataset, classes: tuple[str, ...]) -> npt.NDArray[Any]:
    """Return the labels as indices into other classes."""
    index = np.array([classes.index(name) if name in classes else -1 for name in dataset.classes], dtype=np.int64)
    if not dataset.multi_label:
        return index[dataset.labels]
    wide = np.zeros((len(dataset), len(classes)), dtype=bool)
    wide[:, index[index >= 0]] = dataset.labels[:, index >= 0]
    return wide


def _part(digest: str, former: Tested, share: float) -> str:
    """Return the part of an image: as it was, or by its content: a share of all possible digests is test."""
    if digest in former.test:
        return "test"
    if digest in former.learned:
        return "train"
    return "test" if int(digest[:8], 16) / 0x1_0000_0000 < share else "train"


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
        images = decode_images(dataset, view_of(needs), store=resources.store, beginning=old if begins else None)
        extract(
            images,
            backbone.stages,
            needs,
            key=resources.features_key(run.data, run.network, seed),
            store=resources.store,
            device=resources.device,
            title=f"{dataset.name}: features of {backbone.name}",
            beginning=resources.features_key(old_data, run.network, seed) if begins else None,
        )
