from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from headstart.study.analysis import finalize
from headstart.study.analysis.finalize import close_study

STEPS = (
    "score_transferability",
    "learning_curves",
    "save_best",
    "calibrate_best",
    "resample_training_images",
    "explain_mistakes",
    "explain_pairs",
    "measure_similarity",
    "place_test_images",
)


def test_each_dataset_is_written_and_audited_once_and_mistakes_are_explained_after_the_model_is_chosen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    called: list[Any] = []
    for name in STEPS:
        monkeypatch.setattr(finalize, name, lambda *given, name=name: called.append((name, *given[1:])))
    monkeypatch.setattr(finalize, "write_data", lambda *given: called.append(("write_data", *given[1:])))
    monkeypatch.setattr(finalize, "audit_data", lambda *given: called.append(("audit_data", *given[1:])))
    far, near = (SimpleNamespace(fingerprint=name) for name in ("far", "near"))
    runs = [SimpleNamespace(data=data, subset="all") for data in (far, near, near)]
    session: Any = SimpleNamespace(
        plan=SimpleNamespace(
            tasks=[SimpleNamespace(run=run, seed=seed) for run in runs for seed in (4, 5)],
            study=SimpleNamespace(spec=SimpleNamespace(explain="explain")),
        ),
        resources=SimpleNamespace(
            dataset=lambda data: data, split=lambda data, seed, subset: f"split {seed} of {data.fingerprint}"
        ),
    )
    close_study(session)
    assert called == [
        ("write_data", far, far, "split 4 of far"),
        ("audit_data", far, "split 4 of far"),
        ("write_data", near, near, "split 4 of near"),
        ("audit_data", near, "split 4 of near"),
        ("score_transferability",),
        ("learning_curves",),
        ("save_best",),
        ("calibrate_best",),
        ("resample_training_images",),
        ("explain_mistakes", "explain"),
        ("explain_pairs",),
        ("measure_similarity",),
        ("place_test_images",),
    ]
