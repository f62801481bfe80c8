"""Episodes inside a study: on stored features, or with the network tuned in each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.errors import ModelError, SpecError
from headstart.fewshot.episodes import sample_episodes
from headstart.fewshot.finetune_episode import FinetuneOptions, finetune_episodes
from headstart.storage.opening import default_store
from headstart.study.resources import Resources
from headstart.study.run import run_study
from headstart.study.spec.load import load_study

TASK = {"ways": 3, "shots": 2, "queries": 4, "episodes": 3}


@pytest.fixture
def study(pictures: Path) -> dict[str, Any]:
    return {
        "name": "few",
        "data": str(pictures),
        "seeds": 1,
        "audit": False,
        "defaults": {"backbone": "lenet5", "weights": "none"},
        "runs": {
            "quick": {"episodes": {**TASK, "method": "prototypes"}},
            "tuned": {"episodes": {**TASK, "method": "finetune", "options": {"epochs": 2, "lr": 0.01}}},
        },
    }


def test_a_network_tuned_in_each_episode_scores_as_from_python(study: dict[str, Any], tmp_path: Path) -> None:
    loaded = load_study(study)
    root = run_study(loaded, tmp_path / "out", device="cpu").root
    found = np.load(root / "runs" / "tuned" / "seed-0" / "episodes.npz")
    resources, run = Resources(default_store(), "cpu"), loaded.run("tuned")
    dataset, backbone = resources.dataset(run.data), resources.loaded(run.network, 0).backbone
    images = resources.images(run.data, backbone.preprocessing)
    episodes = sample_episodes(dataset.labels, 3, 2, 4, 3, 0)
    by_hand = finetune_episodes(backbone, images, episodes, FinetuneOptions(epochs=2, lr=0.01), seed=0)
    assert np.array_equal(found["accuracy"], by_hand.accuracy) and np.array_equal(found["classes"], by_hand.classes)
    result = json.loads((root / "runs" / "tuned" / "seed-0" / "result.json").read_text())
    assert result["parameters"]["learned"] == result["parameters"]["total"]
    assert "tuned again in each" in result["notes"][0]


def test_both_methods_are_judged_on_the_same_episodes(study: dict[str, Any], tmp_path: Path) -> None:
    root = run_study(load_study(study), tmp_path / "out", device="cpu").root
    one, two = (np.load(root / "runs" / run / "seed-0" / "episodes.npz")["classes"] for run in ("quick", "tuned"))
    assert np.array_equal(one, two)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"method": "finetun"}, SpecError, "run 'tuned': unknown few-shot method 'finetun'; did you mean 'finetune'"),
        ({"options": {"epoch": 2}}, SpecError, "run 'tuned': episodes.options: unknown key 'epoch'.*'epochs'"),
        ({"options": {"freeze_until": "stage9"}}, ModelError, "run 'tuned': .*no stage 'stage9'"),
        ({"method": "ridge"}, SpecError, "run 'tuned': episodes.options are for method finetune"),
    ],
)
def test_a_task_that_cannot_be_is_refused_at_once(
    study: dict[str, Any], tmp_path: Path, change: dict[str, Any], error: type[Exception], says: str
) -> None:
    study["runs"]["tuned"]["episodes"].update(change)
    with pytest.raises(error, match=says):
        run_study(load_study(study), tmp_path / "out", device="cpu")
