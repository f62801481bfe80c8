"""Which network first, where a budget is not enough for all: LogME of each on a few hundred training images decides.

The images are drawn from the training part of the study's first seed. How sure the order is: the share of pairs of
networks that two halves of these images order alike. No validation or test image is looked at.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np

from headstart.data.dataset import IntArray
from headstart.errors import DataError
from headstart.evaluate.transferability import logme, order_in_words
from headstart.progress import progress
from headstart.study.execution.budget import Budget, OverBudget
from headstart.study.execution.halving import features_of_rows
from headstart.study.execution.session import Session
from headstart.study.planning.plan import TaskGroup
from headstart.study.planning.priority import pretrained
from headstart.study.task import Task
from headstart.units import duration

FEWEST = 3  # networks, below which a proxy pass decides nothing
WORTH = 2  # a proxy pass is made of at most 1 / WORTH of the images: of more, the whole pass costs little more

Scores = tuple[float, float, float]  # LogME on all images that were drawn, and on each half of them


def order_by_proxy(session: Session, images: int, budget: Budget) -> None:
    """Put the pretrained networks of the plan in the order of their proxy scores, the best first, and record them.

    With fewer than three networks, several labels an image, too few images or too little time nothing changes, and a
    note says why.

    Args:
        session: its plan is replaced, and its state says what was found.
        images: how many training images are drawn.
        budget: what the proxy may spend.
    """
    groups = session.plan.groups
    frozen = [group for group in groups if pretrained(group)]

    def given_up(why: str) -> None:
        session.listener.note(f"no proxy pass: {why}; networks run in the order of the plan")

    if why := _why_not(frozen, images, session):
        given_up(why)
        return
    first = frozen[0].first
    train = session.resources.split(first.run.data, first.seed, first.run.subset).train
    drawn = np.sort(np.random.default_rng(0).permutation(train)[:images])
    scores: list[Scores] = []
    with progress("which network first", len(frozen), "networks") as ticker:
        for group in frozen:
            try:
                budget.check()
                scores.append(_scores(group.first, drawn, session))
            except OverBudget:
                given_up(f"its share of the budget, {duration(budget.seconds)}, was not enough")
                return
            except DataError as error:  # a half with fewer than two classes: nothing can be said
                given_up(str(error))
                return
            ticker.advance()
    ranked = sorted(zip(frozen, scores, strict=True), key=lambda pair: -pair[1][0])
    order = iter([group for group, _ in ranked])
    chosen = {id(group) for group in frozen}
    session.plan = replace(session.plan, groups=tuple(next(order) if id(g) in chosen else g for g in groups))
    session.state.proxy = facts(ranked, images)
    for words in order_in_words(session.state.proxy):
        session.listener.note(words)


def _why_not(frozen: list[TaskGroup], images: int, session: Session) -> str:
    """Return why a proxy pass over these groups would say nothing, or save nothing; "" if it is worth its time."""
    if len(frozen) < FEWEST:
        return f"{len(frozen)} {'network is' if len(frozen) == 1 else 'networks are'} frozen, and {FEWEST} are needed"
    first = frozen[0].first
    if session.resources.dataset(first.run.data).multi_label:
        return "an image has several labels"
    if any(group.first.run.data != first.run.data for group in frozen):
        return "the networks see different images"
    train = session.resources.split(first.run.data, first.seed, first.run.subset).train
    if len(train) < WORTH * images:
        return f"{len(train):,} training images are fewer than {WORTH} × {images}"
    return ""


def facts(ranked: list[tuple[TaskGroup, Scores]], images: int) -> dict[str, Any]:
    """Return what the report says: the scores in order, and how many pairs two halves of the images order alike."""
    pairs = list(combinations([scores for _, scores in ranked], 2))
    alike = sum((a[1] - b[1]) * (a[2] - b[2]) > 0 for a, b in pairs)
    rows = [{"network": _name(group.first), "logme": scores[0]} for group, scores in ranked]
    return {"images": images, "networks": rows, "pairs": len(pairs), "alike": int(alike)}


def _name(task: Task) -> str:
    spec = task.run.spec
    cut = "" if spec.truncate_at is None else f", up to {spec.truncate_at}"
    size = "" if spec.input_size is None else f", {spec.input_size} px"
    return f"{spec.backbone} ({spec.weights.name or spec.weights.path or spec.weights.run}{cut}{size})"


def _scores(task: Task, rows: IntArray, session: Session) -> Scores:
    """Return LogME on all of these rows, and on each half of them."""
    features, good = features_of_rows(task, rows, session.resources)
    labels = session.resources.dataset(task.run.data).labels[rows][good]
    kept = np.asarray(features, dtype=np.float32)[good]
    halves = (slice(0, None, 2), slice(1, None, 2))
    first, second = (logme(kept[half], labels[half]) for half in halves)
    return logme(kept, labels), first, second
