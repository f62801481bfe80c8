from __future__ import annotations

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
