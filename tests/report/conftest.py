"""A small fake study, made once for all tests that only read it."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_study import CURVE, RUNS, add_audit, add_explanations, add_transferability, make_study


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight runs and a learning curve, two seeds, ten classes."""
    runs = (*RUNS, *CURVE[:6])
    return make_study(tmp_path_factory.mktemp("study"), runs, classes=10, per_class=20, seeds=2, draws=20)


@pytest.fixture(scope="session")
def large_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight runs, three seeds, 101 classes, with an audit, explanations and transferability."""
    place = make_study(tmp_path_factory.mktemp("large"), RUNS, classes=101, per_class=4, seeds=3, draws=20)
    add_audit(place)
    add_explanations(place, "fine-tuned tail")
    add_transferability(place)
    return place


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """Two runs, two seeds, three classes: one that a test may damage."""
    return make_study(tmp_path, RUNS[3:5], classes=3, per_class=10, seeds=2, draws=10, baseline=None)
