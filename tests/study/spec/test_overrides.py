from __future__ import annotations

import pytest

from headstart.errors import SpecError
from headstart.study.spec.overrides import take_out, without
from headstart.study.spec.run import Run
from headstart.study.spec.schema import DataSpec, RunSpec, WeightsSpec


def run(name: str, needs: str | None = None) -> Run:
    weights = WeightsSpec(run=needs) if needs else WeightsSpec(name="imagenet")
    return Run(name, RunSpec(weights=weights), DataSpec(source="d"))


RUNS = [run("a"), run("b", "a"), run("w · 1"), run("w · 5"), run("wide")]


@pytest.mark.parametrize(
    ("override", "kept", "left_out"),
    [
        ("~runs.a", [], ["a"]),
        ("~runs.a.b", [], ["a.b"]),
        ("runs.a=null", [], ["a"]),
        ("runs.a=~", [], ["a"]),
        ("runs.a=", ["runs.a="], []),
        ("runs.a=5", ["runs.a=5"], []),
        ("runs.a=[", ["runs.a=["], []),
        ("runs.a.recipe=null", ["runs.a.recipe=null"], []),
        ("runs.v1.0=null", [], ["v1.0"]),
        ("runs.a · 0.5=null", [], ["a · 0.5"]),
        ("budget=null", ["budget=null"], []),
        ("seeds=5", ["seeds=5"], []),
    ],
)
def test_an_override_sets_a_value_or_excludes_a_run(override: str, kept: list[str], left_out: list[str]) -> None:
    assert take_out([override], {"a", "v1.0"}) == (kept, left_out)


def test_overrides_keep_their_order() -> None:
    assert take_out(["x=1", "~runs.a", "y=2", "~runs.b"], {"a", "b"}) == (["x=1", "y=2"], ["a", "b"])


@pytest.mark.parametrize("override", ["~a", "~runs.", "~runs.a=null", "~runs"])
def test_a_tilde_is_for_runs_only(override: str) -> None:
    with pytest.raises(SpecError, match=r"exclude a run with ~runs\.NAME$"):
        take_out([override], {"a"})


@pytest.mark.parametrize(
    ("left_out", "remain"),
    [
        ([], ["a", "b", "w · 1", "w · 5", "wide"]),
        (["w"], ["a", "b", "wide"]),
        (["w · 5"], ["a", "b", "w · 1", "wide"]),
        (["a", "b"], ["w · 1", "w · 5", "wide"]),
        (["b"], ["a", "w · 1", "w · 5", "wide"]),
    ],
)
def test_the_other_runs_remain(left_out: list[str], remain: list[str]) -> None:
    assert [each.name for each in without(RUNS, left_out, None)] == remain


@pytest.mark.parametrize(
    ("left_out", "baseline", "says"),
    [
        (["a"], None, "run 'a' cannot be excluded, because other runs start or learn from it: 'b'; exclude these too"),
        (
            ["wid"],
            None,
            r"^~runs\.wid: unknown run 'wid'; did you mean 'wide'\? \(known: a, b, w, w · 1, w · 5, wide\)$",
        ),
        (["w"], "w · 1", r"run 'w' cannot be excluded, because.*compared with it; .* \(such as 'a'\)$"),
        (["a", "b", "w", "wide"], "wide", "every run is excluded; keep at least one"),
    ],
)
def test_a_needed_run_is_not_excluded(left_out: list[str], baseline: str | None, says: str) -> None:
    with pytest.raises(SpecError, match=says):
        without(RUNS, left_out, baseline)
