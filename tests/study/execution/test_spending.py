"""What a budget is spent on, with a clock and estimates that the test sets; no run is computed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from headstart.errors import SpecError
from headstart.study import run
from headstart.study.execution import budget as budget_module
from headstart.study.execution import budgeting
from headstart.study.execution.budget import Budget, OverBudget
from headstart.study.execution.budgeting import Spending, budget_of, spend
from headstart.study.planning.microbenchmarks import Meter
from headstart.study.planning.plan import Plan, TaskGroup
from headstart.study.results.state import StudyState
from headstart.study.spec.load import load_study
from headstart.study.task import Task

Runs = Mapping[str, dict[str, Any]]


class Forecast:
    """Estimates by the name of a group's first run; closing takes 2 s."""

    def __init__(self, seconds: Mapping[str, float]) -> None:
        self.costs, self.asked = seconds, list[str]()

    def seconds(self, group: TaskGroup) -> float:
        self.asked.append(group.first.run.name)
        return self.costs[group.first.run.name]

    def closing(self, groups: Any, audit: bool) -> float:
        self.closed = (groups, audit)
        return 2.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(time=0.0)
    monkeypatch.setattr(budget_module, "now", lambda: clock.time)
    return clock


def session_of(runs: Runs, kinds: Mapping[str, str] = {}, proxy: int | None = None, **scores: float) -> Any:
    more = {} if proxy is None else {"budget": "2min", "proxy": proxy}
    study = load_study({"name": "s", "data": "d", "seeds": 1, "runs": dict(runs), **more})
    groups = tuple(
        TaskGroup(kinds.get(run.name, "tune"), (Task(run, seed, f"{run.name} {seed}"),))
        for run in study.runs
        for seed in study.spec.seed_list
    )
    finished: set[str] = set(scores)
    folder = SimpleNamespace(
        score=lambda run, seed, part, metric: scores.get(run) if (part, metric) == ("validation", "accuracy") else None,
        manifest=lambda run, seed: {"key": f"{run} {seed}"} if f"{run} {seed}" in session.done else None,
    )
    session: Any = SimpleNamespace(
        plan=Plan(study, groups),
        folder=folder,
        done=set[str](),
        notes=list[str](),
        finished=lambda task: task.run.name in finished,
        state=StudyState("s", "now"),
        written=list[str](),
    )
    session.listener = SimpleNamespace(note=session.notes.append)
    session.write_state = session.written.append
    return session


def order(spending: Spending, session: Any, clock: Any, took: Mapping[str, float]) -> list[str]:
    found = []
    for group in spending.groups(session):
        found.append(group.first.run.name)
        clock.time += took[group.first.run.name]
        session.done.add(group.first.key)
    return found


FINE: dict[str, Any] = {"strategy": "fine_tune", "weights": "none"}


def test_what_fits_runs_in_order_and_what_does_not_is_skipped(clock: Any) -> None:
    session = session_of({"a": FINE, "b": FINE, "c": FINE})
    spending = Spending(Budget(20.0), Forecast({"a": 6, "b": 13, "c": 11}))  # type: ignore[arg-type]
    assert order(spending, session, clock, {"a": 6.0, "c": 11.0}) == ["a", "c"]
    assert spending.why == {("b", 0): "over budget: takes about 13.0 s, but only 12.0 s was left"}
    assert spending.left_out(session) == [{"run": "b", "seed": 0, "why": spending.why["b", 0]}]
    assert spending.budget.reserve == 2.0


def test_a_group_that_fits_exactly_runs(clock: Any) -> None:
    session = session_of({"a": FINE})
    assert order(Spending(Budget(12.0), Forecast({"a": 10})), session, clock, {"a": 10.0}) == ["a"]  # type: ignore[arg-type]


@pytest.mark.parametrize(("took", "runs"), [(8.0, ["a", "b"]), (16.0, ["a"])])
def test_estimates_are_corrected_by_how_long_earlier_groups_took(clock: Any, took: float, runs: list[str]) -> None:
    session = session_of({"a": FINE, "b": FINE})
    spending = Spending(Budget(32.0), Forecast({"a": 8, "b": 8}))  # type: ignore[arg-type]
    assert order(spending, session, clock, {"a": took, "b": took}) == runs
    if took == 16.0:  # b is now expected to take 2 x 8 s, and closing 2 x 2 s: 32 - 16 - 4 = 12 s are left
        assert spending.why["b", 0] == "over budget: takes about 16.0 s, but only 12.0 s was left"
        assert spending.budget.reserve == 4.0


def test_groups_of_another_kind_do_not_correct_estimates(clock: Any) -> None:
    session = session_of({"a": {"weights": "none"}, "b": FINE}, {"a": "heads"})
    spending = Spending(Budget(32.0), Forecast({"a": 8, "b": 12}))  # type: ignore[arg-type]
    assert order(spending, session, clock, {"a": 16.0, "b": 12.0}) == ["a", "b"]


def test_what_fits_into_the_last_second_runs(clock: Any) -> None:
    session = session_of({"a": FINE, "b": FINE})
    spending = Spending(Budget(10.75), Forecast({"a": 8, "b": 0.5}))  # type: ignore[arg-type]
    assert order(spending, session, clock, {"a": 8.0, "b": 0.5}) == ["a", "b"]


def test_a_plan_of_nothing_takes_no_time(clock: Any) -> None:
    session = session_of({"a": FINE})
    session.plan = Plan(session.plan.study, ())
    assert order(Spending(Budget(1.0), Forecast({})), session, clock, {}) == []  # type: ignore[arg-type]


def test_nothing_is_measured_when_no_time_is_left(clock: Any) -> None:
    session = session_of({"a": FINE, "b": FINE})
    forecast = Forecast({"a": 8, "b": 8})
    spending = Spending(Budget(20.0), forecast)  # type: ignore[arg-type]
    assert order(spending, session, clock, {"a": 18.0}) == ["a"]
    assert spending.why == {("b", 0): "over budget: no time was left"}
    assert forecast.asked == ["a", "a"]  # by the check of the least, and before it runs
    assert forecast.closed == (session.plan.groups, session.plan.study.spec.audit)


def test_no_time_is_left_when_what_remains_is_the_reserve(clock: Any) -> None:
    session = session_of({"a": FINE, "b": FINE})
    spending = Spending(Budget(10.0), Forecast({"a": 8, "b": 8}))  # type: ignore[arg-type]
    assert order(spending, session, clock, {"a": 8.0}) == ["a"]
    assert spending.why == {("b", 0): "over budget: no time was left"}


def test_a_result_of_other_settings_counts_as_skipped(clock: Any) -> None:
    session = session_of({"a": FINE})
    session.folder.manifest = lambda run, seed: {"key": "of older settings"}
    left_out = Spending(Budget(10.0), Forecast({})).left_out(session)  # type: ignore[arg-type]
    assert left_out == [{"run": "a", "seed": 0, "why": "over budget"}]


def test_a_run_whose_source_was_skipped_is_skipped(clock: Any) -> None:
    runs = {"a": FINE, "b": FINE, "c": {"strategy": "ridge", "weights": {"run": "b"}}}
    session = session_of(runs, {"c": "heads"})
    spending = Spending(Budget(20.0), Forecast({"a": 5, "b": 90, "c": 1}))  # type: ignore[arg-type]
    assert order(spending, session, clock, {"a": 5.0}) == ["a"]
    assert spending.why["c", 0] == "starts from 'b', which was skipped"


def test_tuned_networks_go_by_the_validation_accuracy_of_their_frozen_features(clock: Any) -> None:
    runs: Runs = {
        "p1": {"backbone": "lenet5", "weights": "none"},
        "p2": {"backbone": "conv4", "weights": "none"},
        "t1": {**FINE, "backbone": "lenet5"},
        "t2": {**FINE, "backbone": "conv4"},
        "t3": {**FINE, "backbone": "small_cnn"},
    }
    session = session_of(runs, {"p1": "heads", "p2": "heads"}, p1=0.4, p2=0.6)
    costs = dict.fromkeys(runs, 1.0)
    spending = Spending(Budget(99.0), Forecast(costs))  # type: ignore[arg-type]
    assert order(spending, session, clock, costs) == ["p1", "p2", "t2", "t1", "t3"]


def test_a_run_is_promising_by_its_own_seeds_or_else_by_its_features_and_a_bonus() -> None:
    runs: Runs = {"p": {"weights": "none"}, "t": FINE, "u": FINE, "d": {**FINE, "data": "other"}}
    session = session_of(runs, {"p": "heads"}, p=0.5, t=0.7)  # what another tuned run reached is no promise
    promise = {group.first.run.name: budgeting._promise(group, session) for group in session.plan.groups[1:]}
    assert promise == {"t": pytest.approx(0.7), "u": pytest.approx(0.52), "d": -math.inf}


@pytest.mark.parametrize(
    ("past", "pace"),
    [
        ([], 1.0),
        ([(0.5, 9.0)], 1.0),
        ([(1.0, 2.0)], 2.0),
        ([(1.0, 2.0), (3.0, 4.0)], 1.5),
        ([(1.0, 9.0)], 4.0),
        ([(1.0, 0.1)], 0.25),
    ],
)
def test_the_pace_is_the_ratio_of_spent_to_expected_within_bounds(past: list[tuple[float, float]], pace: float) -> None:
    assert budgeting._pace(past) == pace


def test_a_budget_too_small_for_the_cheapest_run_names_what_suffices(clock: Any) -> None:
    session = session_of({"a": FINE})
    spending = Spending(Budget(7.0), Forecast({"a": 8}))  # type: ignore[arg-type]
    with pytest.raises(SpecError, match=r"^budget: 7\.0 s is too small for one run; set at least 12s \(for 'a'\)"):
        list(spending.groups(session))  # 1.2 x (8 + 2 s) = 12 s


def test_the_cheapest_of_the_first_runs_decides_whether_a_budget_is_too_small(clock: Any) -> None:
    groups = session_of({"a": FINE, "b": FINE}).plan.groups
    spending = Spending(Budget(5.0), Forecast({"a": 9, "b": 8}))  # type: ignore[arg-type]
    with pytest.raises(SpecError, match=r"set at least 10s \(for 'b'\)"):
        spending._check_least(groups)  # 1.2 x 8 s
    Spending(Budget(8.0), Forecast({"a": 9, "b": 8}))._check_least(groups)  # type: ignore[arg-type]
    clock.time = 4.0
    with pytest.raises(SpecError, match=r"set at least 15s \(for 'b'\)"):
        spending._check_least(groups)  # 1.2 x (8 + 4 s)


def test_heads_of_the_best_value_come_first() -> None:
    runs = {kind: {"strategy": kind} for kind in ("sgd", "knn", "logistic", "ridge", "prototypes", "majority")}
    tasks = tuple(group.first for group in session_of(runs).plan.groups)
    found = [part.first.run.name for part in Spending.pieces(TaskGroup("heads", tasks))]
    assert found == ["majority", "prototypes", "ridge", "logistic", "knn", "sgd"]
    assert Spending.pieces(TaskGroup("tune", tasks)) == [TaskGroup("tune", tasks)]


def spec(**more: Any) -> Any:
    return load_study({"name": "s", "data": "d", "runs": {"a": {}, "b": {}}, **more}).spec


def test_a_budget_starts_with_its_seconds(clock: Any) -> None:
    clock.time = 50.0
    assert budget_of(spec(budget="2min")) == Budget(120.0, began=50.0)
    assert budget_of(spec()) is None


def test_a_budget_excludes_halving() -> None:
    with pytest.raises(SpecError, match="budget and halving exclude each other"):
        budget_of(spec(budget="1s", halving={}))


def test_spending_stops_a_stage_records_what_is_skipped_and_stops_watching(
    clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = session_of({"a": FINE, "b": FINE, "c": FINE})
    session.resources = SimpleNamespace(store=object(), device="cpu", watch=None)
    session.state.expected = [{"run": name, "seed": 0} for name in "abc"]

    def cost_model(*parts: Any) -> Forecast:
        assert parts == (session.resources, session.folder, Meter(session.resources.store, "cpu"))
        return Forecast({"a": 5, "b": 5, "c": 5})

    monkeypatch.setattr(budgeting, "CostModel", cost_model)

    def run_group(group: TaskGroup, where: Any) -> None:
        assert where is session and session.resources.watch.__name__ == "check"
        clock.time += 9.07
        if group.first.run.name == "b":
            raise OverBudget
        session.done.add(group.first.key)

    monkeypatch.setattr(run, "_run_group", run_group)
    with spend(session, Budget(24.0)) as spending:
        run._run_groups(session, 1, None, spending)
    why = {row["run"]: row["why"] for row in session.state.left_out}
    assert why["b"] == "over budget: stopped before its end; finished work is kept"
    assert why["c"].startswith("over budget: takes about 6.4 s")  # 5 s, times 18.14 s spent of 14.07 s expected
    assert session.notes == ["skipped 2 runs and seeds over budget (b, c)"]
    assert session.state.expected == [{"run": "a", "seed": 0}]
    assert session.state.spending == {"seconds": 24.0, "spent": 18.1}
    assert session.written == ["running"] and session.resources.watch.__name__ == "nothing"


@pytest.mark.parametrize(("left", "share"), [(60.0, 30.0), (-1.0, 0.0)])
def test_half_of_what_is_left_is_for_which_network_is_first(
    left: float, share: float, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = session_of({"a": FINE}, proxy=30)
    session.resources = SimpleNamespace(store=object(), device="cpu", watch=None)
    budget, given = Budget(left), list[Budget]()

    def order_by_proxy(where: Any, images: int, budget: Budget) -> None:
        assert where is session and images == 30 and session.resources.watch == budget.check
        given.append(budget)

    monkeypatch.setattr(budgeting, "order_by_proxy", order_by_proxy)
    with spend(session, budget) as spending:
        assert session.resources.watch == budget.check and spending.budget is budget
    assert given == [Budget(share)]


def test_what_takes_longer_with_fewer_threads_is_expected_to(clock: Any) -> None:
    session = session_of({"a": FINE, "b": FINE})
    spending = Spending(Budget(22.0), Forecast({"a": 8, "b": 8}))  # type: ignore[arg-type]
    spending.begin(session)
    a, b = session.plan.groups
    assert spending.admitted(a, 2.0) == 16.0
    clock.time = 8.0
    assert spending.admitted(b, 2.0) is None  # both are run at once: 22 - 2 - 8 = 12 s are left
    assert spending.why["b", 0] == "over budget: takes about 16.0 s, but only 12.0 s was left"
    spending.took(a, 16.0, 8.0)
    assert spending.admitted(b, 2.0) == 8.0  # at the pace of the first
