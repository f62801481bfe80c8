"""Few-shot evaluation from stored features to a table: methods × shots, with intervals and paired comparisons."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from headstart.errors import SpecError, choose
from headstart.fewshot.episodes import Episodes, sample_episodes
from headstart.fewshot.intervals import Comparison, Interval, class_interval, compare_pairs, episode_interval
from headstart.fewshot.methods import METHODS, TRANSDUCTIVE
from headstart.fewshot.scores import EpisodeScores, evaluate_episodes

Judge = Callable[[Episodes], EpisodeScores]  # a method that needs more than features, such as the images


@dataclass(frozen=True)
class FewShotRow:
    """One method at one number of shots.

    Args:
        method, shots: which.
        transductive: whether the method sees all queries of an episode together.
        accuracy, low, high: mean over episodes and its 95 % interval for the same classes and images (None where
            there is one episode only).
        new_classes: the interval for new classes of the same kind, or None where there is no telling.
        episodes: how many.
        episodes_per_second: of this method, without what all methods share.
    """

    method: str
    shots: int
    transductive: bool
    accuracy: float
    low: float | None
    high: float | None
    new_classes: Interval | None
    episodes: int
    episodes_per_second: float


@dataclass(frozen=True)
class FewShotResult:
    """The table of a few-shot evaluation.

    Args:
        rows: one a method and number of shots.
        comparisons: every two methods on the same episodes, by shots.
        scores: the accuracies themselves, by shots and method.
        ways, queries, seed, classes: of the episodes; how many classes they were drawn from.
        seconds: all in all, after the stored features.
    """

    rows: list[FewShotRow]
    comparisons: dict[int, list[Comparison]]
    scores: dict[int, dict[str, EpisodeScores]]
    ways: int
    queries: int
    seed: int
    classes: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return all but the single accuracies, for JSON."""
        return {
            "ways": self.ways,
            "queries": self.queries,
            "seed": self.seed,
            "classes": self.classes,
            "seconds": self.seconds,
            "rows": [asdict(row) for row in self.rows],
            "comparisons": {
                str(shots): [pair.to_dict() for pair in pairs] for shots, pairs in self.comparisons.items()
            },
        }


def run_fewshot(
    features: Float[np.ndarray, "n d"] | None,
    labels: Int[np.ndarray, " n"],
    class_names: Sequence[str],
    *,
    ways: int = 5,
    shots: Sequence[int] = (1, 5),
    queries: int = 15,
    episodes: int = 10_000,
    methods: Sequence[str] = ("prototypes",),
    seed: int = 0,
    device: str | torch.device = "cpu",
    classes: Sequence[int] | None = None,
    dirichlet: float | None = None,
    base_mean: Float[np.ndarray, " d"] | None = None,
    judges: Mapping[str, Judge] | None = None,
) -> FewShotResult:
    """Judge episodic classifiers on stored features; every request is checked before any work.

    Args:
        features: [n, d]; may be a memory map; None where every method is one of `judges`.
        labels: [n] class of each row.
        class_names: by class, for messages.
        ways, queries, episodes, seed, classes, dirichlet: of the episodes (see `sample_episodes`).
        shots: each number makes its own set of episodes.
        methods: names of METHODS, or of `judges`.
        device: where to compute.
        base_mean: [d] mean feature of the base classes, for methods that centre.
        judges: methods that judge episodes over these rows by more than features.

    Raises:
        SpecError: unknown methods, numbers that are not positive, more ways than classes.
        DataError: a class with too few images.
    """
    started = time.perf_counter()
    _refuse_repeats("shots", shots)
    _refuse_repeats("methods", methods)
    judges = judges or {}
    for name in methods:
        choose("few-shot method", name, {**METHODS, **judges})
    plans = {
        k: sample_episodes(
            labels, ways, k, queries, episodes, seed, classes=classes, dirichlet=dirichlet, class_names=class_names
        )
        for k in shots
    }
    rows: list[FewShotRow] = []
    comparisons: dict[int, list[Comparison]] = {}
    scores: dict[int, dict[str, EpisodeScores]] = {}
    for k, plan in plans.items():
        quick = [name for name in methods if name not in judges]
        found: dict[str, EpisodeScores] = {}
        if quick:
            assert features is not None
            found = evaluate_episodes(features, plan, quick, base_mean=base_mean, device=device)
        scores[k] = {name: found[name] if name in found else judges[name](plan) for name in methods}
        rows += [_row(score, plan) for score in scores[k].values()]
        first = next(iter(scores[k].values()))
        comparisons[k] = (
            compare_pairs({name: score.accuracy for name, score in scores[k].items()}, first.classes)
            if episodes > 1
            else []
        )
    pool = len(next(iter(plans.values())).pool)
    return FewShotResult(rows, comparisons, scores, ways, queries, seed, pool, time.perf_counter() - started)


def _refuse_repeats(kind: str, values: Sequence[object]) -> None:
    if not values:
        raise SpecError(f"{kind}: none were given; give at least one")
    repeated = sorted({str(value) for value in values if list(values).count(value) > 1})
    if repeated:
        raise SpecError(f"{kind}: {', '.join(repeated)} given more than once; give each once")


def _row(score: EpisodeScores, plan: Episodes) -> FewShotRow:
    several = len(score.accuracy) > 1
    interval = episode_interval(score.accuracy) if several else None
    return FewShotRow(
        method=score.method,
        shots=plan.shots,
        transductive=score.method in TRANSDUCTIVE,
        accuracy=score.mean,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        new_classes=class_interval(score.accuracy, score.classes) if several else None,
        episodes=len(score.accuracy),
        episodes_per_second=len(score.accuracy) / max(score.seconds, 1e-9),
    )
