from __future__ import annotations

from typing import Any

from headstart.study.parallel.jobs import FEATURES, FIT, PART, Job, jobs_of
from headstart.study.planning.plan import TaskGroup
from headstart.study.spec.load import load_study
from headstart.study.task import Task

RUNS: dict[str, Any] = {
    "r1": {"strategy": "ridge"},
    "r2": {"strategy": "ridge"},
    "k": {"strategy": "knn"},
    "t": {"strategy": "fine_tune"},
    "c": {"strategy": "ridge", "weights": {"run": "t"}},
}
TASKS = {
    run.name: Task(run, 0, run.name) for run in load_study({"name": "s", "data": "d", "seeds": 1, "runs": RUNS}).runs
}


def group(kind: str, *names: str) -> TaskGroup:
    return TaskGroup(kind, tuple(TASKS[name] for name in names))


def test_heads_of_several_kinds_wait_for_one_pass_over_the_images() -> None:
    jobs = jobs_of([group("heads", "r1", "k", "r2")])
    assert [(job.number, job.stage, [task.run.name for task in job.tasks], set(job.needs)) for job in jobs] == [
        (0, FEATURES, ["r1", "k", "r2"], set()),
        (1, FIT, ["r1", "r2"], {0}),
        (2, FIT, ["k"], {0}),
    ]


def test_a_chain_waits_for_its_source_and_nothing_else() -> None:
    jobs = jobs_of([group("heads", "r1"), group("tune", "t"), group("heads", "c")])
    assert [(job.kind, job.stage, set(job.needs)) for job in jobs] == [
        ("heads", FIT, set()),
        ("tune", FIT, set()),
        ("heads", FIT, {1}),
    ]


def test_a_chain_of_several_heads_waits_for_source_and_features() -> None:
    knn = Task(TASKS["c"].run, 1, "c2")
    other = TASKS["c"].run.spec.model_copy(update={"strategy": "knn"})
    knn = Task(type(knn.run)("c2", other, knn.run.data), 0, "c2")
    jobs = jobs_of([group("tune", "t"), TaskGroup("heads", (TASKS["c"], knn))])
    assert [set(job.needs) for job in jobs] == [set(), {0}, {0, 1}, {0, 1}]


def test_a_job_is_named_after_its_first_runs() -> None:
    job = Job(0, "heads", FIT, tuple(TASKS[name] for name in ("r1", "r1", "r2", "k")))
    assert job.title == "r1, r2, k"
    assert Job(0, "heads", FEATURES, tuple(TASKS.values())).title == "features of r1, r2, k, …"


def test_the_parts_of_a_pass_are_put_together_before_any_head_is_fitted() -> None:
    rows = ((0, 256), (256, 400))
    jobs = jobs_of([group("tune", "t"), group("heads", "c")], lambda group: rows)
    assert (
        [(job.kind, job.stage, job.rows, set(job.needs)) for job in jobs]
        == [
            ("tune", FIT, (), set()),  # its passes are its own
            ("heads", PART, rows[:1], {0}),
            ("heads", PART, rows[1:], {0}),
            ("heads", FEATURES, (), {0, 1, 2}),
            ("heads", FIT, (), {0, 3}),
        ]
    )
    assert jobs[2].title == "features of c, images 257 to 400"
