from __future__ import annotations

import numpy as np
import pytest
from known_studies import study

from headstart.errors import DataError
from headstart.evaluate.comparison.compare import compare_runs
from headstart.evaluate.comparison.leader import _optimism, chosen_on_validation, means_of
from headstart.evaluate.comparison.sources import Bounds, runs_of
from headstart.evaluate.metrics.intervals import wilson


def alone(scores: np.ndarray, bounds: Bounds | None = None) -> tuple[float, float, float]:
    """Return the mean of a run that is compared with none, and its interval."""
    row = compare_runs({"": scores}, bounds=bounds)["ranking"][0]
    return row["mean"], row["low"], row["high"]


def test_every_answer_right_still_leaves_an_interval() -> None:
    mean, low, high = alone(np.ones((3, 50), dtype=bool))
    assert (mean, high) == (1.0, 1.0)
    assert 0.9 < low <= wilson(50, 50)[0]


def test_one_deterministic_run_has_wilsons_interval() -> None:
    scores = np.arange(200)[None] < 150
    row = compare_runs({"a": scores}, deterministic=["a"])["ranking"][0]
    assert (row["low"], row["high"]) == pytest.approx(wilson(150, 200), abs=0.002)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.98, 1.0])
def test_intervals_of_means_stay_within_bounds_and_hold_the_mean(share: float) -> None:
    for seeds in (1, 2, 5):
        for n in (3, 20, 200):
            scores = np.random.default_rng(seeds * n).random((seeds, n)) < share
            mean, low, high = alone(scores)
            assert 0 <= low <= mean <= high <= 1
            assert high > low


def test_losses_have_no_bounds_and_shares_that_are_no_counts_take_theirs() -> None:
    scores = np.array([[1.0, 1.0, 1.0, 0.2], [1.0, 1.0, 0.9, 1.0]])
    assert alone(scores)[2] > 1
    assert alone(scores, bounds=(0.0, 1.0))[1] > 0
    assert alone(scores, bounds=(0.0, 1.0))[2] <= 1
    below = alone(scores - 1, bounds=(-1.0, 0.0))
    assert below == pytest.approx([end - 1 for end in alone(scores, bounds=(0.0, 1.0))])


def test_the_interval_of_the_best_of_eight_equal_runs_holds_and_the_plain_one_does_not() -> None:
    held, plain, optimism, excess = 0, 0, 0.0, 0.0
    for each in range(50):
        drawn = study(np.random.default_rng([1, each]), [0.8] * 8, 3, 150, 0.1)
        found = compare_runs(drawn, draws=300)
        leader, row = found["leader"], found["ranking"][0]
        held += leader["low"] <= 0.8 <= leader["high"]
        plain += row["low"] <= 0.8 <= row["high"]
        optimism += leader["optimism"] / 50
        excess += (leader["mean"] - 0.8) / 50
    assert held >= 0.93 * 50
    assert held >= plain
    assert optimism == pytest.approx(excess, abs=0.012)


def test_a_leader_far_ahead_keeps_its_own_interval() -> None:
    drawn = study(np.random.default_rng(2), [0.9, 0.5, 0.5], 3, 500, 0.05)
    found = compare_runs(drawn)
    assert found["leader"]["of"] == 1
    assert found["leader"]["low"] == found["ranking"][0]["low"]
    assert found["leader"]["optimism"] == 0


def test_the_headline_is_the_run_chosen_on_validation_with_its_own_test_score() -> None:
    drawn = study(np.random.default_rng(3), [0.9, 0.8, 0.7], 2, 300, 0.05)
    ranking = compare_runs(drawn)["ranking"]
    found = chosen_on_validation(ranking, {"run 2": 0.7, "run 1": 0.9, "run 0": 0.9})
    assert (found["run"], found["place"], found["validation"]) == ("run 1", 2, 0.9)
    assert found["mean"] == pytest.approx(drawn["run 1"].mean())
    assert chosen_on_validation(ranking, {"run 0": 2.0, "run 1": 1.0, "run 2": 3.0}, False)["run"] == "run 1"
    with pytest.raises(DataError, match="no validation figure for run 2"):
        chosen_on_validation(ranking, {"run 0": 1.0, "run 1": 1.0})


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_optimism_is_the_mean_error_of_the_run_that_is_picked(sign: float) -> None:
    def optimism(gap: float, size: float) -> float:
        means, errors = np.array([5 + gap / 2, 5 - gap / 2]), size * np.array([[1.0, -1.0], [-1.0, 1.0]])
        return _optimism(means, errors, sign)

    assert optimism(2.0, 2.0) == pytest.approx(2.0)  # chance explains the whole gap: the luckier is picked in each draw
    # the variance of the means is 0.02, of which chance explains 0.0025: the true gap is 0.2 √(7 / 8)
    assert optimism(0.2, 0.05) == pytest.approx(0.0)  # and 0.1 of luck does not turn it round
    assert optimism(0.2, 0.1) == pytest.approx(0.1)  # but 0.2 does: half of it is left, 0.14
    assert _optimism(np.array([1.0]), np.ones((3, 1)), sign) == 0.0
    assert _optimism(np.zeros(2), np.array([[1.0, -1.0]]), sign) == pytest.approx(1.0)


def test_a_run_that_cannot_vary_has_an_interval_of_no_width() -> None:
    runs = runs_of({"a": np.full((1, 3), 1.5)}, ["a"], None, ("a",), None)
    assert means_of(runs).interval(0) == (1.5, 1.5)
