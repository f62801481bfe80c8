from __future__ import annotations

import math
import re
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from headstart.errors import DataError
from headstart.fewshot.learning_curve import DRAWS, CurvePoint, _in_words, learning_curve
from headstart.fewshot.power_law import draw_curves
from headstart.fewshot.score_scale import scale_of

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
    assert (curve.floor, curve.scale, curve.exponent) == pytest.approx((0.04, 0.5, 0.6), abs=0.06)
    assert curve.gain == pytest.approx(0.5 * (50**-0.6 - 100**-0.6), abs=2e-3)
    assert curve.next_labels == 100
    assert curve.expected == pytest.approx(1 - 0.04 - 0.5 * 100**-0.6, abs=3e-3)
    assert curve.expected_low < curve.expected < curve.expected_high
    assert curve.gain_high - curve.gain_low < 0.015
    assert curve.certain
    assert re.match(r"From 50 to 100 labels per class: 1\.[5-7] points more are expected", curve.words)


def test_a_curve_of_another_metric_is_that_of_its_shares_in_its_own_unit() -> None:
    shares = measured(0.04, 0.5, 0.6, 0.003)
    plain = learning_curve(shares)
    losses = learning_curve({n: [2 * (1 - s) for s in run] for n, run in shares.items()}, metric="brier")
    assert losses.expected == pytest.approx(2 * (1 - plain.expected))
    assert losses.expected_low < losses.expected < losses.expected_high
    assert losses.gain == pytest.approx(2 * plain.gain)
    assert losses.points[0].mean == pytest.approx(2 * (1 - plain.points[0].mean))
    assert losses.points[0].low == pytest.approx(2 * (1 - plain.points[0].high))
    assert (losses.floor, losses.scale) == pytest.approx((2 * plain.floor, 2 * plain.scale))
    assert f"{losses.gain:.3f} better Brier score is expected" in losses.words
    correlations = learning_curve({n: [2 * s - 1 for s in run] for n, run in shares.items()}, metric="mcc")
    assert correlations.gain == pytest.approx(losses.gain)
    with pytest.raises(DataError, match=r"values of mcc at 1.0 labels must be one or more numbers from -1 to 1"):
        learning_curve({1: [1.2], 2: [0.3], 3: [0.4]}, metric="mcc")


def test_the_curve_for_drawing_goes_through_the_measured_points() -> None:
    curve = learning_curve(measured(0.04, 0.5, 0.6, 0.002))
    labels, fitted, low, high = np.array(curve.grid).T
    assert (labels[0], labels[-1]) == pytest.approx((1, 100))
    assert np.interp(np.log(SIZES), np.log(labels), fitted) == pytest.approx(
        [point.mean for point in curve.points], abs=0.01
    )
    assert ((low >= 0) & (low <= fitted) & (fitted <= high) & (high <= 1)).all()
    assert curve.gain == pytest.approx(curve.expected - np.interp(np.log(50), np.log(labels), fitted), abs=2e-3)


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
    assert math.isnan(curve.gain)
    assert "do not follow a power law" in curve.words


def test_flat_curve_says_that_labels_are_not_the_bottleneck() -> None:
    curve = learning_curve(measured(0.1, 0.6, 2.0, 0.001, sizes=(5, 10, 20, 50)))
    assert curve.certain
    assert "labels are not the bottleneck" in curve.words


def test_points_carry_students_interval_on_the_log_odds() -> None:
    curve = learning_curve({1: [0.5, 0.6, 0.7], 2: [0.7], 5: [0.8, 0.8]})
    half = 4.302653 * 0.1 / math.sqrt(3) / (0.6 * 0.4)
    low, high = (1 / (1 + math.exp(-(math.log(0.6 / 0.4) + side))) for side in (-half, half))
    assert (curve.points[0].mean, curve.points[0].low, curve.points[0].high) == pytest.approx((0.6, low, high))
    assert curve.points[1].low == curve.points[1].high == 0.7
    assert 0.7 < curve.points[2].low < 0.8 < curve.points[2].high < 0.9  # equal runs are not certainty
    assert curve.to_dict()["points"][2]["seeds"] == 2


def test_no_interval_leaves_0_to_1() -> None:
    curve = learning_curve({1: [0.9, 1.0], 2: [1.0, 0.96], 5: [1.0, 1.0], 10: [1.0, 0.99]})
    assert all(0 <= point.low <= point.mean <= point.high <= 1 for point in curve.points)
    assert all(0 <= value <= 1 for row in curve.grid for value in row[1:])
    assert 0 <= curve.expected_low <= curve.expected <= curve.expected_high <= 1


@pytest.mark.parametrize("bad", [{}, {0: [0.5]}, {1: []}, {1: [1.5]}, {1: [float("nan")]}])
def test_impossible_measurements_are_refused(bad: dict[float, list[float]]) -> None:
    with pytest.raises(DataError):
        learning_curve(bad)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({}, "a learning curve needs scores at one number of labels at least; there are none"),
        ({0: [0.5]}, "a learning curve over 0.0 labels: every number of labels must be above 0"),
        ({2: [0.5], 1: []}, "the accuracies at 1.0 labels must be one or more numbers from 0 to 1; got []"),
        ({1: [0.5, 1.5]}, "the accuracies at 1.0 labels must be one or more numbers from 0 to 1; got [0.5, 1.5]"),
        ({1: [-0.5]}, "the accuracies at 1.0 labels must be one or more numbers from 0 to 1; got [-0.5]"),
    ],
)
def test_refusals_name_the_number_of_labels(bad: dict[float, list[float]], message: str) -> None:
    with pytest.raises(DataError) as caught:
        learning_curve(bad)
    assert str(caught.value) == message


def test_a_curve_is_the_medians_and_95_percent_intervals_of_the_drawn_curves() -> None:
    accuracies = measured(0.04, 0.5, 0.6, 0.01, sizes=(50, 1, 2, 5, 10, 20))
    sizes = np.array(SIZES, dtype=float)
    runs = [np.array(accuracies[n]) for n in SIZES]
    grid = np.geomspace(1, 100, 40)
    for seed in (0, 3):
        curve = learning_curve(accuracies, seed=seed) if seed else learning_curve(accuracies)
        found = draw_curves(sizes, runs, np.append(grid, 50.0), draws=DRAWS, seed=seed)
        assert found is not None
        drawn = np.clip(1 - found.error, 0, 1)
        low, middle, high = np.quantile(drawn[:, :40], [0.025, 0.5, 0.975], axis=0)
        np.testing.assert_allclose(np.array(curve.grid), np.stack([grid, middle, low, high], axis=1))
        assert (curve.expected_low, curve.expected, curve.expected_high) == (low[-1], middle[-1], high[-1])
        gain = np.quantile(drawn[:, 39] - drawn[:, 40], [0.025, 0.5, 0.975])
        assert [curve.gain_low, curve.gain, curve.gain_high] == pytest.approx(gain.tolist())
        assert (curve.floor, curve.scale, curve.exponent) == (found.floor, found.scale, found.exponent)


def test_a_fit_worse_than_one_in_a_thousand_predicts_nothing() -> None:
    # three exact points and one that is off: the misfit grows with it until the power law is given up
    given_up = []
    for off in (0.0, 0.02, 0.05, 0.1, 0.2):
        accuracies = measured(0.04, 0.5, 0.6, 0.0)
        accuracies[10] = [each - off for each in accuracies[10]]
        sizes, runs = np.array(SIZES, dtype=float), [np.array(accuracies[n]) for n in SIZES]
        found = draw_curves(sizes, runs, np.array([1.0, 50.0]), draws=DRAWS, seed=0)
        likely = 0.0 if found is None else float(stats.chi2.sf(float((found.misfit**2).sum()), len(SIZES)))
        given_up.append(math.isnan(learning_curve(accuracies).gain))
        assert given_up[-1] == (likely < 1e-3)
    assert given_up[0] is False and given_up[-1] is True


def test_without_a_fit_everything_but_the_points_is_unknown() -> None:
    curve = learning_curve({1: [0.5, 0.6]}, unit="labels")
    assert curve.words == ("From 1 to 2 labels: the data do not say; 1 size measured, at least 3 are needed.")
    figures = curve.to_dict()
    rest = {key: figures.pop(key) for key in ("points", "next_labels", "grid", "certain", "words")}
    assert (rest["next_labels"], rest["grid"], rest["certain"], len(rest["points"])) == (2.0, [], False, 1)
    assert set(figures) == {
        "floor",
        "scale",
        "exponent",
        "expected",
        "expected_low",
        "expected_high",
        "gain",
        "gain_low",
        "gain_high",
    }
    assert all(math.isnan(each) for each in figures.values())
    falling = {1: [0.9, 0.91], 2: [0.7, 0.71], 5: [0.8, 0.81], 10: [0.6, 0.61]}
    assert learning_curve(falling).words == (
        "From 10 to 20 labels per class: the data do not say; the measured points do not follow a power law."
    )


def test_three_sizes_are_enough() -> None:
    assert not math.isnan(learning_curve(measured(0.04, 0.5, 0.6, 0.0, sizes=(1, 5, 20))).gain)


@pytest.mark.parametrize(
    ("gain", "low", "high", "certain", "words"),
    [
        (0.1, 0.09, 0.11, True, "10.0 points more are expected (95 % interval +9.0 to +11.0)."),
        (0.03, 0.0, 0.0600, True, "3.0 points more are expected (95 % interval +0.0 to +6.0)."),
        (0.03, 0.0, 0.0601, False, "the data do not say; anything from +0.0 to +6.0 points fits them."),
        (0.001, 0.0, 0.02, True, "0.1 points more are expected (95 % interval +0.0 to +2.0)."),
        (0.001, 0.0, 0.0201, False, "the data do not say; anything from +0.0 to +2.0 points fits them."),
        (0.004, 0.003, 0.005, True, "0.4 points more are expected (95 % interval +0.3 to +0.5)."),
        (
            0.002,
            -0.001,
            0.00446,
            True,
            "0.4 points more are expected at most (95 % interval -0.1 to +0.4); labels are not the bottleneck.",
        ),
        (
            -0.004,
            -0.008,
            -0.001,
            True,
            "0.0 points more are expected at most (95 % interval -0.8 to -0.1); labels are not the bottleneck.",
        ),
    ],
)
def test_the_next_doubling_in_words(gain: float, low: float, high: float, certain: bool, words: str) -> None:
    points = [CurvePoint(2.0, 0.5, 0.4, 0.6, 3), CurvePoint(5.0, 0.5, 0.4, 0.6, 3)]
    found = _in_words(points, 10.0, "labels", [low, gain, high], scale_of("accuracy", [0.5]))
    assert found == (certain, f"From 5 to 10 labels: {words}")


def test_equal_runs_that_are_all_right_or_all_wrong_have_an_interval() -> None:
    point, none = learning_curve({1: [1.0, 1.0], 2: [0.0, 0.0]}).points
    half = float(stats.t.ppf(0.975, 1)) * 2e-3 / (0.998 * 0.002)
    assert (point.mean, point.high, point.seeds) == (1.0, 1.0, 2)
    assert point.low == pytest.approx(1 / (1 + math.exp(half - math.log(0.998 / 0.002))))
    assert (none.low, none.high) == (0.0, pytest.approx(1 - point.low))


Truth = Callable[[float], float]


def truths(generator: np.random.Generator) -> dict[str, Truth]:
    """Expected errors at 1, 2, … times the fewest labels: a power law, and three curves that are none."""
    floor, first, exponent = generator.uniform(0, 0.15), generator.uniform(0.3, 0.75), generator.uniform(0.2, 1.0)
    plateau, share = generator.uniform(0, 5), generator.uniform(0.2, 0.8)
    middle, width = generator.uniform(0, 3), generator.uniform(0.8, 2)

    def logistic(z: float) -> float:
        return 1 / (1 + math.exp(z))

    return {
        "power law": lambda n: floor + (first - floor) * n**-exponent,
        "plateau": lambda n: floor + (first - floor) * ((n + plateau) / (1 + plateau)) ** -exponent,
        "two rates": lambda n: floor + (first - floor) * (share * n**-0.25 + (1 - share) * n**-1.2),
        "logistic": lambda n: (
            floor + (first - floor) * logistic((math.log(n) - middle) / width) / logistic(-middle / width)
        ),
    }


GRIDS = ((1, 2, 5, 10), (1, 2, 5, 10, 20), (5, 10, 20, 50), (2, 4, 8, 16, 32, 64), (1, 5, 25))


def forecasts(rounds: int, seed: int) -> np.ndarray:
    """Simulate measurements of every kind of curve: rows of (true gain is in the interval, its width)."""
    generator = np.random.default_rng(seed)
    found = []
    for number in range(rounds):
        for truth in truths(generator).values():
            sizes = np.array(GRIDS[number % len(GRIDS)], dtype=float)
            seeds, shrinking = int(generator.choice([1, 2, 3, 5])), generator.choice([0.0, 0.3, 0.5])
            spread = generator.choice([0.005, 0.015, 0.03]) * (sizes / sizes[0]) ** -shrinking
            errors = np.array([truth(n) for n in sizes / sizes[0]])
            runs = np.clip(1 - errors[:, None] + spread[:, None] * generator.standard_normal((len(sizes), seeds)), 0, 1)
            curve = learning_curve({float(n): run.tolist() for n, run in zip(sizes, runs, strict=True)})
            last = sizes[-1] / sizes[0]
            gain = truth(last) - truth(2 * last)
            if not math.isnan(curve.gain):
                found.append((curve.gain_low <= gain <= curve.gain_high, curve.gain_high - curve.gain_low))
    return np.array(found)


@pytest.mark.long
def test_intervals_of_the_gain_cover_the_truth_of_curves_that_are_no_power_law() -> None:
    found = forecasts(20, seed=5)
    assert 0.90 <= found[:, 0].mean() < 1.0
    assert 0.022 <= found[:, 1].mean() <= 0.037
    assert len(found) >= 78


@pytest.mark.slow
def test_intervals_of_the_gain_cover_93_to_97_percent() -> None:
    found = forecasts(250, seed=11)
    assert 0.93 <= found[:, 0].mean() <= 0.97


def test_gains_of_a_loss_are_in_its_own_unit_and_named() -> None:
    points, scale = [CurvePoint(5.0, 0.5, 0.4, 0.6, 3)], scale_of("log_loss", [0.5, 2.0])
    unit = scale.gain(1.0)
    expected, unclear, flat = (
        _in_words(points, 10.0, "labels", gains, scale)[1]
        for gains in ([0.09, 0.1, 0.11], [0.0, 0.03, 0.07], [-0.008, -0.004, -0.001])
    )
    low, middle, high = (f"{share * unit:.3f}" for share in (0.09, 0.1, 0.11))
    assert expected == f"From 5 to 10 labels: {middle} better log loss is expected (95 % interval +{low} to +{high})."
    assert unclear.endswith(f"anything from +0.000 to +{0.07 * unit:.3f} in log loss fits them.")
    assert "0.000 better log loss is expected at most" in flat
