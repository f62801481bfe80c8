from __future__ import annotations

import numpy as np
import pytest
from known_studies import study

from headstart.evaluate.comparison.compare import compare_runs
from headstart.evaluate.comparison.sources import pairs_of, runs_of
from headstart.evaluate.comparison.verdict import beliefs_of, matters_of


def test_what_matters_goes_by_the_whole_interval() -> None:
    assert matters_of(0.02, 0.06, 0.01) == "yes"
    assert matters_of(-0.06, -0.02, 0.01) == "yes"
    assert matters_of(0.001, 0.008, 0.01) == "no"
    assert matters_of(0.001, 0.03, 0.01) == "unclear"
    assert matters_of(0.01, 0.06, 0.01) == matters_of(-0.06, -0.01, 0.01) == "unclear"  # the margin itself is no more
    assert matters_of(-0.01, 0.01, 0.01) == "no"


def test_what_is_said_to_settle_a_question_settles_it_in_most_studies() -> None:
    for start in range(80):  # a study of which it cannot be told and which names a number of images
        drawn = study(np.random.default_rng([2, start]), [0.9, 0.84], 5, 100, 0.02)
        row = compare_runs(drawn, draws=300)["against_best"][0]
        needed = row["needed"]
        if needed and needed["images"] and abs(row["difference"] - 0.06) < 0.006:
            break
    else:
        pytest.fail("no study asks for more images")
    told = 0
    for each in range(40):
        drawn = study(np.random.default_rng([3, each]), [0.9, 0.84], 5, needed["images"], 0.02)
        told += compare_runs(drawn, draws=300)["against_best"][0]["significant"]
    assert told / 40 >= 0.6


def test_no_number_of_seeds_is_named_where_nothing_is_random() -> None:
    drawn = study(np.random.default_rng(4), [0.9, 0.89], 1, 100, 0.0)
    needed = compare_runs(drawn, deterministic=["run 0", "run 1"])["against_best"][0]["needed"]
    assert needed is not None
    assert needed["seeds"] is None
    assert needed["images"] is not None
    assert needed["both"] == (1, needed["images"])


def test_a_difference_is_at_most_the_distance_between_the_bounds() -> None:
    scores = {"a": np.array([[0.9, 1.0, 0.8]]), "b": np.array([[-0.9, -0.6, -1.0]])}  # correlations
    runs = runs_of(scores, list(scores), None, (), (-1.0, 1.0))
    beliefs = beliefs_of(runs, pairs_of(runs), 0.01, 1.0)
    low, high = beliefs.interval(0, reach=100.0)
    assert (low, high) == (-2.0, 2.0) and beliefs.difference[0] == pytest.approx(2.6 / 1.5)


def test_the_probability_counts_a_new_seed_and_is_more_modest_than_the_test() -> None:
    drawn = study(np.random.default_rng(5), [0.9, 0.87], 10, 2000, 0.3)
    row = compare_runs(drawn)["pairwise"][0]
    assert 0.5 < row["probability"] < 1 - row["p"] / 2
