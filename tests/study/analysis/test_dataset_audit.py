from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from headstart.audit import audit as auditing
from headstart.study.analysis.dataset_audit import audit_data, with_trained_features
from tests.study.conftest import OpenStudy


def task(name: str, weights: str, *, probe: bool = True, backbone: str = "lenet5", needs: str | None = None) -> Any:
    spec = SimpleNamespace(backbone=backbone, weights=SimpleNamespace(name=weights))
    run = SimpleNamespace(name=name, spec=spec, needs=needs, data="data", network=f"network of {name}")
    return SimpleNamespace(run=run, probe=probe, seed=0)


TASKS = [
    task("random", "none"),
    task("chained", "imagenet", needs="first"),
    task("tuned", "imagenet", probe=False),
    task("pixels", "imagenet", backbone="pixels"),
    task("unfinished", "imagenet"),
    task("published", "imagenet"),
]


def test_finished_heads_on_trained_weights_qualify_and_published_ones_come_first() -> None:
    session: Any = SimpleNamespace(
        plan=SimpleNamespace(tasks=TASKS), finished=lambda task: task.run.name != "unfinished"
    )
    assert [task.run.name for task in with_trained_features(session)] == ["published", "chained"]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    found: list[Any] = []

    def audit(dataset: Any, **options: Any) -> dict[str, Any]:
        found.append((dataset, options))
        return {"findings": len(found)}

    monkeypatch.setattr(auditing, "audit_dataset", audit)
    return found


def session_of(tmp_path: Path, tasks: list[Any], *, audit: bool = True) -> Any:
    dataset = SimpleNamespace(fingerprint="f")
    resources = SimpleNamespace(
        dataset=lambda data: dataset,
        features=lambda data, network, seed: f"features of {network}",
        bad_rows=lambda dataset: {3: "broken"},
        store="store",
    )
    return SimpleNamespace(
        plan=SimpleNamespace(tasks=tasks, study=SimpleNamespace(spec=SimpleNamespace(audit=audit))),
        finished=lambda task: True,
        folder=SimpleNamespace(data_folder=lambda fingerprint: tmp_path / fingerprint),
        resources=resources,
    )


def test_a_dataset_is_audited_once_with_the_features_of_a_trained_network(tmp_path: Path, asked: list[Any]) -> None:
    session = session_of(tmp_path, TASKS[-1:])
    for _ in range(2):
        audit_data(session, session.resources.dataset(None), "split")  # type: ignore[arg-type]
    ((_, options),) = asked
    assert options == {"bad": {3: "broken"}, "features": "features of network of published", "split": "split"} | {
        "store": "store"
    }
    assert json.loads((tmp_path / "f" / "audit.json").read_text())["findings"] == 1


def test_without_trained_features_it_is_audited_without_features(tmp_path: Path, asked: list[Any]) -> None:
    session = session_of(tmp_path, TASKS[:1])
    audit_data(session, session.resources.dataset(None), "split")  # type: ignore[arg-type]
    assert asked[0][1]["features"] is None


def test_a_study_that_wants_no_audit_has_none(tmp_path: Path, asked: list[Any]) -> None:
    session = session_of(tmp_path, TASKS, audit=False)
    audit_data(session, session.resources.dataset(None), "split")  # type: ignore[arg-type]
    assert asked == [] and not (tmp_path / "f").exists()


def test_features_of_other_images_are_not_used(open_study: OpenStudy, asked: list[Any]) -> None:
    session = open_study({"net": {"strategy": "ridge"}}, audit=True)
    run = session.plan.tasks[0].run
    split = session.resources.split(run.data, 0)
    audit_data(session, session.resources.dataset(run.data), split)
    (dataset, options), = asked  # the only network has random weights  # fmt: skip
    assert len(dataset) == 42 and options["features"] is None and options["split"] is split
