from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from headstart.api import Study
from headstart.progress import progress
from headstart.report.render.live import LiveStudy
from tests.docs.readers_files import draw

PLAN = [{"run": run, "seed": seed} for run in ("ridge", "knn") for seed in (0, 1)]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def shown(live: LiveStudy) -> str:
    console = Console(width=120, file=io.StringIO())
    with console.capture() as capture:
        console.print(live.table())
    return capture.get()


def test_without_a_terminal_each_run_is_one_plain_line() -> None:
    stream = io.StringIO()
    live = LiveStudy(stream, clock=Clock())
    live.overview(["photos: 36 images"])
    live.plan(PLAN)
    for seed, score in enumerate((0.9, 1.0)):
        live.running(f"ridge (seed {seed})")
        live.done(f"ridge (seed {seed})", score, 0.75)
    live.reused("knn (seed 1)")
    live.failed("knn (seed 0)", "the loss became NaN")
    live.close()
    assert stream.getvalue().splitlines() == [
        "photos: 36 images",
        "2 runs to do, each with 2 seeds",
        "ridge: 95.0 % (2 seeds) in 1.5 s; 1 of 2 runs ended",
        "knn (seed 0): failed: the loss became NaN",
        "1 done, 1 failed in 0 ms",
    ]
    assert "\x1b" not in stream.getvalue()


def told(*fits: list[str]) -> list[str]:
    """Return the lines of runs whose seeds repeat the fits with the same letter."""
    stream = io.StringIO()
    live = LiveStudy(stream, clock=Clock())
    rows = [
        {"run": f"run {n}", "seed": seed, "key": key} for n, keys in enumerate(fits) for seed, key in enumerate(keys)
    ]
    live.plan(rows)
    for row in rows:
        live.done(f"{row['run']} (seed {row['seed']})", 0.5, 1.0)
    return stream.getvalue().splitlines()


def test_seeds_that_repeat_the_same_fit_count_once_as_in_the_report() -> None:
    assert told(["a", "a", "a"], ["b", "b", "b"]) == [
        "2 runs to do; the 3 seeds of each give the same model and count as one",
        "run 0: 50.0 % in 3.0 s; 1 of 2 runs ended",
        "run 1: 50.0 % in 3.0 s; 2 of 2 runs ended",
    ]
    assert told(["a", "a", "a"], ["b", "c", "d"]) == [
        "2 runs to do, with up to 3 seeds each: those that give the same model count as one",
        "run 0: 50.0 % in 3.0 s; 1 of 2 runs ended",
        "run 1: 50.0 % (3 seeds) in 3.0 s; 2 of 2 runs ended",
    ]
    assert told(["a", "b"])[0] == "1 run to do, with 2 seeds"


@pytest.mark.parametrize(
    ("metric", "words"), [("accuracy", "2 folds"), ("f1_macro", "mean of 2 folds, each judged alone")]
)
def test_folds_count_by_their_images_as_in_the_report(metric: str, words: str) -> None:
    stream = io.StringIO()
    live = LiveStudy(stream, metric=metric, clock=Clock())
    live.plan([{"run": "ridge", "seed": fold, "name": f"ridge (fold {fold + 1})"} for fold in (0, 1)])
    live.done("ridge (fold 1)", 0.5, 1.0, 10)
    live.done("ridge (fold 2)", 0.9, 1.0, 30)
    assert stream.getvalue().splitlines()[1] == f"ridge: 80.0 % ({words}) in 2.0 s; 1 of 1 runs ended"


def test_the_score_of_the_last_line_is_that_of_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    stream = io.StringIO()
    photos = draw(tmp_path / "photos", classes=2, per_class=9, size=16)
    for extra in range(4):  # of 22 images 13 are of one class; seven folds hold 2 to 4, of which one or two are of it
        (photos / "daisy" / f"more{extra}.jpg").write_bytes((photos / "daisy" / "00.jpg").read_bytes() + bytes(extra))
    runs = {"frequent": {"backbone": "pixels", "strategy": "majority"}}
    split = {"folds": 7, "fold": "seed"}
    study = {"name": "folds", "data": {"source": str(photos), "split": split}, "seeds": 7, "audit": False, "runs": runs}
    results = Study(study).run(tmp_path / "runs", report=False, listener=LiveStudy(stream))
    (row,) = results.ranking()
    found = [json.loads(path.read_text()) for path in results.folder.glob("runs/*/*/result.json")]
    assert row["mean"] == pytest.approx(13 / 22)
    assert abs(np.mean([each["metrics"]["test"]["accuracy"]["value"] for each in found]) - 13 / 22) > 0.002
    assert "frequent: 59.1 % (7 folds) in " in stream.getvalue()


def test_a_name_cannot_steer_the_terminal_through_a_plain_line() -> None:
    stream = io.StringIO()
    live = LiveStudy(stream, clock=Clock())
    live.overview(["photos: 3 images of ro\x1b]0;title\x07se, from https://me:hunter2@host"])
    assert stream.getvalue() == "photos: 3 images of ro\\x1b]0;title\\x07se, from https://***@host\n"


def test_what_was_reused_is_counted_and_not_listed() -> None:
    stream = io.StringIO()
    live = LiveStudy(stream, clock=Clock())
    live.plan(PLAN)
    live.reused("ridge (seed 0)")
    live.reused("ridge (seed 1)")
    live.reused("knn (seed 0)")
    live.running("knn (seed 1)")
    live.done("knn (seed 1)", 0.5, 2.0)
    live.close()
    assert stream.getvalue().splitlines()[1:] == [
        "knn: 50.0 % (2 seeds, 1 reused) in 2.0 s; 2 of 2 runs ended",
        "1 done, 1 reused in 0 ms",
    ]


def test_the_time_of_a_run_is_its_own_though_all_of_its_group_began_together() -> None:
    stream, clock = io.StringIO(), Clock()
    live = LiveStudy(stream, clock=clock)
    live.plan([{"run": run, "seed": 0} for run in ("one", "two")])
    live.running("one (seed 0)")
    live.running("two (seed 0)")
    for run, now in (("one", 1.0), ("two", 2.0)):
        clock.now = now
        live.done(f"{run} (seed 0)", 0.5, 1.0)
    assert [line for line in stream.getvalue().splitlines() if "in 1.0 s" in line] == [
        "one: 50.0 % in 1.0 s; 1 of 2 runs ended",
        "two: 50.0 % in 1.0 s; 2 of 2 runs ended",
    ]


def test_the_same_reason_is_told_once_for_all_seeds_of_a_run() -> None:
    stream = io.StringIO()
    live = LiveStudy(stream, clock=Clock())
    live.plan(PLAN)
    for run in ("ridge", "knn"):
        for seed in (0, 1):
            live.failed(f"{run} (seed {seed})", "no memory")
    lines = stream.getvalue().splitlines()
    assert lines[1:] == ["ridge (seed 0): failed: no memory", "knn (seed 0): failed: no memory"]
    assert shown(live).count("no memory") == 2


def test_a_run_that_a_budget_cut_short_is_told_at_the_end() -> None:
    stream = io.StringIO()
    live = LiveStudy(stream, clock=Clock())
    live.plan(PLAN)
    live.done("ridge (seed 0)", 0.5, 1.0)
    assert len(stream.getvalue().splitlines()) == 1
    live.close()
    assert stream.getvalue().splitlines()[1:] == [
        "ridge: 50.0 % (2 seeds, 1 not run) in 1.0 s; 0 of 2 runs ended",
        "1 partly run, 1 not run in 0 ms",
    ]


def test_the_table_counts_what_is_done_running_and_queued() -> None:
    live = LiveStudy(io.StringIO(), clock=Clock())
    live.plan(PLAN)
    live.running("ridge (seed 0)")
    text = shown(live)
    assert "1 running, 1 queued" in text
    assert "running 0/2" in text
    live.done("ridge (seed 0)", 0.912, 1.0)
    assert "running 1/2" in shown(live) and "91.2 %" in shown(live)


def test_the_time_left_is_the_pace_so_far_times_what_waits() -> None:
    clock = Clock()
    live = LiveStudy(io.StringIO(), clock=clock)
    live.plan(PLAN)
    assert live.seconds_left() is None
    live.running("ridge (seed 0)")
    clock.now = 10.0
    live.done("ridge (seed 0)", 0.9)
    assert live.seconds_left() == pytest.approx(30.0)


def test_a_terminal_gets_a_table_that_makes_way_for_the_ranking_and_what_failed_stays() -> None:
    stream = io.StringIO()
    live = LiveStudy(stream, terminal=True, clock=Clock())
    live.plan(PLAN)
    live.running("knn (seed 0)")
    live.done("knn (seed 0)", 0.5)
    live.failed("ridge (seed 0)", "no memory")
    live.note("the tested model is kept")
    live.close()
    text = stream.getvalue()
    assert "\x1b[" in text and "50.0 %" in text
    assert [re.sub(r"\x1b\[\d*[A-Za-z]", "", line) for line in text.splitlines()[-3:]] == [
        "ridge: failed: no memory",
        "the tested model is kept",
        "2 partly run in 0 ms",
    ]


def test_progress_of_one_job_stands_in_the_table_instead_of_a_bar_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headstart.progress._PATIENCE", 0.0)
    live = LiveStudy(io.StringIO(), terminal=True)
    live.plan(PLAN)
    with progress("fitting", 10, "epochs") as ticker:
        ticker.advance(3, note="loss 0.4321")
        during = shown(live)
    after = shown(live)
    live.close()
    assert "fitting 3/10 epochs" in during
    assert "loss 0.4321" in during
    assert "fitting" not in after
