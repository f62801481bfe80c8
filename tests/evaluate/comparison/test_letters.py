from __future__ import annotations

import itertools

import numpy as np
import pytest

from headstart.evaluate.comparison.letters import compact_letters


@pytest.mark.parametrize("seed", range(8))
def test_runs_share_a_letter_exactly_where_they_do_not_differ(seed: int) -> None:
    runs = 7
    upper = np.triu(np.random.default_rng(seed).random((runs, runs)) < 0.4, 1)
    differs = upper | upper.T
    letters = compact_letters(differs)
    for a, b in itertools.combinations(range(runs), 2):
        assert bool(set(letters[a]) & set(letters[b])) == (not differs[a, b])
    assert all(letters)


def test_letters_start_with_the_best() -> None:
    differs = np.array([[0, 0, 1], [0, 0, 0], [1, 0, 0]], dtype=bool)
    assert compact_letters(differs) == ["a", "ab", "b"]
