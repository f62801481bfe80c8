"""What was found in a source, in a few lines for people: images, classes, the split, what was left out, depth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from headstart.data.dataset import Dataset, Skip, Split
from headstart.data.reasons import counted_reasons
from headstart.data.sources.layout import NOT_AN_IMAGE

_NAMED = 5  # classes
_KEPT_OUT = ("left out", "not listed", "repeats", "duplicates", "near duplicates", "classes", "limit")


def overview(dataset: Dataset, split: str) -> list[str]:
    """Return two to six lines: images and classes; the split; what was left out and why; and what is unusual.

    Args:
        dataset: the images and labels.
        split: how they are divided, in words; "" where that is no question.
    """
    left_out = "; ".join([*_reasons(dataset.skipped), *_facts(dataset, _KEPT_OUT)])
    lines = [
        _classes(dataset),
        f"split: {split}" if dataset.classes and split else "",
        f"left out: {left_out}" if left_out else "",
    ]
    lines += [
        f"{key}: {fact}"
        for key in ("corrections", "labels", "tables", "folders", "empty folders", "depth", "similar class names")
        for fact in _facts(dataset, (key,))
    ]
    lines.append(_unlearned(dataset))
    return [line for line in lines if line]


def _unlearned(dataset: Dataset) -> str:
    """Return which classes of a given split have images to test on but none to learn from."""
    given = dataset.given_split
    if given is None or "train" not in given or "" in given:
        return ""
    learned = dataset.counts(np.flatnonzero(given == "train"))
    absent = [dataset.classes[code] for code in np.flatnonzero(learned == 0)]
    if not absent:
        return ""
    names = ", ".join(absent[:_NAMED]) + (f" and {len(absent) - _NAMED:,} more" if len(absent) > _NAMED else "")
    return f"no training images: {names}; no model can learn these; give the parts the same class names"


def split_words(dataset: Dataset, split: Split) -> str:
    """Return where a split comes from and the sizes of its parts."""
    rules = [rule for rule in split.rule.split("; ") if rule != "stratified"]
    if rules and rules[0].startswith("given"):
        rules[0] = given_by(dataset)
    sizes = ", ".join(f"{len(getattr(split, part)):,} {part}" for part in ("train", "validation", "test"))
    return f"{'; '.join(rules)}: {sizes}"


def given_by(dataset: Dataset) -> str:
    """Return by what the split is given, or that none is."""
    if dataset.given_split is None:
        return "none is given"
    return dataset.about.get("split", "given with the images")


def _classes(dataset: Dataset) -> str:
    if not dataset.classes:
        return f"{dataset.name}: {len(dataset):,} images without labels"
    counts = dataset.counts()
    names = ", ".join(dataset.classes[:_NAMED])
    more = f" and {len(dataset.classes) - _NAMED:,} more" if len(dataset.classes) > _NAMED else ""
    kind = "labels, several per image" if dataset.multi_label else "classes"
    least = int(counts.argmin())
    sizes = (
        f"{counts[least]:,} images of each"
        if counts.min() == counts.max()
        else f"the smallest is {dataset.classes[least]} with {counts[least]:,}, the largest has {counts.max():,}"
    )
    return f"{dataset.name}: {len(dataset):,} images, {len(dataset.classes):,} {kind}: {names}{more}; {sizes}"


def _reasons(skipped: Sequence[Skip]) -> list[str]:
    """Return files that are no images by their suffix, then the other reasons with their counts."""
    foreign = Counter(PurePosixPath(skip.name).suffix.lower() for skip in skipped if skip.reason == NOT_AN_IMAGE)
    kinds = ", ".join(f"{count:,} {suffix or 'without a suffix'}" for suffix, count in foreign.most_common())
    found = [f"files that are not images by their names ({kinds})"] if foreign else []
    others = [skip.reason for skip in skipped if skip.reason != NOT_AN_IMAGE]
    return [*found, counted_reasons(others)] if others else found


def _facts(dataset: Dataset, keys: Sequence[str]) -> list[str]:
    return [dataset.about[key] for key in keys if key in dataset.about]
