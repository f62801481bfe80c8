from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from headstart.errors import ModelError
from headstart.explain import explainers
from headstart.models.preprocessing import Preprocessing
from headstart.study.analysis import mistakes
from headstart.study.analysis.mistakes import explain_mistakes
from headstart.study.spec.schema import ExplainSpec

ROWS = np.array([10, 11, 12, 13, 14])
LABELS = np.array([0, 0, 1, 1, 0])
SCORES = np.array([[0.1, 0.9], [0.8, 0.2], [0.6, 0.4], [0.7, 0.3], [0.05, 0.95]], np.float32)  # wrong but for row 11


@pytest.fixture
def explained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Return zeros for every map, refuse one method, and keep which method explained which class."""
    found: list[tuple[str, int]] = []

    def explain(network: Any, batch: Any, targets: Any, method: str, *, seed: int) -> Any:
        if method == "attention_rollout":
            raise ModelError("has no attention")
        assert batch.shape == (1, 3, 16, 16)
        found.append((method, int(targets[0])))
        return np.zeros((1, 16, 16), np.float32)

    monkeypatch.setattr(explainers, "explain", explain)
    return found


def session_of(folder: Path, monkeypatch: pytest.MonkeyPatch, *, labels: np.ndarray = LABELS, name: str = "n") -> Any:
    place = folder / "runs" / "best" / "seed-0"
    place.mkdir(parents=True)
    np.savez(place / "predictions.npz", test_rows=ROWS, test_labels=labels, test_probabilities=SCORES)
    network = SimpleNamespace(backbone=SimpleNamespace(name=name))
    bundle = SimpleNamespace(network=network, preprocessing=Preprocessing(16, 16))
    classifier = SimpleNamespace(bundle=bundle, classes=("no", "yes"))
    monkeypatch.setattr(mistakes, "read_ensemble", lambda place, agreed: place)
    monkeypatch.setattr("headstart.deploy.classifier.Classifier", lambda model: classifier)
    images = np.random.default_rng(0).integers(0, 256, (15, 16, 16, 3), np.uint8)
    state = SimpleNamespace(best={"run": "mean", "folder": "none"}, best_network=None)
    state.best_network = {"run": "best", "folder": "runs/best/seed-0"}
    tasks = [SimpleNamespace(run=SimpleNamespace(name="best", data="data"))]
    return SimpleNamespace(
        state=state,
        folder=SimpleNamespace(root=folder),
        plan=SimpleNamespace(tasks=tasks),
        resources=SimpleNamespace(images=lambda data, needs: images),
    )


def items(folder: Path) -> list[dict[str, Any]]:
    file = folder / "runs" / "best" / "seed-0" / "explanations.json"
    found: list[dict[str, Any]] = json.loads(file.read_text())["items"]
    return found


def test_the_most_confident_mistakes_are_explained_for_the_predicted_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, explained: list[tuple[str, int]]
) -> None:
    asked = ExplainSpec(mistakes=3, methods=["lime", "attention_rollout", "occlusion"])
    explain_mistakes(session_of(tmp_path, monkeypatch), asked)
    assert [(item["row"], item["class"], item["method"]) for item in items(tmp_path)] == [
        (row, name, method) for row, name in ((14, "yes"), (10, "yes"), (13, "no")) for method in ("lime", "occlusion")
    ]
    assert explained == [(m, aim) for aim in (1, 1, 0) for m in ("lime", "occlusion")]
    for item in items(tmp_path):
        with Image.open(tmp_path / "runs" / "best" / "seed-0" / item["file"]) as picture:
            assert (picture.format, picture.size) == ("JPEG", (16, 16))


def test_they_are_explained_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, explained: list[tuple[str, int]]
) -> None:
    session, asked = session_of(tmp_path, monkeypatch), ExplainSpec(mistakes=1, methods=["lime"])
    explain_mistakes(session, asked)
    explain_mistakes(session, asked)
    assert len(explained) == 1


@pytest.mark.parametrize("case", ["none asked for", "several labels", "pixels", "no model"])
def test_what_cannot_be_explained_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, explained: list[tuple[str, int]], case: str
) -> None:
    labels = np.eye(2, dtype=bool)[LABELS] if case == "several labels" else LABELS
    session = session_of(tmp_path, monkeypatch, labels=labels, name="pixels" if case == "pixels" else "n")
    if case == "no model":
        session.state.best = session.state.best_network = None
    explain_mistakes(session, ExplainSpec(mistakes=0 if case == "none asked for" else 2, methods=["lime"]))
    assert explained == [] and not list(tmp_path.rglob("explanations.json"))
