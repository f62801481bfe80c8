from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from headstart.maps import neighbour_map as module
from headstart.maps.neighbour_map import is_installed, neighbour_map


def test_another_seed_is_as_good_and_steps_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openTSNE")
    monkeypatch.setattr(module, "_STEPS", (50, 50))
    vectors = np.random.default_rng(0).standard_normal((60, 8)).astype(np.float32)
    seen: list[tuple[int, int]] = []
    placed = neighbour_map(vectors, seed=1, watch=lambda done, total: seen.append((done, total)))
    assert is_installed() and placed.shape == (60, 2) and placed.dtype == np.float32 and np.isfinite(placed).all()
    assert seen == [(done, 100) for done in range(10, 101, 10)]


def test_the_time_that_is_left_does_not_count_the_search_before_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openTSNE")
    said: list[str] = []
    monkeypatch.setattr(module, "_STEPS", (10, 10))
    monkeypatch.setattr(module, "_LONG", 60)
    monkeypatch.setattr(module, "say", said.append)
    real = module.progress

    def begun(title: str, total: int, unit: str) -> Any:
        said.append(f"{title}: {total} {unit}")
        return real(title, total, unit)

    monkeypatch.setattr(module, "progress", begun)
    affinity = pytest.importorskip("openTSNE.affinity")
    search = affinity.PerplexityBasedNN
    monkeypatch.setattr(affinity, "PerplexityBasedNN", lambda *a, **b: (said.append("search"), search(*a, **b))[1])
    neighbour_map(np.random.default_rng(0).standard_normal((60, 8)).astype(np.float32))
    assert said == ["map: searching for the neighbours of 60 images; then 20 steps", "search", "map: 20 steps"]
