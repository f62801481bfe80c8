from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from headstart.errors import DataError
from headstart.evaluate.comparison.training_images import over_splits, with_training_images


def test_the_interval_over_splits_is_nadeau_and_bengios() -> None:
    values = [0.80, 0.84, 0.79, 0.85, 0.82]
    error = np.sqrt(np.var(values, ddof=1) * (1 / 5 + 0.25))
    reach = stats.t.ppf(0.975, 4) * error
    found = over_splits(values, 0.25, bounds=None)
    assert [found["low"], found["high"]] == pytest.approx([0.82 - reach, 0.82 + reach])
    few, many = (over_splits([1.0] * 5, 0.25, images=images) for images in (None, 60))
    t = stats.t.ppf(0.975, 4)
    assert few["low"] == pytest.approx(1 / (1 + t**2 / 5))  # Wilson's lower end of five of five, at t errors
    assert many["low"] == pytest.approx(1 / (1 + t**2 / 60))
    inside = over_splits([0.98, 0.99, 1.0], 0.25)
    assert 0 <= inside["low"] < 0.99 < inside["high"] <= 1


def test_other_training_images_widen_the_interval_and_it_covers() -> None:
    held, truth = 0, 0.8
    for each in range(200):
        generator = np.random.default_rng([5, each])
        own = truth + generator.normal() * 0.03  # what this sample of training images happens to give
        images = generator.normal(size=400) * 0.5
        mean = float((generator.normal(size=400) * 0.2 + images + own).mean())
        shift = generator.normal(size=(20, 1)) * 0.03
        resampled = own + shift + images + generator.normal(size=(20, 400)) * 0.2
        found = with_training_images(mean, resampled, bounds=None)
        held += found["low"] <= truth <= found["high"]
    assert 0.92 <= held / 200 <= 0.99


def test_the_correction_multiplies_the_variance_over_samples() -> None:
    table = np.array([[0.0] * 50, [1.0] * 50, [2.0] * 50, [3.0] * 50])  # images add nothing
    plain, twice = (with_training_images(1.5, table, bounds=None, correction=factor) for factor in (1.0, 4.0))
    reach = stats.t.ppf(0.975, 3) * np.std([0, 1, 2, 3], ddof=1)
    assert [plain["low"], plain["high"]] == pytest.approx([1.5 - reach, 1.5 + reach])
    assert [twice["low"], twice["high"]] == pytest.approx([1.5 - 2 * reach, 1.5 + 2 * reach])


def test_the_freedom_is_that_of_the_sum_of_two_variances() -> None:
    training, image = np.array([-0.03, 0.0, 0.03]), np.array([-0.8, 0.1, 0.2, 0.5])
    table = 0.5 + training[:, None] + image  # no noise: of 3 trainings, and of 4 images
    parts = training.var(ddof=1), image.var(ddof=1) / 4
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / 2 + parts[1] ** 2 / 3)  # Satterthwaite (1946)
    reach = stats.t.ppf(0.975, freedom) * np.sqrt(sum(parts))
    found = with_training_images(0.5, table, bounds=None)
    assert [found["low"], found["high"]] == pytest.approx([0.5 - reach, 0.5 + reach])


def test_too_few_samples_are_refused() -> None:
    with pytest.raises(DataError, match="too few"):
        with_training_images(0.8, np.ones((2, 9), dtype=bool))
    with pytest.raises(DataError, match="too few"):
        over_splits([0.5, 0.6], 0.25)
