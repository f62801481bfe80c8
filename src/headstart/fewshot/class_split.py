"""Base, validation and novel classes: for training, for choosing the best step, and for the test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Int

from headstart.errors import DataError, SpecError


@dataclass(frozen=True)
class ClassSplit:
    """Disjoint classes, in order.

    Args:
        base: for training.
        validation: for choosing the best step.
        novel: for the test.
    """

    base: tuple[int, ...]
    validation: tuple[int, ...]
    novel: tuple[int, ...]


def make_class_split(
    base: Sequence[int], validation: Sequence[int], novel: Sequence[int], class_names: Sequence[str]
) -> ClassSplit:
    """Return the split after checking it.

    Raises:
        DataError: classes on two sides; the message counts and names them.
        SpecError: a side without classes, or a class that does not exist.
    """
    sides = {"base": set(base), "validation": set(validation), "novel": set(novel)}
    for name, side in sides.items():
        if not side:
            raise SpecError(f"{name} classes: none were given; at least one is needed")
        if outside := sorted(c for c in side if not 0 <= c < len(class_names)):
            raise SpecError(
                f"{name} classes: {outside[0]} is not a class; there are {len(class_names)}, numbered from 0"
            )
    for (a, left), (b, right) in combinations(sides.items(), 2):
        if shared := sorted(left & right):
            names = ", ".join(repr(class_names[c]) for c in shared[:5]) + (" …" if len(shared) > 5 else "")
            raise DataError(
                f"{len(shared)} of {len(left)} {a} and {len(right)} {b} classes are the same ({names});"
                " a score on classes seen in training says nothing about new ones: put each class on one side"
            )
    return ClassSplit(tuple(sorted(sides["base"])), tuple(sorted(sides["validation"])), tuple(sorted(sides["novel"])))


def random_class_split(
    class_names: Sequence[str], seed: int, shares: Sequence[float] = (0.64, 0.16, 0.2)
) -> ClassSplit:
    """Return a random split; the default shares are those of miniImageNet (64, 16 and 20 classes).

    Raises:
        SpecError: too few classes for one on each side.
    """
    count = len(class_names)
    first, second = round(count * shares[0]), round(count * (shares[0] + shares[1]))
    order = np.random.default_rng(seed).permutation(count).tolist()
    return make_class_split(order[:first], order[first:second], order[second:], class_names)


def given_class_split(
    labels: Int[np.ndarray, " n"], given: Sequence[str] | np.ndarray, class_names: Sequence[str]
) -> ClassSplit:
    """Return the split of a dataset whose given train, validation and test images are of different classes.

    The published 64/16/20 split of miniImageNet (Ravi and Larochelle 2017) has this form in headstart.

    Raises:
        DataError: a class that has images on two sides.
        SpecError: a side without images.
    """
    parts = np.asarray(given)
    sides = [np.unique(labels[parts == name]).tolist() for name in ("train", "validation", "test")]
    return make_class_split(sides[0], sides[1], sides[2], class_names)
