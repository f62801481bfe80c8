"""Linear-probe-then-fine-tune starts from the fitted probe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.storage.names import folder_name
from headstart.study.execution.tuning import lp_ft_head as starting
from headstart.study.run import run_study
from headstart.study.spec.load import load_study


def probabilities(root: Path, run: str) -> np.ndarray:
    with np.load(root / "runs" / run / "seed-0" / "predictions.npz") as kept:
        found: np.ndarray = kept["test_probabilities"]
    return found


@pytest.mark.parametrize("refit", ["none", "train+validation"])
def test_at_rate_zero_it_is_the_logistic_probe(pictures: Path, tmp_path: Path, refit: str) -> None:
    recipe = {"epochs": 1, "batch_size": 8, "lr": 0.0}
    spec = {
        "name": "start",
        "data": str(pictures),
        "seeds": 1,
        "audit": False,
        "defaults": {"backbone": "lenet5", "weights": "none", "refit": refit},
        "runs": {
            "probe": {"strategy": "logistic"},
            "tuned": {"strategy": "lp_ft", "freeze_until": "conv3", "recipe": recipe},
            "by epochs": {"strategy": "lp_ft", "freeze_until": "conv3", "probe_epochs": 1, "recipe": recipe},
        },
    }
    root = run_study(load_study(spec), tmp_path / "out", device="cpu").root
    folders = {path.name: path for path in (root / "runs").iterdir()}
    assert len(folders) == 3
    probe, tuned, epochs = (probabilities(root, folder_name(name)) for name in ("probe", "tuned", "by epochs"))
    np.testing.assert_allclose(tuned, probe, atol=1e-3)  # the penalties that chose were solved less exactly
    assert np.abs(epochs - probe).max() > 0.01


def test_the_head_is_fitted_once_and_kept_for_what_takes_the_training_up_again(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = []
    fit = starting.fit_heads

    def watched(*arguments: Any) -> Any:
        counted.append(1)
        return fit(*arguments)

    monkeypatch.setattr(starting, "fit_heads", watched)
    recipe = {"epochs": 1, "batch_size": 8, "lr": {"grid": [0.0, 0.001]}}
    spec = {
        "name": "start",
        "data": str(pictures),
        "seeds": 1,
        "audit": False,
        "defaults": {"backbone": "lenet5", "weights": "none", "refit": "none"},
        "runs": {"tuned": {"strategy": "lp_ft", "freeze_until": "conv3", "recipe": recipe}},
    }
    run_study(load_study(spec), tmp_path / "out", device="cpu")
    assert len(counted) == 1
