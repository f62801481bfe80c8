"""The oracle of benchmarks/verdict_simulation.py: what it takes for the truth is what its studies have."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def simulation(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3] / "benchmarks"))
    import verdict_simulation

    monkeypatch.delitem(sys.modules, "verdict_simulation")
    return verdict_simulation


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_true_error_of_a_difference_is_that_of_many_studies(simulation: Any, seeds: int) -> None:
    cell = simulation.Cell(seeds=seeds, images=40, runs=3, points=10, spread=0.3, noisy=0.8)
    generator = np.random.default_rng(0)
    means = np.array(
        [[rows.mean() for _, rows in sorted(simulation.study(cell, generator).items())] for _ in range(5000)]
    )
    drawn = (means[:, :1] - means[:, 1:]).std(axis=0)
    np.testing.assert_allclose(simulation.true_errors(cell), drawn, rtol=0.03)  # a standard error of 1 %


def test_the_oracle_tells_what_is_far_and_not_what_is_near(simulation: Any) -> None:
    cell = simulation.Cell(seeds=3, images=200, runs=3, points=10, spread=0.1)
    error = simulation.true_errors(cell)[0]
    far, near = 3 * error, 2.2 * error  # the range of three normals needs 2.34; of the two that are left 1.96
    assert simulation.oracle(cell, np.array([[far, far], [far, near], [near, near], [-error, far]])) == 0.5
