from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from headstart.models.bundle import HEAD, read_bundle
from headstart.models.heads import LinearHead, NearestNeighbourHead
from headstart.study.execution import head_runs
from headstart.study.execution.head_runs import fit_head_runs, head_probabilities
from headstart.study.execution.session import Session
from headstart.study.results.run_record import KIND, Fit
from headstart.study.task import Task
from headstart.transfer.heads.fit import HeadJob, fit_heads
from tests.study.conftest import OpenStudy

RUNS: dict[str, Any] = {
    "ridge": {"strategy": "ridge", "head": {"penalty": 0.1}},
    "unrefitted": {"strategy": "ridge", "refit": "none"},
    "knn": {"strategy": "knn", "head": {"k": 3}},
}


def fitted(session: Session) -> dict[str, tuple[Fit, np.ndarray]]:
    found = {}
    tasks = session.plan.tasks
    splits = [session.resources.split(task.run.data, task.seed) for task in tasks]
    facts = {"study": "small"}

    def done(task: Task, fit: Fit, test: np.ndarray) -> None:
        found[task.run.name] = (fit, test)

    def failed(task: Task, error: Exception) -> None:
        raise error

    fit_head_runs(tasks, splits, session.resources, facts, done, failed)
    return found


@pytest.fixture
def session(open_study: OpenStudy) -> Session:
    return open_study(RUNS)


def test_each_run_has_the_head_that_its_own_settings_give(session: Session) -> None:
    found = fitted(session)
    resources, first = session.resources, session.plan.tasks[0].run
    features = resources.features(first.data, first.network, 0)
    dataset, split = resources.dataset(first.data), resources.split(first.data, 0)
    rows = (split.train, split.validation)
    for name, kind, options, refit in [
        ("ridge", "ridge", {"penalty": 0.1}, True),
        ("unrefitted", "ridge", {}, False),
        ("knn", "knn", {"k": 3}, True),
    ]:
        (alone,) = fit_heads(features, dataset.labels, [HeadJob(kind, *rows, 3, options, 0, refit)])
        fit, test = found[name]
        expected = alone.head.probabilities(torch.from_numpy(features[split.test])).detach().numpy()
        assert np.allclose(test, expected, atol=1e-6), name
        assert fit.chosen == alone.chosen and fit.refit == ("train+validation" if refit else "none")
        bank = alone.head.bank.numel() if isinstance(alone.head, NearestNeighbourHead) else 0
        assert fit.learned == bank + sum(p.numel() for p in alone.head.parameters())
        body = resources.loaded(first.network, 0).backbone.stages
        assert fit.total - fit.learned == sum(p.numel() for p in body.parameters()) and not fit.whole


def test_a_fit_in_the_cache_is_not_made_again(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fitted(session)
    knn = next(task for task in session.plan.tasks if task.run.name == "knn")
    session.resources.store.remove(KIND, knn.key)
    kinds: list[list[str]] = []

    def fit(features: Any, labels: Any, jobs: list[HeadJob], device: str) -> Any:
        kinds.append([job.kind for job in jobs])
        return fit_heads(features, labels, jobs, device)

    monkeypatch.setattr(head_runs, "fit_heads", fit)
    again = fitted(session)
    assert kinds == [["knn"]]
    assert all(np.array_equal(first[name][1], again[name][1]) for name in RUNS)


def test_the_bundle_says_where_the_head_is_from(session: Session) -> None:
    fitted(session)
    task = next(task for task in session.plan.tasks if task.run.name == "ridge")
    bundle = read_bundle(session.resources.store.path(KIND, task.key) / HEAD)
    assert bundle.classes == ("blue", "green", "red") and bundle.temperature == 1.0
    assert dict(bundle.provenance) == {"study": "small", "run": "ridge", "seed": "0", "dataset": "pictures"}
    assert (bundle.origin.name, bundle.origin.weights, bundle.origin.seed) == ("lenet5", None, 0)


def test_rows_are_scored_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    head = LinearHead(6, 3)
    torch.nn.init.normal_(head.weight, generator=torch.Generator().manual_seed(0))
    features = np.random.default_rng(0).normal(size=(20, 2, 3)).astype(np.float32)  # flattened to six numbers
    rows = np.array([19, 3, 3, 0, 7, 11, 2])
    logits = features[rows].reshape(7, 6) @ head.weight.detach().numpy().T
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    for block in (2, 7, 100):
        monkeypatch.setattr(head_runs, "_BLOCK", block)
        found = head_probabilities(head, features, rows)
        assert found.shape == (7, 3) and np.allclose(found, expected, atol=1e-6)
