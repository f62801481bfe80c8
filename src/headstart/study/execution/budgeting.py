"""Spends a time budget: the most promising runs go first; runs that do not fit are skipped and reported.

Frozen networks come first, in the plan's order. Tuned networks follow, ordered by the validation accuracy of their
backbone's frozen features; the further seeds of a run are ordered by its own validation accuracy. Before each group,
its estimate is compared with the time that is left; estimates are corrected by the time that earlier groups took.
When the budget is used up, the current stage stops at the next epoch, trial or chunk of images; its finished work is
kept, and the same command continues from there. Several workers spend a budget together: see
headstart.study.parallel.dispatcher.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from headstart.errors import SpecError
from headstart.evaluate.metrics.scoring import merit
from headstart.study.execution.budget import Budget
from headstart.study.execution.session import Session
from headstart.study.execution.which_first import order_by_proxy
from headstart.study.planning.cost import CostModel
from headstart.study.planning.microbenchmarks import Meter
from headstart.study.planning.plan import TaskGroup
from headstart.study.planning.priority import learns, needed
from headstart.study.resources import nothing
from headstart.study.results.state import LeftOut
from headstart.study.spec.networks import proxy_images
from headstart.study.spec.schema import StudySpec
from headstart.study.task import Task
from headstart.transfer.heads.catalogue import HEADS
from headstart.units import duration, parse_duration

_BONUS = 0.02  # of the metric on validation, that tuning a network is expected to add to its frozen features
_PROXY = 0.5  # of the budget that is left, at most, for deciding which network comes first


def budget_of(spec: StudySpec) -> Budget | None:
    """Return the budget of a study, which starts now, or None.

    Raises:
        SpecError: the study uses successive halving.
    """
    if spec.budget is None:
        return None
    if spec.halving is not None:
        raise SpecError("budget and halving exclude each other, because both decide which runs are skipped; drop one")
    return Budget(parse_duration(spec.budget))


@contextlib.contextmanager
def spend(session: Session, budget: Budget) -> Iterator[Spending]:
    """Yield what chooses the groups to run; at the end, record in the study's state what was skipped, and why.

    Args:
        session: of the study.
        budget: the time limit.
    """
    resources = session.resources
    spending = Spending(budget, CostModel(resources, session.folder, Meter(resources.store, resources.device)))
    resources.watch = budget.check
    try:
        _order(session, budget)
        yield spending
    finally:
        resources.watch = nothing
    left_out = spending.left_out(session)
    session.state.leave_out(left_out)
    session.state.spending = {"seconds": budget.seconds, "spent": round(budget.spent(), 1)}
    session.write_state("running")
    if left_out:
        names = list(dict.fromkeys(row["run"] for row in left_out))
        session.listener.note(f"skipped {len(left_out)} runs and seeds over budget ({', '.join(names)})")


def _order(session: Session, budget: Budget) -> None:
    """Let a proxy pass decide which network comes first, where the study has one."""
    images = proxy_images(session.plan.study.spec)
    if images is None:
        return
    share = Budget(_PROXY * max(0.0, budget.left()))
    session.resources.watch = share.check
    try:
        order_by_proxy(session, images, share)
    finally:
        session.resources.watch = budget.check


@dataclass
class Spending:
    """Chooses the groups that a budget is spent on.

    Args:
        budget: the time limit.
        forecast: estimates the cost of groups.
        why: the reason for each run and seed that is skipped.
    """

    budget: Budget
    forecast: CostModel
    why: dict[tuple[str, int], str] = field(default_factory=dict)
    _paces: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    _gone: set[tuple[str, int]] = field(default_factory=set)
    _closing: float = 0.0

    @staticmethod
    def pieces(group: TaskGroup) -> list[TaskGroup]:
        """Return a group's parts; heads with the most accuracy for their time come first."""
        return sorted(group.parts(), key=_order_of)

    def groups(self, session: Session) -> Iterator[TaskGroup]:
        """Yield the next group until none fits.

        Raises:
            SpecError: the budget is too small for one run; the message names the smallest that suffices.
        """
        self.begin(session)
        waiting = [piece for group in session.plan.groups for piece in self.pieces(group)]
        while waiting:
            ready = [group for group in waiting if not needed(group) & _names(waiting)]
            group = ready[self.first_of(ready, session)]
            waiting.remove(group)
            cost = self.admitted(group)
            if cost is None:
                continue
            began = self.budget.spent()
            yield group
            self.took(group, cost, self.budget.spent() - began)

    def begin(self, session: Session) -> None:
        """Reserve the time that finishing the study takes.

        Raises:
            SpecError: the budget is too small for one run; the message names the smallest that suffices.
        """
        plan = session.plan
        self.budget.reserve = self._closing = self.forecast.closing(plan.groups, plan.study.spec.audit)
        self._check_least(self.pieces(plan.groups[0]) if plan.groups else [])

    def first_of(self, ready: Sequence[TaskGroup], session: Session) -> int:
        """Return the index of the first group in the plan's order; of tuned networks, of the most promising."""
        if not learns(ready[0]):
            return 0
        tuned = [number for number, group in enumerate(ready) if learns(group)]
        return max(tuned, key=lambda number: _promise(ready[number], session))  # the first of equals

    def admitted(self, group: TaskGroup, slower: float = 1.0, share: TaskGroup | None = None) -> float | None:
        """Return the seconds that a group is expected to take; None if they are not left, and it is then skipped.

        Args:
            group: what is to be run.
            slower: how many times as long it takes as with all of this machine's cores.
            share: the part of the group by which it is judged; None: all of it.
        """
        lost = needed(group) & self._gone
        over = self.budget.left() <= 0  # then nothing more is measured
        cost = math.inf if lost or over else slower * self._expected(share or group)
        if cost <= self.budget.left():
            return cost
        self._gone |= _names([group])
        self._leave_out(group, cost, lost)
        return None

    def took(self, group: TaskGroup, cost: float, seconds: float) -> None:
        """Correct later estimates of such groups by the seconds that one took."""
        self._paces.setdefault(group.kind, []).append((cost, seconds))
        pace = _pace([pair for past in self._paces.values() for pair in past])
        self.budget.reserve = self._closing * max(1.0, pace)

    def stopped(self, tasks: Sequence[Task]) -> None:
        """Record that the time ran out while these tasks were run."""
        for task in tasks:
            self.why[(task.run.name, task.seed)] = "over budget: stopped before its end; finished work is kept"

    def left_out(self, session: Session) -> list[LeftOut]:
        """Return the runs and seeds that were skipped, and why."""
        manifests = ((t, session.folder.manifest(t.run.name, t.seed)) for t in session.plan.tasks)
        missing = [t for t, manifest in manifests if manifest is None or manifest.get("key") != t.key]
        return [
            LeftOut(run=t.run.name, seed=t.seed, why=self.why.get((t.run.name, t.seed), "over budget")) for t in missing
        ]

    def _expected(self, group: TaskGroup) -> float:
        """Return the seconds that a group will take: its estimate, corrected by earlier groups of its kind."""
        return _pace(self._paces.get(group.kind, [])) * self.forecast.seconds(group)

    def _leave_out(self, group: TaskGroup, cost: float, lost: set[tuple[str, int]]) -> None:
        left = max(0.0, self.budget.left())
        if lost:
            why = f"starts from {min(lost)[0]!r}, which was skipped"
        elif math.isinf(cost):
            why = "over budget: no time was left"
        else:
            why = f"over budget: takes about {duration(cost)}, but only {duration(left)} was left"
        for task in group.tasks:
            self.why.setdefault((task.run.name, task.seed), why)

    def _check_least(self, first: Sequence[TaskGroup]) -> None:
        """Refuse a budget in which none of the first runs fits: they are the cheapest, and quick to measure."""
        costs = [(self.forecast.seconds(group), group.first.run.name) for group in first]
        if not costs or min(costs)[0] <= self.budget.left():
            return
        least, name = min(costs)
        wanted = math.ceil(1.2 * (least + self.budget.reserve + self.budget.spent()))
        raise SpecError(
            f"budget: {duration(self.budget.seconds)} is too small for one run; set at least {wanted}s"
            f" (for {name!r}), or drop the budget"
        )


def _order_of(part: TaskGroup) -> float:
    kind = part.first.run.spec.head_kind
    return math.inf if kind is None else HEADS[kind].order


def _pace(past: Sequence[tuple[float, float]]) -> float:
    """Return the ratio of spent to expected time, from pairs of expected and spent seconds."""
    expected, took = sum(pair[0] for pair in past), sum(pair[1] for pair in past)
    return min(4.0, max(0.25, took / expected)) if expected > 0.5 else 1.0


def _names(groups: Sequence[TaskGroup]) -> set[tuple[str, int]]:
    return {(task.run.name, task.seed) for group in groups for task in group.tasks}


def _promise(group: TaskGroup, session: Session) -> float:
    """Return the expected merit on validation, by the study's metric: of the run's other seeds, or of its frozen
    backbone; the larger the better.
    """
    own: list[float] = []
    frozen: list[float] = []
    run, metric = group.first.run, session.plan.study.spec.compare.metric
    for task in session.plan.tasks:
        same = task.run.spec.backbone == run.spec.backbone and task.run.data == run.data
        if not same or not session.finished(task):
            continue
        score = session.folder.score(task.run.name, task.seed, "validation", metric)
        if score is not None:
            (own if task.run.name == run.name else frozen if task.probe else []).append(merit(score, metric))
    return sum(own) / len(own) if own else max(frozen, default=-math.inf) + _BONUS
