"""Few-shot evaluation from stored features to a table: methods × shots, with intervals and paired comparisons."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from headstart.data.dataset import Dataset
from headstart.errors import DataError, SpecError, choose
from headstart.fewshot.comparisons import PairOfMethods, compare_pairs
from headstart.fewshot.episodes import Episodes, sample_episodes
from headstart.fewshot.intervals import Interval, class_interval, episode_interval
from headstart.fewshot.methods import METHODS, TRANSDUCTIVE
from headstart.fewshot.scores import EpisodeScores, evaluate_episodes
from headstart.notebook import Shown

Judge = Callable[[Episodes], EpisodeScores]  # a method that needs more than features, such as the images


@dataclass(frozen=True)
class FewShotSpec:
    """Which episodes are drawn, and which methods classify them.

    Args:
        ways, queries: classes an episode, and images of each that are classified.
        shots: labelled images a class; each number has its own set of episodes.
        episodes: how many for each number of shots.
        methods: names of METHODS, or of the judges that `run_fewshot` is given.
        seed: of the episodes.
        classes: the classes to draw from; None: all.
        dirichlet: concentration of the query set's class proportions; None: as many of each class.

    Raises:
        SpecError: no shots or methods, or one of them twice.
    """

    ways: int = 5
    shots: tuple[int, ...] = (1, 5)
    queries: int = 15
    episodes: int = 10_000
    methods: tuple[str, ...] = ("prototypes",)
    seed: int = 0
    classes: tuple[int, ...] | None = None
    dirichlet: float | None = None

    def __post_init__(self) -> None:
        _refuse_repeats("shots", self.shots)
        _refuse_repeats("methods", self.methods)


@dataclass(frozen=True)
class LabelledFeatures:
    """The images that episodes are drawn from.

    Args:
        labels: [n] class of each image.
        class_names: by class, for messages.
        features: [n, d]; may be a memory map; None where every method is a judge.
        base_mean: [d] mean feature of the base classes, for methods that centre.
        name: of the dataset.
    """

    labels: Int[np.ndarray, " n"]
    class_names: Sequence[str]
    features: Float[np.ndarray, "n d"] | None = None
    base_mean: Float[np.ndarray, " d"] | None = None
    name: str = ""


@dataclass(frozen=True)
class FewShotRow:
    """One method at one number of shots.

    Args:
        method, shots: which.
        transductive: whether the method sees all queries of an episode together.
        accuracy, low, high: mean over episodes and its 95 % interval for the same classes and images (None where
            there is one episode only).
        new_classes: the interval for new classes of the same kind, or None where the data do not say.
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
class FewShotResult(Shown):
    """The table of a few-shot evaluation.

    Args:
        rows: one for each number of shots and method.
        comparisons: every two methods on the same episodes, by shots.
        scores: the accuracies themselves, by shots and method.
        ways, queries, seed, classes: of the episodes; how many classes they were drawn from.
        seconds: in total, without computing features.
        name: of the dataset.
    """

    rows: list[FewShotRow]
    comparisons: dict[int, list[PairOfMethods]]
    scores: dict[int, dict[str, EpisodeScores]]
    ways: int
    queries: int
    seed: int
    classes: int
    seconds: float
    name: str = ""

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


def check_one_label(dataset: Dataset) -> None:
    """Refuse images with several labels.

    Raises:
        DataError: the dataset has several.
    """
    if dataset.multi_label:
        raise DataError(f"{dataset.name}: episodes need one label per image; this dataset has several")


def draw_episodes(data: LabelledFeatures, spec: FewShotSpec) -> dict[int, Episodes]:
    """Return the episodes for each number of shots, after checking that there are enough images.

    Raises:
        SpecError: numbers that are not positive, more ways than classes.
        DataError: a class with too few images.
    """
    return {
        shots: sample_episodes(
            data.labels,
            spec.ways,
            shots,
            spec.queries,
            spec.episodes,
            spec.seed,
            classes=spec.classes,
            dirichlet=spec.dirichlet,
            class_names=data.class_names,
        )
        for shots in spec.shots
    }


def run_fewshot(
    data: LabelledFeatures,
    spec: FewShotSpec,
    *,
    judges: Mapping[str, Judge] | None = None,
    device: str | torch.device = "cpu",
) -> FewShotResult:
    """Evaluate episodic classifiers; every request is checked before any work.

    Args:
        data: stored features and their labels.
        spec: the episodes and the methods.
        judges: methods that judge episodes over these rows by more than features.
        device: where to compute.

    Raises:
        SpecError: an unknown method, a method on features without features, or as `draw_episodes`.
        DataError: a class with too few images.
    """
    started = time.perf_counter()
    judges = judges or {}
    for name in spec.methods:
        choose("few-shot method", name, {**METHODS, **judges})
        if data.features is None and name not in judges:
            raise SpecError(f"few-shot method {name!r} needs features, and none were given")
    episodes = draw_episodes(data, spec)
    scores = {shots: _score(data, drawn, spec.methods, judges, device) for shots, drawn in episodes.items()}
    return FewShotResult(
        rows=[_row(score, episodes[shots]) for shots, found in scores.items() for score in found.values()],
        comparisons={shots: _compared(found, spec.ways * spec.queries) for shots, found in scores.items()},
        scores=scores,
        ways=spec.ways,
        queries=spec.queries,
        seed=spec.seed,
        classes=len(next(iter(episodes.values())).pool),
        seconds=time.perf_counter() - started,
        name=data.name,
    )


def _score(
    data: LabelledFeatures,
    episodes: Episodes,
    methods: Sequence[str],
    judges: Mapping[str, Judge],
    device: str | torch.device,
) -> dict[str, EpisodeScores]:
    """Return each method's scores, in the order asked for; methods on features are computed together."""
    found: dict[str, EpisodeScores] = {}
    if on_features := [name for name in methods if name not in judges]:
        assert data.features is not None
        found = evaluate_episodes(data.features, episodes, on_features, base_mean=data.base_mean, device=device)
    return {name: found[name] if name in found else judges[name](episodes) for name in methods}


def _compared(scores: Mapping[str, EpisodeScores], queries: int) -> list[PairOfMethods]:
    first = next(iter(scores.values()))
    if len(first.accuracy) < 2:
        return []
    return compare_pairs({name: score.accuracy for name, score in scores.items()}, first.classes, queries)


def _refuse_repeats(kind: str, values: Sequence[object]) -> None:
    if not values:
        raise SpecError(f"{kind}: none were given; give at least one")
    repeated = sorted({str(value) for value in values if list(values).count(value) > 1})
    if repeated:
        raise SpecError(f"{kind}: {', '.join(repeated)} given more than once; give each once")


def _row(score: EpisodeScores, episodes: Episodes) -> FewShotRow:
    several = len(score.accuracy) > 1
    interval = episode_interval(score.accuracy, episodes.ways * episodes.queries) if several else None
    return FewShotRow(
        method=score.method,
        shots=episodes.shots,
        transductive=score.method in TRANSDUCTIVE,
        accuracy=score.mean,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        new_classes=class_interval(score.accuracy, score.classes) if several else None,
        episodes=len(score.accuracy),
        episodes_per_second=len(score.accuracy) / max(score.seconds, 1e-9),
    )
