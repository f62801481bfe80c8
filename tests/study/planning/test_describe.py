from __future__ import annotations

from dataclasses import replace
from typing import Any

from headstart.study.planning.describe import describe
from headstart.study.planning.plan import Unavailable
from headstart.study.results.run_record import KIND as FITS
from tests.study.conftest import OpenStudy

RUNS: dict[str, Any] = {
    "ridge": {"strategy": "ridge"},
    "knn": {"strategy": "knn"},
    "tuned": {"strategy": "scratch", "recipe": {"epochs": 1, "batch_size": 8, "lr": {"grid": [0.1, 0.2, 0.3]}}},
    "after": {"strategy": "ridge", "weights": {"run": "tuned"}},
}


def test_each_group_says_what_it_computes_and_what_is_done(open_study: OpenStudy) -> None:
    session = open_study(RUNS, seeds=2)
    tasks = {(task.run.name, task.seed): task for task in session.plan.tasks}
    session.folder.write_run("ridge", 0, tasks["ridge", 0].key, {})
    with session.resources.store.building(FITS, tasks["knn", 1].key):
        pass
    with session.resources.store.building(FITS, tasks["tuned", 1].key):
        pass
    lost = Unavailable(session.plan.study.run("knn"), "no route")
    rows = describe(replace(session.plan, unavailable=(lost,)), session.resources, session.folder)
    heads = next(row for row in rows if "ridge" in row["runs"])
    assert heads == {
        "kind": "heads", "dataset": "pictures", "images": 42, "backbone": "lenet5", "runs": ["ridge", "knn"],
        "tasks": 4, "configurations": 4, "done": 2, "features_stored": False,
    }  # fmt: skip
    tuned = [row for row in rows if row["runs"] == ["tuned"]]
    assert [(row["configurations"], row["done"]) for row in tuned] == [(3, 0), (3, 1)]
    assert all("features_stored" not in row for row in rows if row["runs"] in (["tuned"], ["after"]))
    assert rows[-1] == {
        "kind": "unavailable", "dataset": "pictures", "images": 0, "backbone": "lenet5", "runs": ["knn"],
        "tasks": 2, "configurations": 0, "done": 0, "why": "no route",
    } | {"dataset": lost.run.data.name or lost.run.data.source}  # fmt: skip


def test_features_in_the_cache_are_marked(open_study: OpenStudy) -> None:
    session = open_study({"ridge": {"strategy": "ridge"}})
    (task,) = session.plan.tasks
    session.resources.features(task.run.data, task.run.network, 0)
    (row,) = describe(session.plan, session.resources, session.folder)
    assert row["features_stored"] is True and row["done"] == 0
