"""Splits: disjoint train, validation and test rows; given, stratified, grouped, in folds; parts of train."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from headstart.data.dataset import Dataset, IntArray, Split
from headstart.errors import DataError
from headstart.units import percent

Labels = npt.NDArray[np.int64] | npt.NDArray[np.bool_]
FEW_TEST_IMAGES = 10  # of a class, below which its figures are uncertain, and `compare` tests all images, in folds
_SHOWN = 5  # class names in a note


def make_split(
    dataset: Dataset,
    *,
    validation: float = 0.2,
    test: float = 0.2,
    given: bool = True,
    folds: int | None = None,
    fold: int | None = None,
    seed: int = 0,
    test_seed: int = 0,
) -> Split:
    """Return disjoint train, validation and test rows, stratified by class and never dividing a group.

    Args:
        dataset: its given split is kept (where `given`), its groups are kept whole.
        validation: the share of what is not test; not used where validation rows are given.
        test: the share of all rows; not used where test rows are given or with `folds`.
        given: use the dataset's own split, if it has one.
        folds: divide all rows into this many folds; number `fold` (from 0) is the test part; where
            test rows are given, divide the others, and the fold is the validation part.
        fold: which fold.
        seed: draws the validation part.
        test_seed: draws the test part and the folds; the test part depends on nothing else.

    Raises:
        DataError: impossible shares or folds, an empty training part, a group in two given parts.
    """
    _check_numbers(validation, test, folds, fold)
    strata, groups = strata_of(dataset.labels), _codes(dataset.groups)
    part = _given_parts(dataset) if given else None
    rules = ["stratified" + (" by group" if groups is not None else "")]
    has_test = part is not None and bool((part == 2).any())
    has_validation = part is not None and bool((part == 1).any())
    side = np.zeros(len(dataset), dtype=np.int8) if part is None else part
    if part is not None:
        rules.insert(0, "given" if has_test or has_validation else "given train")
    if folds is not None:
        assert fold is not None
        free = np.flatnonzero(side == 0)
        target = 1 if has_test else 2
        free_groups = None if groups is None else groups[free]
        side[free[kfold(strata[free], folds, seed=test_seed, groups=free_groups) == fold]] = target
        rules.append(f"{'validation' if has_test else 'test'} is fold {fold} of {folds} (seed {test_seed})")
        has_validation |= has_test
    elif not has_test:
        _draw(side, 2, test, strata, groups, np.random.default_rng([test_seed, 1]))
        rules.append(f"test {percent(test, 0)} (seed {test_seed})")
    if not has_validation:
        _draw(side, 1, validation, strata, groups, np.random.default_rng([seed, 2]))
        rules.append(f"validation {percent(validation, 0)} of the rest (seed {seed})")
    rows = [np.flatnonzero(side == code).astype(np.int64) for code in range(3)]
    train, validating, testing = rows
    if not len(train):
        raise DataError(f"{dataset.name}: no image is left for training; make the other parts smaller")
    return Split(train, validating, testing, "; ".join(rules), seed, _notes(dataset, rows))


def subsample(
    split: Split,
    labels: Dataset | Labels,
    *,
    fraction: float | None = None,
    shots: int | None = None,
    seed: int = 0,
) -> Split:
    """Return the split with a subset of its training rows that has the same classes in the same proportions.

    The rows of a smaller part are among those of every larger part of the same seed, whether chosen by
    `fraction` or by `shots`.

    Args:
        split: validation and test stay as they are.
        labels: the dataset, or its labels.
        fraction: the share of each class, in (0, 1]; at least one image of each.
        shots: images of each class.
        seed: which images.

    Raises:
        DataError: a class has fewer than `shots` training images, or the request is contradictory.
    """
    if (fraction is None) == (shots is None):
        raise DataError("a training subset needs either a fraction or a number of shots")
    values = labels.labels if isinstance(labels, Dataset) else labels
    if shots is not None and values.ndim == 2:
        raise DataError("shots need one label per image; with several labels use a fraction")
    strata = strata_of(values)[split.train]
    order, rank = rank_in_stratum(strata, np.random.default_rng([seed, 3]))
    sizes = np.bincount(strata)[strata[order]]
    if shots is not None:
        _check_shots(split, labels, shots)
        keep, rule = rank < shots, f"{shots} shots (seed {seed})"
    else:
        assert fraction is not None
        if not 0 < fraction <= 1:
            raise DataError(f"a fraction of the training set must be in (0, 1], not {fraction}")
        keep = rank < np.maximum(1, np.floor(fraction * sizes + 0.5))
        rule = f"{fraction:.4g} of train (seed {seed})"
    train = np.sort(split.train[order[keep]])
    return replace(split, train=train, rule=f"{split.rule}; {rule}")


def kfold(labels: Labels, folds: int, *, seed: int = 0, groups: npt.NDArray[np.generic] | None = None) -> IntArray:
    """Return the fold 0 … folds-1 of each row, stratified; rows of one group share a fold.

    Raises:
        DataError: fewer rows (or groups) than folds.
    """
    strata, codes = strata_of(labels), _codes(groups)
    units = len(strata) if codes is None else int(codes.max(initial=-1)) + 1
    if folds < 2 or folds > units:
        raise DataError(f"cannot make {folds} folds of {units} {'images' if codes is None else 'groups'}")
    rng = np.random.default_rng([seed, 4])
    if codes is None:
        order, _ = rank_in_stratum(strata, rng)
        result = np.empty(len(strata), dtype=np.int64)
        # The strata follow one another, so dealing in turn gives every fold its share of each.
        result[order] = np.arange(len(strata)) % folds
        return result
    majority, sizes = _group_strata(strata, codes)
    return _folds_of_groups(majority, sizes, folds, rng)[codes]


def strata_of(labels: Labels) -> IntArray:
    """Return the stratum of each row: its label; of several labels the one that is rarest over all rows.

    Rows without any label are a stratum of their own.
    """
    if labels.ndim == 1:
        return labels.astype(np.int64, copy=False)
    counts = labels.sum(axis=0)
    cost = np.where(labels, counts[None, :], labels.shape[0] + 1)
    rarest: IntArray = np.where(labels.any(axis=1), cost.argmin(axis=1), labels.shape[1]).astype(np.int64)
    return rarest


def _check_numbers(validation: float, test: float, folds: int | None, fold: int | None) -> None:
    for name, share in (("validation", validation), ("test", test)):
        if not 0 <= share < 1:
            raise DataError(f"the {name} share must be in [0, 1), not {share}")
    if (folds is None) != (fold is None):
        raise DataError("folds need both: how many (folds) and which one (fold)")
    if folds is not None and fold is not None and not 0 <= fold < folds:
        raise DataError(f"fold {fold} is not one of 0 … {folds - 1}")


def _given_parts(dataset: Dataset) -> npt.NDArray[np.int8] | None:
    """Return 0, 1, 2 for given train, validation, test of each row, or None where nothing is given."""
    if dataset.given_split is None:
        return None
    part = np.zeros(len(dataset), dtype=np.int8)
    part[dataset.given_split == "validation"] = 1
    part[dataset.given_split == "test"] = 2
    if dataset.groups is not None:
        names, codes = np.unique(dataset.groups, return_inverse=True)
        low, high = np.full(len(names), 3), np.full(len(names), -1)
        np.minimum.at(low, codes, part)
        np.maximum.at(high, codes, part)
        if (low != high).any():
            group = names[np.flatnonzero(low != high)[0]]
            raise DataError(
                f"{dataset.name}: group {str(group)!r} is in two parts of the given split; "
                "correct one of them, or set given: false"
            )
    return part


def _draw(
    side: npt.NDArray[np.int8],
    target: int,
    share: float,
    strata: IntArray,
    groups: IntArray | None,
    rng: np.random.Generator,
) -> None:
    """Move a stratified share of the rows on side 0 to side `target`; one row of each class always remains."""
    free = np.flatnonzero(side == 0)
    if share == 0 or not len(free):
        return
    if groups is None:
        order, rank = rank_in_stratum(strata[free], rng)
        quota = _quotas(np.bincount(strata[free]), share, rng)
        side[free[order[rank < quota[strata[free][order]]]]] = target
        return
    codes = np.unique(groups[free], return_inverse=True)[1]
    majority, sizes = _group_strata(strata[free], codes)
    order, _ = rank_in_stratum(majority, rng)
    before = _sum_before(majority[order], sizes[order])
    goal = share * np.bincount(majority, weights=sizes)[majority[order]]
    last = np.append(majority[order][1:] != majority[order][:-1], True)  # one group of each class remains
    taken = order[(before + sizes[order] / 2 <= goal) & ~last]
    side[free[np.isin(codes, taken)]] = target


def _quotas(sizes: IntArray, share: float, rng: np.random.Generator) -> IntArray:
    """Divide round(share × all) among the classes by largest remainder; never a whole class."""
    exact = sizes * share
    quota: IntArray = np.floor(exact).astype(np.int64)
    short = int(np.floor(exact.sum() + 0.5) - quota.sum())
    order = np.lexsort((rng.random(len(sizes)), -(exact - quota)))
    order = order[(quota < sizes - 1)[order]]
    quota[order[:short]] += 1
    return quota


def rank_in_stratum(strata: IntArray, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
    """Return (order, rank): rows by stratum, shuffled within each, and each one's place in its stratum."""
    shuffled = rng.permutation(len(strata))
    order = shuffled[np.argsort(strata[shuffled], kind="stable")]
    rank = _sum_before(strata[order], np.ones(len(strata), dtype=np.int64))
    return order.astype(np.int64), rank


def _sum_before(sorted_strata: IntArray, sizes: IntArray) -> IntArray:
    """Return for each element the sum of the sizes before it within its stratum (each stratum is contiguous)."""
    total = np.cumsum(sizes) - sizes
    first = np.ones(len(sizes), dtype=bool)
    first[1:] = sorted_strata[1:] != sorted_strata[:-1]
    start = np.maximum.accumulate(np.where(first, np.arange(len(sizes)), 0))
    result: IntArray = (total - total[start]).astype(np.int64)
    return result


def _group_strata(strata: IntArray, codes: IntArray) -> tuple[IntArray, IntArray]:
    """Return each group's most common stratum and its number of rows."""
    width = int(strata.max()) + 1
    pairs, counts = np.unique(codes * width + strata, return_counts=True)
    group, stratum = pairs // width, pairs % width
    order = np.lexsort((stratum, -counts, group))
    first = np.append(True, group[order][1:] != group[order][:-1])
    return stratum[order][first].astype(np.int64), np.bincount(codes).astype(np.int64)


def _folds_of_groups(majority: IntArray, sizes: IntArray, folds: int, rng: np.random.Generator) -> IntArray:
    """Deal the groups, largest first, each to the fold with the fewest rows of its class, then the fewest rows."""
    shuffled = rng.permutation(len(sizes))
    order = shuffled[np.lexsort((-sizes[shuffled], majority[shuffled]))]
    result = np.empty(len(sizes), dtype=np.int64)
    total, of_class, current = [0] * folds, [0] * folds, -1
    for group in order.tolist():
        if majority[group] != current:
            current, of_class = int(majority[group]), [0] * folds
        best = min(range(folds), key=lambda fold: (of_class[fold], total[fold], fold))
        result[group] = best
        of_class[best] += int(sizes[group])
        total[best] += int(sizes[group])
    return result


def _codes(groups: npt.NDArray[np.generic] | None) -> IntArray | None:
    return None if groups is None else np.unique(groups, return_inverse=True)[1].astype(np.int64)


def _check_shots(split: Split, labels: Dataset | Labels, shots: int) -> None:
    if shots < 1:
        raise DataError(f"shots must be at least 1, not {shots}")
    values = labels.labels if isinstance(labels, Dataset) else labels
    classes = len(labels.classes) if isinstance(labels, Dataset) else int(values.max(initial=0)) + 1
    counts = np.bincount(values[split.train].astype(np.int64), minlength=classes)
    short = np.flatnonzero(counts < shots)
    if len(short):
        name = labels.classes[short[0]] if isinstance(labels, Dataset) else str(short[0])
        more = f" ({len(short)} classes are short of images)" if len(short) > 1 else ""
        raise DataError(
            f"class {name!r} has {counts[short[0]]} training images, too few for {shots} shots{more}; "
            f"ask for at most {counts.min()} shots or leave the class out"
        )


def _notes(dataset: Dataset, rows: list[IntArray]) -> tuple[str, ...]:
    notes = []
    for title, part in zip(("training", "validation", "test"), rows, strict=True):
        if not len(part):
            continue
        absent = np.flatnonzero(dataset.counts(part) == 0)
        if len(absent):
            shown = ", ".join(repr(dataset.classes[code]) for code in absent[:_SHOWN])
            more = ", …" if len(absent) > _SHOWN else ""
            count = f"{len(absent)} of {len(dataset.classes)} classes"
            notes.append(f"{count} have no {title} image: {shown}{more}")
    return tuple(notes)
