"""The chosen bands of a dataset, measured on the images that are not tested."""

from __future__ import annotations

import contextlib

import numpy as np

from headstart.bands import Bands
from headstart.data.band_statistics import measure_bands
from headstart.data.dataset import Dataset, Split
from headstart.data.splits import make_split
from headstart.errors import DataError
from headstart.study.spec.schema import SplitSpec


def split_by(rule: SplitSpec, dataset: Dataset, seed: int) -> Split:
    """Return the rows of train, validation and test by a rule for one seed.

    Raises:
        DataError: as of `make_split`.
    """
    fold, test_seed = rule.fold_of(seed)
    return make_split(
        dataset,
        validation=rule.validation,
        test=rule.test,
        given=bool(rule.given),
        folds=rule.folds,
        fold=fold,
        seed=seed,
        test_seed=test_seed,
    )


def measured_bands(dataset: Dataset, rule: SplitSpec) -> Bands | None:
    """Return the bands, measured on all images but those that the rule tests; None of ordinary pictures.

    The validation images of one seed are training images of another, so that all seeds have the same bands.

    Raises:
        DataError: the images cannot be split, or there is nothing to measure.
    """
    if dataset.bands is None:
        return None
    split = split_by(rule, dataset, 0)
    return measure_bands(dataset, np.union1d(split.train, split.validation), dataset.bands)


def bands_without_a_rule(dataset: Dataset) -> Bands | None:
    """Return the bands of images that no study splits; None of ordinary pictures.

    They are those that `compare` measures, so that its pixels and features are shared; without labels, or with too few
    images for a test part, they are measured on all images.

    Raises:
        DataError: there is nothing to measure.
    """
    if dataset.bands is None:
        return None
    if dataset.classes:
        with contextlib.suppress(DataError):
            return measured_bands(dataset, SplitSpec())
    return measure_bands(dataset, np.arange(len(dataset)), dataset.bands)
