from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from headstart.evaluate.transferability import logme, rank_agreement
from headstart.study.analysis import transferability

LABELS = np.arange(60) % 3


def features(dimensions: int, signal: float) -> np.ndarray:
    generator = np.random.default_rng(dimensions)
    return (signal * np.eye(dimensions)[LABELS] + generator.normal(size=(60, dimensions))).astype(np.float32)


def result(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    networks: dict[str, tuple[np.ndarray, float]],
    metric: str = "accuracy",
) -> dict[str, Any]:
    """Score networks, each given as features and measured accuracy, in a session that has nothing else."""

    def member(label: str) -> SimpleNamespace:
        return SimpleNamespace(run=SimpleNamespace(name=label, data=None, network=label), seed=0)

    session: Any = SimpleNamespace(
        folder=SimpleNamespace(
            root=folder, score=lambda name, seed, part, by: networks[name][1] if by == metric else None
        ),
        plan=SimpleNamespace(
            own_tasks=[SimpleNamespace(run=SimpleNamespace(data=None))],
            study=SimpleNamespace(spec=SimpleNamespace(compare=SimpleNamespace(metric=metric))),
        ),
        resources=SimpleNamespace(
            dataset=lambda data: SimpleNamespace(labels=LABELS, multi_label=False),
            features=lambda data, network, seed: networks[network][0],
        ),
    )
    found = [(label, member(label), [member(label)]) for label in networks]
    monkeypatch.setattr(transferability, "networks", lambda session, data: found)
    monkeypatch.setattr(transferability, "finished_key", lambda session, *more: f"key of {more}")
    monkeypatch.setattr(transferability, "learning_rows", lambda session, task: np.arange(48))
    transferability.score_transferability(session)
    written: dict[str, Any] = json.loads((folder / "transferability.json").read_text())
    return written


def test_scores_are_compared_with_what_was_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given = {"far": (features(8, 0.2), 0.5), "near": (features(9, 2.0), 0.8), "nearer": (features(10, 4.0), 0.9)}
    found = result(monkeypatch, tmp_path, given)
    scores = {row["network"]: row["logme"] for row in found["rows"]}
    assert scores == pytest.approx({name: logme(each[:48], LABELS[:48]) for name, (each, _) in given.items()})
    assert {row["network"]: row["measured"] for row in found["rows"]} == {"far": 0.5, "near": 0.8, "nearer": 0.9}
    expected = rank_agreement(scores, {"far": 0.5, "near": 0.8, "nearer": 0.9}).weighted_tau
    assert found["weighted_tau"]["logme"] == pytest.approx(expected) == pytest.approx(1.0)
    assert (found["key"], found["metric"], found["left_out"]) == ("key of ('accuracy',)", "accuracy", {})


def test_the_order_that_was_measured_is_that_of_the_studys_metric(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    losses = {"far": (features(8, 0.2), 2.0), "near": (features(9, 2.0), 0.7), "nearer": (features(10, 4.0), 0.2)}
    found = result(monkeypatch, tmp_path, losses, "log_loss")
    assert found["metric"] == "log_loss"
    assert [row["measured"] for row in found["rows"]] == [2.0, 0.7, 0.2]
    assert found["weighted_tau"]["logme"] == pytest.approx(1.0)  # a lower loss is better


def test_a_score_that_one_network_lacks_has_no_agreement_and_a_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given = {"wide": (features(100, 1.0), 0.5), "slim": (features(8, 2.0), 0.8), "other": (features(9, 3.0), 0.9)}
    found = result(monkeypatch, tmp_path, given)
    assert [("h_score" in row) for row in found["rows"]] == [False, True, True]
    assert found["weighted_tau"]["h_score"] is None
    assert found["weighted_tau"]["knn"] is not None
    assert "48 images with 47 independent features" in found["left_out"]["h_score"]
    assert all("left_out" not in row for row in found["rows"])
