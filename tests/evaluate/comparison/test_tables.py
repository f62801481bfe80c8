from __future__ import annotations

import numpy as np
import pytest

from headstart.evaluate.comparison.families import Family
from headstart.evaluate.comparison.leader import means_of
from headstart.evaluate.comparison.sources import Pairs, Runs, pairs_of, runs_of
from headstart.evaluate.comparison.tables import PairRows, ranked

MARGIN = 0.01


def right(share: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((3, 200)) < share


SCORES = {"good": right(0.9, 0), "fair": right(0.7, 1)}
NAMES = ("good", "fair")


def compared() -> tuple[Runs, Pairs]:
    runs = runs_of(SCORES, NAMES, None, (), (0.0, 1.0))
    return runs, pairs_of(runs)


def family(p: float, reach: float = 1.5) -> Family:
    return Family(np.array([0]), np.array([p]), reach)


def test_a_row_holds_the_difference_and_both_intervals() -> None:
    runs, pairs = compared()
    row = PairRows(runs, pairs, 1.0, MARGIN, share=True).row(family(0.001), 0)
    assert (row["a"], row["b"], row["category"], row["matters"]) == ("good", "fair", "better", "yes")
    assert row["difference"] == pytest.approx(SCORES["good"].mean() - SCORES["fair"].mean())
    assert row["wide_low"] < row["low"] < row["difference"] < row["high"] < row["wide_high"]
    assert row["wide_high"] - row["wide_low"] == pytest.approx(1.5 * (row["high"] - row["low"]))
    assert row["p"] == pytest.approx(pairs.p_value()[0]) and row["p_adjusted"] == 0.001
    assert row["significant"] and row["needed"] is None and row["verdict"].startswith("good is better than fair: +")


def test_the_corrected_p_decides_what_is_significant() -> None:
    rows = PairRows(*compared(), 1.0, MARGIN, share=True)
    assert rows.row(family(0.05), 0)["significant"]
    row = rows.row(family(0.0501), 0)
    assert not row["significant"] and row["category"] == "cannot tell" and row["needed"] is not None


def test_where_lower_is_better_the_lower_run_is_better_and_its_difference_negative() -> None:
    losses = {name: 1.0 - scores for name, scores in SCORES.items()}
    runs = runs_of(losses, NAMES, None, (), None)
    row = PairRows(runs, pairs_of(runs), -1.0, MARGIN, share=False).row(family(0.001), 0)
    assert (row["a"], row["category"]) == ("good", "better")
    assert row["low"] < row["difference"] < row["high"] < 0 and "points" not in row["verdict"]


def test_a_ranked_row_has_the_mean_its_interval_and_the_spread_over_seeds() -> None:
    runs, _ = compared()
    means = means_of(runs)
    row = ranked(SCORES["fair"], runs, means, 1, "tied", 0.2, "ab")
    assert row["mean"] == pytest.approx(SCORES["fair"].mean())
    assert row["sd"] == pytest.approx(np.std(SCORES["fair"].mean(axis=1), ddof=1))
    assert (row["low"], row["high"]) == means.interval(1)
    assert (row["run"], row["n"], row["seeds"], row["letters"]) == ("fair", 200, 3, "ab")


@pytest.mark.parametrize(
    ("state", "behind", "tied", "within"),
    [
        ("best", 0.0, True, True),
        ("tied", 0.02, True, True),
        ("cannot tell", 0.05, False, True),
        ("cannot tell", 0.06, False, False),
        ("behind", 1.0, False, False),
    ],
)
def test_a_run_unlikely_to_be_behind_is_within_the_margin(state: str, behind: float, tied: bool, within: bool) -> None:
    runs, _ = compared()
    row = ranked(SCORES["good"][:1], runs, means_of(runs), 0, state, behind, "a")  # type: ignore[arg-type]
    assert (row["tied_with_best"], row["within_margin"], row["sd"]) == (tied, within, None)
