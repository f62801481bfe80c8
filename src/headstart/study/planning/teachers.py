"""Checks a run's teacher: it knows the classes, and has not learned from images that the run is judged or tested on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headstart.bands import BandChoice
from headstart.data.dataset import Dataset
from headstart.data.decoding.band_numbers import BandKind, other_kind
from headstart.errors import SpecError, Unsuitable
from headstart.evaluate.metrics.guards import listed_names
from headstart.study.resources import Resources
from headstart.study.results.tested import find_tested
from headstart.study.spec.run import ResolvedStudy, Run
from headstart.study.spec.schema import AS_IS, DISTIL


def check_teacher(run: Run, study: ResolvedStudy, resources: Resources) -> None:
    """Refuse a teacher of other classes, and one that has learned from the run's test or validation images.

    Raises:
        SpecError: which teacher, and what is wrong.
        Unsuitable: the images have several labels each.
        DataError: no image of `data.unlabelled` can be used.
    """
    teacher, seeds = run.spec.teacher, study.spec.seed_list
    if run.spec.strategy != DISTIL or teacher is None:
        return
    dataset = resources.dataset(run.data)
    if dataset.multi_label:
        raise Unsuitable("a teacher's soft labels are of one label per image, and these images have several")
    resources.unlabelled(run.data)
    if teacher.path is not None:
        _check_saved(run, teacher.path, dataset, resources, seeds)
    for each in run.teachers:
        taught = resources.dataset(each.data)
        _check_classes(run, each.name, taught.classes, dataset)
        _check_bands(run, each.name, taught.bands, dataset)
        for seed in seeds:
            learned = set[bytes]().union(*(_learned(one, run, seed, resources) for one in _with_sources(each, study)))
            _check_unseen(run, each.name, learned, dataset, seed, resources)
        if any(_is_refitted(one) for one in _with_sources(each, study)) and _has_validation(run, resources, seeds[0]):
            raise SpecError(
                f"{run.called}: the teacher {each.name!r} is refitted on the validation images that this run is"
                " judged on; set refit: none for it"
            )


def _is_refitted(run: Run) -> bool:
    """Return whether a run's network, once chosen, learns from the validation images, too."""
    return run.spec.strategy != AS_IS and run.refits


def _has_validation(run: Run, resources: Resources, seed: int) -> bool:
    return len(resources.split(run.data, seed, run.subset).validation) > 0


def _check_saved(run: Run, path: str, dataset: Dataset, resources: Resources, seeds: Sequence[int]) -> None:
    first = resources.saved_teacher(path).ensemble.members[0]
    if first.multi_label:
        raise Unsuitable(f"the teacher {path} gives several labels per image, and these images have one")
    _check_classes(run, path, first.classes, dataset)
    for member in resources.saved_teacher(path).ensemble.members:
        bands = member.preprocessing.bands
        _check_bands(run, path, None if bands is None else bands.choice, dataset)
    known = find_tested(path)
    learned = frozenset[str]() if known is None else known.learned
    for seed in seeds:
        _check_unseen(run, path, {digest.encode() for digest in learned}, dataset, seed, resources)


def _check_classes(run: Run, teacher: str, known: Sequence[str], dataset: Dataset) -> None:
    if missing := [name for name in dataset.classes if name not in known]:
        raise SpecError(
            f"{run.called}: the teacher {teacher!r} does not know {len(missing)} of the {len(dataset.classes)} classes"
            f" ({listed_names(missing)}); name a teacher that was trained on these classes"
        )


def _check_bands(run: Run, teacher: str, needed: BandChoice | None, dataset: Dataset) -> None:
    """Refuse a teacher that cannot read these images: they would be black to it."""
    has = dataset.bands
    if needed is None and has is None:
        return
    if needed is None:
        why = "takes ordinary pictures, and these images have bands"
    elif has is None:
        why = f"takes {len(needed.indices)} bands, and these images are ordinary pictures"
    else:
        names = dict(zip(has.indices, has.names, strict=True))
        kind = BandKind(tuple(names.get(index, str(index)) for index in range(has.of)), has.dtype)
        other = other_kind(kind, needed)
        if other is None:
            return
        why = f"takes other bands: an image {other}"
    raise SpecError(f"{run.called}: the teacher {teacher!r} {why}; name one that was trained on such images")


def _check_unseen(
    run: Run, teacher: str, learned: set[bytes], dataset: Dataset, seed: int, resources: Resources
) -> None:
    assert dataset.digests is not None
    test = dataset.digests[resources.split(run.data, seed, run.subset).test].tolist()
    if seen := sum(digest in learned for digest in test):
        raise SpecError(
            f"{run.called}: the teacher {teacher!r} has learned from {seen} of the {len(test)} test images"
            f" (seed {seed}) and would give their answers away; name one that has the same split"
        )


def _learned(teacher: Run, run: Run, seed: int, resources: Resources) -> set[bytes]:
    """Return the digests of the images that a run was fitted or chosen on; none where it has the same split."""
    if teacher.data == run.data:
        return set()
    dataset = resources.dataset(teacher.data)
    split = resources.split(teacher.data, seed, teacher.subset)
    assert dataset.digests is not None
    return set(dataset.digests[np.concatenate([split.train, split.validation])].tolist())


def _with_sources(run: Run, study: ResolvedStudy) -> list[Run]:
    """Return a run, and all runs that it starts or learns from."""
    return [run, *(each for name in run.sources for each in _with_sources(study.run(name), study))]
