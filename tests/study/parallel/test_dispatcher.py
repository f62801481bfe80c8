from __future__ import annotations

import json
import os
import signal
import time
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from told import Told

from headstart import progress
from headstart.errors import ClusterError, MissingExtra, SpecError
from headstart.storage.opening import default_store
from headstart.storage.store import Store
from headstart.study.execution.executors import WORK
from headstart.study.execution.tuning import train as tuning
from headstart.study.parallel import dispatcher as spreading
from headstart.study.parallel.job_runner import JobRunner
from headstart.study.parallel.jobs import FEATURES, FIT, PART, Job, jobs_of
from headstart.study.parallel.local import LocalPool
from headstart.study.parallel.messages import Message, WorkerDied, broken
from headstart.study.parallel.setup import Setup
from headstart.study.passes import entries_of, part_features
from headstart.study.planning.cost import CostModel
from headstart.study.planning.planner import make_plan
from headstart.study.resources import Resources
from headstart.study.run import run_study
from headstart.study.spec.load import load_study

pytestmark = pytest.mark.long


class Inline:
    """A pool that runs each job at once, in this process; some jobs kill its worker."""

    deaths: dict[str, int] = {}  # noqa: RUF012 (set anew by each test)
    made: list[Inline] = []  # noqa: RUF012

    def __init__(self, setup: Setup, workers: int, logs: Path) -> None:
        self.slowdown = 1.0
        self.heard: deque[tuple[int, Message]] = deque()
        self.jobs: list[Job] = []
        self.closed = False
        self.runner = JobRunner(setup, lambda message: self.heard.append((self.jobs[-1].number, message)))
        Inline.made.append(self)

    def free(self) -> bool:
        return not self.heard

    def start(self, job: Job) -> None:
        self.jobs.append(job)
        name = job.tasks[0].run.name
        if Inline.deaths.get(name, 0) > 0 and job.stage == FIT:
            Inline.deaths[name] -= 1
            self.heard.append((job.number, WorkerDied("was ended by SIGKILL")))
            return
        try:
            self.heard.append((job.number, self.runner.do(job)))
        except Exception as error:
            self.heard.append((job.number, broken(error)))

    def listen(self, patience: float) -> list[tuple[int, Message]]:
        heard = list(self.heard)
        self.heard.clear()
        return heard

    def close(self) -> None:
        self.closed = True
        progress.show_in(None)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep every process to one thread: sums over more of them differ in their last bits."""
    monkeypatch.setenv("HEADSTART_THREADS", "1")


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> type[Inline]:
    monkeypatch.setattr("headstart.study.parallel.local.LocalPool", Inline)
    monkeypatch.setattr("headstart.study.parallel.dispatcher.threads.machine_cores", lambda: 2)
    Inline.deaths, Inline.made = {}, []
    return Inline


@pytest.fixture
def chain(small_study: dict[str, Any]) -> dict[str, Any]:
    recipe = {"epochs": 1, "batch_size": 8, "lr": 0.01}
    runs = {
        "pixels": {"backbone": "pixels", "strategy": "ridge"},
        "probe": {"strategy": {"each": ["ridge", "prototypes"]}},
        "first": {"strategy": "scratch", "recipe": recipe},
        "second": {"strategy": "fine_tune", "weights": {"run": "first"}, "recipe": recipe},
        "third": {"strategy": "ridge", "weights": {"run": "second"}},
    }
    return {**small_study, "seeds": 1, "runs": runs}


def execute(spec: dict[str, Any], out: Path, workers: int = 1, told: Told | None = None) -> tuple[Path, Told]:
    told = told or Told()
    return run_study(load_study(spec), out, device="cpu", listener=told, workers=workers).root, told


def results(root: Path) -> dict[str, Any]:
    found = {}
    for path in sorted(root.glob("runs/*/*/result.json")):
        result = json.loads(path.read_text())
        arrays = np.load(path.parent / "predictions.npz")
        found[str(path.parent.relative_to(root))] = (
            {side: result["metrics"][side] for side in ("test", "validation")},
            result["chosen"],
            arrays["test_rows"].tolist(),
            arrays["test_probabilities"].tobytes(),
        )
    return found


def fresh_cache(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(place))


def test_heads_wait_for_their_features_and_a_chain_for_its_source(chain: dict[str, Any]) -> None:
    study = load_study(chain)
    plan = make_plan(study, Resources(default_store(), "cpu"))
    jobs = jobs_of(plan.groups)
    named = {(job.stage, job.tasks[0].run.name): job for job in jobs}
    probe = named[(FEATURES, "probe · ridge")]
    assert len(probe.tasks) == 2 and not probe.needs
    assert named[(FIT, "probe · ridge")].needs == named[(FIT, "probe · prototypes")].needs == {probe.number}
    assert named[(FIT, "pixels")].needs == named[(FIT, "first")].needs == frozenset()
    assert named[(FIT, "second")].needs == {named[(FIT, "first")].number}
    assert named[(FIT, "third")].needs == {named[(FIT, "second")].number}
    assert [job.number for job in jobs] == list(range(len(jobs)))


def test_a_job_starts_when_what_it_needs_has_ended(chain: dict[str, Any], tmp_path: Path, inline: type[Inline]) -> None:
    root, told = execute(chain, tmp_path / "out", 2)
    jobs = inline.made[0].jobs
    place = {(job.stage, job.tasks[0].run.name): k for k, job in enumerate(jobs)}
    assert place[(FIT, "first")] < place[(FIT, "second")] < place[(FIT, "third")]
    assert place[(FEATURES, "probe · ridge")] < min(place[(FIT, "probe · ridge")], place[(FIT, "probe · prototypes")])
    assert len(told.ran) == 6 and inline.made[0].closed and json.loads((root / "study.json").read_text())["best"]


def test_what_a_dead_worker_was_at_is_done_again_once(
    chain: dict[str, Any], tmp_path: Path, inline: type[Inline]
) -> None:
    inline.deaths = {"first": 1, "pixels": 1}
    root, told = execute(chain, tmp_path / "out", 2)
    assert told.broken == {} and len(told.ran) == 6
    assert [note for note in told.notes if "runs the job again" in note] == [
        "pixels: a worker was ended by SIGKILL; another worker runs the job again",
        "first: a worker was ended by SIGKILL; another worker runs the job again",
    ]
    assert json.loads((root / "study.json").read_text())["status"] == "complete"


def test_a_run_that_kills_two_workers_has_failed_and_the_rest_goes_on(
    chain: dict[str, Any], tmp_path: Path, inline: type[Inline]
) -> None:
    inline.deaths = {"first": 2}
    root, told = execute(chain, tmp_path / "out", 2)
    assert list(told.broken) == ["first (seed 0)", "second (seed 0)", "third (seed 0)"]
    assert told.broken["first (seed 0)"] == "two workers died while running it; the last was ended by SIGKILL"
    assert told.broken["second (seed 0)"] == "starts from 'first', which failed and left no network"
    assert sorted(told.ran) == ["pixels (seed 0)", "probe · prototypes (seed 0)", "probe · ridge (seed 0)"]
    manifest = json.loads((root / "runs" / "first" / "seed-0" / "manifest.json").read_text())
    assert manifest["status"] == "failed" and "SIGKILL" in manifest["error"]
    _, again = execute(chain, tmp_path / "out", 2)
    assert again.broken == {} and len(again.ran) == 3 and len(again.found) == 3


def test_images_that_break_off_are_left_out_whoever_decodes_them(
    chain: dict[str, Any], tmp_path: Path, inline: type[Inline], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "pictures" / "blue" / "003.png"
    path.write_bytes(path.read_bytes()[: len(path.read_bytes()) // 2])
    spread, _ = execute(chain, tmp_path / "spread", 2)
    fresh_cache(tmp_path / "other cache", monkeypatch)
    alone, _ = execute(chain, tmp_path / "alone")
    assert results(spread) == results(alone)
    facts = [json.loads(next(root.glob("data/*/dataset.json")).read_text())["skipped"] for root in (spread, alone)]
    assert facts[0] == facts[1] and ["003.png" in skip["name"] for skip in facts[0]] == [True]


def test_an_error_of_the_input_is_the_same_in_a_worker(
    chain: dict[str, Any], tmp_path: Path, inline: type[Inline], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise SpecError("this cannot be, as only the work itself could tell")

    monkeypatch.setattr(tuning, "finetune", refuse)
    with pytest.raises(SpecError, match="as only the work itself could tell"):
        execute(chain, tmp_path / "out", 2)
    assert inline.made[0].closed


@pytest.fixture
def divided(monkeypatch: pytest.MonkeyPatch) -> None:
    """Divide the passes over 42 images into parts of 32."""
    monkeypatch.setattr("headstart.study.parts.SMALLEST", 16)
    monkeypatch.setattr("headstart.study.parts.MOST", 2)


def entries(place: Path) -> list[tuple[str, str]]:
    return [(row["kind"], row["key"]) for row in Store(place).entries() if row["kind"] in ("images", "features")]


def test_workers_share_a_pass_and_leave_what_one_leaves(
    chain: dict[str, Any], tmp_path: Path, inline: type[Inline], monkeypatch: pytest.MonkeyPatch, divided: None
) -> None:
    fresh_cache(tmp_path / "cache of one", monkeypatch)
    alone, _ = execute(chain, tmp_path / "alone")
    fresh_cache(tmp_path / "cache of two", monkeypatch)
    shared, told = execute(chain, tmp_path / "shared", 2)
    assert told.broken == {} and results(shared) == results(alone)
    assert entries(tmp_path / "cache of two") == entries(tmp_path / "cache of one")  # without those of the parts
    done = [(job.stage, job.tasks[0].run.name, job.rows) for job in inline.made[0].jobs if job.kind == "heads"]
    parts = ((0, 32), (32, 42))
    assert [job for job in done if job[1] == "pixels"] == [
        (PART, "pixels", parts[:1]),
        (PART, "pixels", parts[1:]),
        (FEATURES, "pixels", ()),
        (FIT, "pixels", ()),
    ]
    assert [stage for stage, run, _ in done if run == "third"] == [PART, PART, FEATURES, FIT]


class Clock:
    """A clock on which each run takes 10 s, as each is said to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.time = 0.0
        monkeypatch.setattr("headstart.study.execution.budget.now", lambda: self.time)
        monkeypatch.setattr("headstart.study.parallel.job_runner.now", lambda: self.time)
        monkeypatch.setattr(CostModel, "seconds", lambda model, group: 10.0)
        monkeypatch.setattr(CostModel, "closing", lambda model, groups, audit: 1.0)
        for kind, work in list(WORK.items()):
            monkeypatch.setitem(WORK, kind, self.slowly(work))

    def slowly(self, work: Any) -> Any:
        def take_time(tasks: Any, session: Any) -> None:
            work(tasks, session)
            self.time += 10.0

        return take_time


def test_workers_spend_a_budget_and_say_what_they_skip(
    chain: dict[str, Any], tmp_path: Path, inline: type[Inline], monkeypatch: pytest.MonkeyPatch
) -> None:
    Clock(monkeypatch)
    root, told = execute({**chain, "budget": "35s"}, tmp_path / "out", 2)
    assert told.ran == ["pixels (seed 0)", "probe · prototypes (seed 0)", "probe · ridge (seed 0)"]
    assert [job.seconds for job in inline.made[0].jobs if job.stage == FIT] == [34.0, 24.0, 14.0]
    state = json.loads((root / "study.json").read_text())
    assert state["status"] == "complete" and state["spending"] == {"seconds": 35.0, "spent": 30.0}
    assert {row["run"]: row["why"] for row in state["left_out"]} == {
        "first": "over budget: takes about 10.0 s, but only 4.0 s was left",
        "second": "starts from 'first', which was skipped",
        "third": "starts from 'second', which was skipped",
    }
    assert "skipped 3 runs and seeds over budget (first, second, third)" in told.notes
    whole, again = execute(chain, tmp_path / "out", 2)
    assert len(again.ran) == 3 and len(again.found) == 3 and whole == root


def test_a_divided_pass_is_judged_once(
    chain: dict[str, Any], tmp_path: Path, inline: type[Inline], monkeypatch: pytest.MonkeyPatch, divided: None
) -> None:
    clock = Clock(monkeypatch)

    def seconds(model: CostModel, group: Any) -> float:  # 20 s for a pass, of which 10 s are left to run
        task, of = group.first, model.resources
        return 5.0 if of.store.has("features", of.features_key(task.run.data, task.run.network, task.seed)) else 20.0

    def part(*given: Any) -> Any:
        clock.time += 10.0
        return part_features(*given)

    monkeypatch.setattr(CostModel, "seconds", seconds)
    monkeypatch.setattr("headstart.study.parallel.job_runner.part_features", part)
    spec = {**chain, "runs": {"pixels": chain["runs"]["pixels"]}, "budget": "31s"}
    _, told = execute(spec, tmp_path / "out", 2)
    assert told.ran == ["pixels (seed 0)"] and told.notes == []  # when both parts are done, 10 s are left


def test_parts_that_were_not_put_together_in_time_are_kept(
    chain: dict[str, Any], tmp_path: Path, inline: type[Inline], monkeypatch: pytest.MonkeyPatch, divided: None
) -> None:
    clock = Clock(monkeypatch)
    features = Resources.features

    def late(*given: Any) -> Any:
        clock.time += 100.0
        given[0].watch()
        return features(*given)

    monkeypatch.setattr(Resources, "features", late)
    spec = {**chain, "runs": {"pixels": chain["runs"]["pixels"]}, "budget": "31s"}
    _, told = execute(spec, tmp_path / "out", 2)
    assert told.ran == [] and told.notes == ["skipped 1 runs and seeds over budget (pixels)"]
    assert inline.made[0].jobs[-1].stage == FEATURES
    kinds = [kind for kind, _ in entries(default_store().root)]
    assert kinds.count("features") == 2 and kinds.count("images") >= 2  # of both parts


@pytest.mark.parametrize("before", [True, False])
def test_what_was_there_before_or_is_the_whole_is_not_deleted(
    before: bool, small_study: dict[str, Any], tmp_path: Path, inline: type[Inline], divided: None
) -> None:
    folder = tmp_path / "pictures"
    for path in sorted(folder.glob("red/*.png"))[4:]:  # the last part has copies of images of the first part only
        path.write_bytes((folder / "blue" / path.name).read_bytes())
    study = {**small_study, "seeds": 1, "runs": {"pixels": {"backbone": "pixels", "strategy": "ridge"}}}
    run, resources = load_study(study).runs[0], Resources(default_store(), "cpu")
    mine = part_features(resources, run.data, run.network, 0, (0, 32)) if before else ()
    _, told = execute(study, tmp_path / "out", 2)
    assert told.broken == {} and len(told.ran) == 1
    whole = entries_of(resources, run.data, run.network, 0)
    assert set(entries(default_store().root)) == {*mine, *whole}
    assert len({*mine, *whole}) == (3 if before else 2)  # the images of the first part are those of the whole


def test_a_job_stops_when_the_time_is_up_and_the_next_run_goes_on(
    chain: dict[str, Any], tmp_path: Path, inline: type[Inline], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    finetune = tuning.finetune

    def slow(*given: Any, **how: Any) -> Any:
        clock.time += 100.0
        return finetune(*given, **how)

    monkeypatch.setattr(tuning, "finetune", slow)
    root, told = execute({**chain, "budget": "60s"}, tmp_path / "out", 2)
    assert len(told.ran) == 3 and told.broken == {}
    why = {row["run"]: row["why"] for row in json.loads((root / "study.json").read_text())["left_out"]}
    assert why["first"] == "over budget: stopped before its end; finished work is kept"
    assert why["second"].startswith("over budget: no time was left") or why["second"].startswith("starts from")
    monkeypatch.setattr(tuning, "finetune", finetune)
    _, again = execute(chain, tmp_path / "out", 2)
    assert len(again.found) == 3 and sorted(again.ran) == ["first (seed 0)", "second (seed 0)", "third (seed 0)"]


@pytest.mark.parametrize(
    ("how", "error", "says"),
    [
        ({"workers": 0}, SpecError, "at least 1 worker"),
        ({"on": "nonsense"}, SpecError, "is not an address"),
        ({"on": "127.0.0.1:9"}, ClusterError, "no Ray cluster answers there"),
    ],
)
def test_impossible_places_are_refused_before_anything_is_planned(
    tmp_path: Path, how: dict[str, Any], error: type[Exception], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headstart.study.parallel.ray.find_spec", lambda name: name)
    monkeypatch.setattr("headstart.study.run.open_session", lambda *a, **k: pytest.fail("planned"))
    with pytest.raises(error, match=says) as caught:
        run_study(load_study({"name": "x", "data": "nowhere", "runs": {"a": {}}}), tmp_path, **how)
    assert "\n" not in str(caught.value)


def test_without_ray_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headstart.study.parallel.ray.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'headstart\[ray\]'"):
        spreading.check_workers(1, "ray")


def test_two_worker_processes_leave_the_same_table_as_one(
    chain: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh_cache(tmp_path / "cache of one", monkeypatch)
    one, _ = execute(chain, tmp_path / "one")
    fresh_cache(tmp_path / "cache of two", monkeypatch)
    two, told = execute(chain, tmp_path / "two", 2)
    assert len(told.ran) == 6 and results(one) == results(two)
    assert [path.read_text() for path in sorted((two / "logs").iterdir())] == ["", ""]
    _, again = execute(chain, tmp_path / "two", 2)
    assert again.ran == [] and len(again.found) == 6


class Killer(Told):
    """Kills the worker that begins a run, so many times."""

    def __init__(self, run: str, times: int, pools: list[LocalPool]) -> None:
        super().__init__()
        self.run, self.times, self.pools = run, times, pools

    def running(self, run: str) -> None:
        super().running(run)
        if run == self.run and self.times:
            self.times -= 1
            for pid in self.pools[0].pids.values():
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def pools(monkeypatch: pytest.MonkeyPatch) -> list[LocalPool]:
    made: list[LocalPool] = []

    class Watched(LocalPool):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            made.append(self)

    monkeypatch.setattr("headstart.study.parallel.local.LocalPool", Watched)
    return made


@pytest.mark.slow
def test_a_worker_killed_for_good_is_replaced_and_the_table_stays_the_same(
    chain: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pools: list[LocalPool]
) -> None:
    fresh_cache(tmp_path / "calm cache", monkeypatch)
    calm, _ = execute(chain, tmp_path / "calm")
    fresh_cache(tmp_path / "cache", monkeypatch)
    killer = Killer("second (seed 0)", 1, pools)
    root, _ = execute(chain, tmp_path / "out", 2, killer)
    assert killer.broken == {} and killer.times == 0
    assert any(
        "was ended by SIGKILL" in note and note.endswith("another worker runs the job again") for note in killer.notes
    )
    assert results(root) == results(calm)


@pytest.mark.slow
def test_a_run_whose_workers_are_killed_twice_has_failed(
    chain: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pools: list[LocalPool]
) -> None:
    fresh_cache(tmp_path / "cache", monkeypatch)
    killer = Killer("second (seed 0)", 2, pools)
    _, told = execute(chain, tmp_path / "out", 2, killer)
    assert list(told.broken) == ["second (seed 0)", "third (seed 0)"]
    assert "two workers died while running it; the last was ended by SIGKILL" in told.broken["second (seed 0)"]
    _, again = execute(chain, tmp_path / "out", 2)
    assert sorted(again.ran) == ["second (seed 0)", "third (seed 0)"] and again.broken == {}


class Impatient(Told):
    def __init__(self, pools: list[LocalPool]) -> None:
        super().__init__()
        self.pools, self.pids = pools, set[int]()

    def running(self, run: str) -> None:
        if run == "second (seed 0)":
            self.pids = set(self.pools[0].pids.values())
            raise KeyboardInterrupt


@pytest.mark.slow
def test_ctrl_c_ends_all_workers_and_the_next_run_goes_on(
    chain: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pools: list[LocalPool]
) -> None:
    fresh_cache(tmp_path / "cache", monkeypatch)
    impatient = Impatient(pools)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        execute(chain, tmp_path / "out", 2, impatient)
    assert time.monotonic() - began < 60 and impatient.pids
    assert not [pid for pid in impatient.pids if Path(f"/proc/{pid}").exists()]
    assert json.loads((tmp_path / "out" / "small" / "study.json").read_text())["status"] == "interrupted"
    assert not list((tmp_path / "out").rglob("*.tmp"))
    _, told = execute(chain, tmp_path / "out", 2)
    assert "first (seed 0)" in told.found and "third (seed 0)" in told.ran and told.broken == {}
