from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from headstart.fewshot.learning_curve import learning_curve
from headstart.study.analysis.learning_curves import learning_curves
from headstart.study.execution.session import Session
from headstart.study.results.folder import StudyFolder
from tests.study.conftest import OpenStudy

SHOTS = {1: 0.4, 2: 0.6, 4: 0.75}


def scored(session: Session, monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, int], float]:
    """Give each run a test score by its axis and seed; the run that has no axis, too."""
    scores = {}
    for task in session.plan.tasks:
        shots, fraction = task.run.spec.shots, task.run.spec.fraction
        base = SHOTS[shots] if isinstance(shots, int) else 0.5 + 0.3 * (fraction or 1)
        scores[task.run.name, task.seed] = base + 0.01 * task.seed
    monkeypatch.setattr(StudyFolder, "score", lambda self, run, seed, part, metric: scores.get((run, seed)))
    return scores


def written(session: Session) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((session.folder.root / "learning.json").read_text())["curves"]
    return found


def test_a_curve_is_fitted_to_the_scores_of_all_shots_and_seeds(
    open_study: OpenStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = {"few": {"strategy": "ridge", "shots": {"each": list(SHOTS)}}, "whole": {"strategy": "ridge"}}
    session = open_study(runs, seeds=2)
    scored(session, monkeypatch)
    learning_curves(session)
    (curve,) = written(session)
    expected = learning_curve({k: [v, v + 0.01] for k, v in SHOTS.items()}, unit="labels per class")
    assert (curve["run"], curve["axis"], curve["metric"]) == ("few", "shots", "accuracy")
    assert [point["labels"] for point in curve["points"]] == [1, 2, 4]
    assert curve["expected"] == pytest.approx(expected.expected) and curve["words"] == expected.words
    assert session.listener.notes == [f"few: {expected.words}"]  # type: ignore[attr-defined]


def test_a_single_size_is_no_curve(open_study: OpenStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    session = open_study({"few": {"strategy": "ridge", "shots": 2}})
    scored(session, monkeypatch)
    learning_curves(session)
    assert not (session.folder.root / "learning.json").exists()
    assert session.listener.notes == []  # type: ignore[attr-defined]


def test_folds_of_other_sizes_are_one_size(
    open_study: OpenStudy, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folded = {"data": {"source": str(pictures), "split": {"folds": 4, "fold": "seed"}}, "seeds": 4}
    session = open_study({"few": {"strategy": "ridge", "shots": "all"}}, **folded)
    sizes = {len(session.resources.split(t.run.data, t.seed, t.run.subset).train) for t in session.plan.tasks}
    assert sizes == {25, 26}  # 8.3 and 8.7 of each of the three classes
    scored(session, monkeypatch)
    learning_curves(session)
    assert not (session.folder.root / "learning.json").exists()
    session = open_study({"few": {"strategy": "ridge", "shots": {"each": [1, 2, 4, "all"]}}}, **folded)
    scored(session, monkeypatch)
    learning_curves(session)
    (curve,) = written(session)
    assert [(point["labels"], point["seeds"]) for point in curve["points"]] == [(1, 4), (2, 4), (4, 4), (8, 4)]


def test_fractions_are_counted_in_labels(open_study: OpenStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    session = open_study({"part": {"strategy": "ridge", "fraction": {"each": [0.4, 0.7, 1.0]}}})
    scored(session, monkeypatch)
    learning_curves(session)
    counts = [len(session.resources.split(t.run.data, 0, t.run.subset).train) for t in session.plan.tasks]
    (curve,) = written(session)
    assert curve["axis"] == "fraction"
    assert sorted(point["labels"] for point in curve["points"]) == sorted({float(round(c, -1) or c) for c in counts})


def test_runs_without_an_axis_or_a_score_have_no_curve(open_study: OpenStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    session = open_study({"whole": {"strategy": "ridge"}, "few": {"strategy": "knn", "shots": 2}})
    scores = scored(session, monkeypatch)
    scores.pop(("few", 0))
    learning_curves(session)
    assert not (session.folder.root / "learning.json").exists()


def test_the_curve_is_of_the_metric_of_the_study(open_study: OpenStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = {"few": {"strategy": "ridge", "shots": {"each": list(SHOTS)}}}
    session = open_study(runs, compare={"metric": "f1_macro"})
    scored(session, monkeypatch)
    learning_curves(session)
    assert {curve["run"]: curve["metric"] for curve in written(session)} == {"few": "f1_macro"}
