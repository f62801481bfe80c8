from __future__ import annotations

from typing import Any

import pytest

from headstart.report.render.plan_text import plan_answer, plan_lines, print_plan


def stage(kind: str, seconds: float, *, done: bool = False, shared: bool = False, disk: int = 0) -> dict[str, Any]:
    what = {"kind": kind, "what": f"the {kind}", "done": done, "shared": shared}
    return {**what, "seconds": seconds, "disk": disk, "memory": 0}


def group(kind: str, runs: list[str], seconds: float, **more: Any) -> dict[str, Any]:
    known = {"backbone": "resnet18", "dataset": "photos", "images": 1200, "tasks": 2, "configurations": 2, "done": 0}
    return {"kind": kind, "runs": runs, **known, "seconds": seconds, "disk_bytes": 0, "memory_bytes": 0} | more


ROWS = [
    group(
        "heads", ["knn", "ridge"], 65.0, disk_bytes=5_000_000, memory_bytes=2_000_000_000,
        stages=[stage("decode", 9, done=True), stage("features", 62.5, disk=5_000_000), stage("heads", 2, shared=True)],
    ),
    group("tune", ["tuned"], 600.0, configurations=6, done=1, memory_bytes=3_000_000_000),
    group("tune", ["finished"], 0.0, done=2, memory_bytes=9_000_000_000),
    group("unavailable", ["far"], 0.0, why="no weights"),
]  # fmt: skip


def test_a_plan_lists_groups_stages_the_total_and_what_is_unavailable() -> None:
    assert plan_lines(ROWS, 76) == [
        "in this order                                         time     disk   memory",
        "",
        "1  heads: resnet18 on photos (1,200 images)      1 min 5 s   5.0 MB   2.0 GB",
        "   knn, ridge: 2 runs × seeds",
        "     decode the decode                              cached",
        "     pass the features                           1 min 2 s   5.0 MB",
        "     heads the heads                                shared",
        "",
        "2  tune: resnet18 on photos (1,200 images)          10 min            3.0 GB",
        "   tuned: 2 runs × seeds, 6 configurations, 1 done",
        "",
        "3  tune: resnet18 on photos (1,200 images)         nothing",
        "   finished: 2 runs × seeds, 2 done",
        "",
        "total                                               11 min   5.0 MB   3.0 GB",
        "unavailable: far: no weights",
    ]


def test_long_names_are_shortened_in_figures_and_wrapped_in_lists() -> None:
    names = [f"a-long-name-of-a-run-{k}" for k in range(12)]
    lines = plan_lines([group("heads", names, 1.0, backbone="b" * 100)], 72)
    assert max(map(len, lines)) <= 72
    assert lines[2].startswith("1  heads: bbb") and "b… " in lines[2] and lines[2].endswith("1.0 s")
    listed = " ".join(line.strip() for line in lines[3:] if line.startswith("   "))
    assert listed == f"{', '.join(names)}: 2 runs × seeds"


@pytest.mark.parametrize(("width", "columns"), [(40, 72), (100, 100), (300, 120)])
def test_the_width_is_at_least_72_and_at_most_120(width: int, columns: int, capsys: pytest.CaptureFixture[str]) -> None:
    print_plan(ROWS, width)
    printed = capsys.readouterr().out.splitlines()
    start = printed.index("")
    assert " ".join(printed[:start]) == plan_answer(ROWS) and max(map(len, printed[:start])) <= columns
    assert printed[start + 1 :] == plan_lines(ROWS, columns)


def test_a_plan_begins_with_what_is_left_and_what_it_costs() -> None:
    cost = "about 11 min, 5.0 MB of disk space, 3.0 GB of memory on this machine."
    assert plan_answer(ROWS) == f"3 of 6 runs × seeds left to do: {cost} 1 run is unavailable."
    assert plan_answer(ROWS[2:3]) == "0 of 2 runs × seeds left to do: nothing."
    one = group("heads", ["knn"], 0.5, tasks=1)
    assert plan_answer([one]) == "1 of 1 run × seed left to do: about 500 ms on this machine."
