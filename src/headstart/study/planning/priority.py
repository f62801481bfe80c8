"""The order of a study: the most promising work first, so that a study that is stopped early has the best results.

No result depends on the order.

Baselines come first, then heads on the default backbone, then on other networks with trained weights (the smallest
first: only the cost of a pass is known beforehand), then on random weights; tuned networks come last, one seed of
each before the next seed of any. A run that starts or learns from another follows it.
"""

from __future__ import annotations

from collections.abc import Sequence

from headstart.study.planning.plan import TaskGroup
from headstart.study.resources import Resources
from headstart.study.spec.run import ResolvedStudy
from headstart.study.spec.schema import EPISODIC, RunSpec

BASELINE, DEFAULT, FROZEN, RANDOM, LEARNED = range(5)


def ordered(groups: Sequence[TaskGroup], study: ResolvedStudy, resources: Resources) -> list[TaskGroup]:
    """Return the groups, the most promising first, each after those that it starts or learns from."""
    preferred = preferred_backbone(study)
    turns = {seed: turn for turn, seed in enumerate(study.spec.seed_list)}
    ranks = [_rank(group, turns[group.first.seed], preferred, resources) for group in groups]
    waiting = [group for _, group in sorted(zip(ranks, groups, strict=True), key=lambda pair: pair[0])]
    names = {(task.run.name, task.seed) for group in groups for task in group.tasks}
    done: set[tuple[str, int]] = set()
    found: list[TaskGroup] = []
    while waiting:
        following = next(group for group in waiting if needed(group) & names <= done)
        waiting.remove(following)
        found.append(following)
        done |= {(task.run.name, task.seed) for task in following.tasks}
    return found


def kind_of(group: TaskGroup, preferred: str) -> int:
    """Return BASELINE, DEFAULT, FROZEN, RANDOM or LEARNED."""
    spec = group.first.run.spec
    if learns(group):
        return LEARNED
    if all(task.run.spec.is_baseline for task in group.tasks):
        return BASELINE
    if spec.weights.name == "none":
        return RANDOM
    return DEFAULT if spec.backbone == preferred else FROZEN


def learns(group: TaskGroup) -> bool:
    """Return whether a group learns a network, rather than heads on frozen features."""
    return group.kind == "tune" or group.first.run.spec.strategy in EPISODIC


def pretrained(group: TaskGroup) -> bool:
    """Return whether a group has heads on a frozen network whose weights are there before the study runs."""
    spec = group.first.run.spec
    own = spec.weights.name == "none" or spec.weights.run is not None
    return group.kind == "heads" and not own and not all(task.run.spec.is_baseline for task in group.tasks)


def needed(group: TaskGroup) -> set[tuple[str, int]]:
    """Return the runs and seeds that the tasks of a group start or learn from."""
    return {(source, task.seed) for task in group.tasks for source in task.run.sources}


def preferred_backbone(study: ResolvedStudy) -> str:
    """Return the backbone of the study's defaults, or headstart's own."""
    given = study.spec.defaults.get("backbone")
    return given if isinstance(given, str) else str(RunSpec.model_fields["backbone"].default)


def _rank(group: TaskGroup, turn: int, preferred: str, resources: Resources) -> tuple[int, int]:
    """Return the sort key of a group; groups of equal rank keep the order of the study file."""
    run, kind = group.first.run, kind_of(group, preferred)
    if kind == LEARNED:
        return (kind, turn)
    if kind in (FROZEN, RANDOM) and run.needs is None:
        stages = resources.loaded(run.network, group.first.seed).backbone.stages
        return (kind, sum(p.numel() for p in stages.parameters()))
    return (kind, 0)
