from __future__ import annotations

import math

import numpy as np
import pytest

from headstart.errors import DataError
from headstart.fewshot.learning_curve import learning_curve

SIZES = (1, 2, 5, 10, 20, 50)


def measured(
    floor: float,
    scale: float,
    exponent: float,
    sd: float,
    seeds: int = 3,
    sizes: tuple[int, ...] = SIZES,
    seed: int = 0,
) -> dict[float, list[float]]:
    generator = np.random.default_rng(seed)
    truth = {n: 1 - floor - scale * n**-exponent for n in sizes}
    return {n: np.clip(truth[n] + generator.normal(0, sd, seeds), 0, 1).tolist() for n in sizes}


def test_exact_power_law_is_found_again() -> None:
    curve = learning_curve(measured(0.04, 0.5, 0.6, 0.0))
    assert (curve.floor, curve.scale, curve.exponent) == pytest.approx((0.04, 0.5, 0.6), abs=5e-3)
    gain = 0.5 * (50**-0.6 - 100**-0.6)
    assert curve.gain == pytest.approx(gain, abs=1e-3)
    assert curve.next_labels == 100
    assert curve.expected == pytest.approx(1 - 0.04 - 0.5 * 100**-0.6, abs=2e-3)
    assert curve.certain
    assert "From 50 to 100 labels per class: 1.6 points more are expected" in curve.words


def test_interval_of_the_gain_covers_the_truth() -> None:
    gain = 0.5 * (20**-0.5 - 40**-0.5)
    found = [
        learning_curve(measured(0.05, 0.5, 0.5, 0.012, sizes=(1, 2, 5, 10, 20), seed=k), seed=k) for k in range(40)
    ]
    assert sum(curve.gain_low <= gain <= curve.gain_high for curve in found) >= 35


def test_two_sizes_say_nothing() -> None:
    curve = learning_curve({1: [0.5, 0.6], 5: [0.7, 0.72]})
    assert not curve.certain
    assert math.isnan(curve.gain)
    assert "the data do not say; 2 sizes measured, at least 3 are needed" in curve.words
    assert [point.labels for point in curve.points] == [1, 5]


def test_noise_larger_than_the_gain_says_nothing() -> None:
    curve = learning_curve(measured(0.3, 0.1, 0.3, 0.2, seeds=2, sizes=(1, 2, 5)))
    assert not curve.certain
    assert "the data do not say" in curve.words


def test_accuracy_that_falls_with_labels_is_no_power_law() -> None:
    curve = learning_curve({1: [0.9, 0.91], 2: [0.7, 0.71], 5: [0.8, 0.81], 10: [0.6, 0.61]})
    assert not curve.certain
    assert "do not follow a power law" in curve.words


def test_flat_curve_says_that_labels_are_not_what_lacks() -> None:
    curve = learning_curve(measured(0.1, 0.6, 2.0, 0.001, sizes=(5, 10, 20, 50)))
    assert curve.certain
    assert "labels are not what lacks" in curve.words


def test_points_carry_students_interval() -> None:
    curve = learning_curve({1: [0.5, 0.6, 0.7], 2: [0.7], 5: [0.8, 0.8]})
    half = 4.302653 * 0.1 / math.sqrt(3)
    assert (curve.points[0].mean, curve.points[0].low, curve.points[0].high) == pytest.approx(
        (0.6, 0.6 - half, 0.6 + half)
    )
    assert curve.points[1].low == curve.points[1].high == 0.7
    assert curve.to_dict()["points"][2]["seeds"] == 2


@pytest.mark.parametrize("bad", [{}, {0: [0.5]}, {1: []}, {1: [1.5]}, {1: [float("nan")]}])
def test_impossible_measurements_are_refused(bad: dict[float, list[float]]) -> None:
    with pytest.raises(DataError):
        learning_curve(bad)
