"""Run episodic classifiers over episodes, as one batched computation on inner products."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from headstart.errors import DataError, choose
from headstart.fewshot.episodes import EpisodeBatch, Episodes
from headstart.fewshot.gram import episode_gram
from headstart.fewshot.methods import METHODS, Method
from headstart.fewshot.products import GRAM_BYTES, Products, make_products
from headstart.progress import progress

_BATCH_BYTES = 1 << 24  # of inner products, per batch of episodes


@dataclass(frozen=True)
class EpisodeScores:
    """The accuracy of one method on every episode.

    Args:
        method: its name.
        accuracy: [e] share of queries that were right.
        classes: [e, ways] the dataset's classes in each episode.
        seconds: the method's own time, without what all methods share.
    """

    method: str
    accuracy: Float[np.ndarray, " e"]
    classes: Int[np.ndarray, "e ways"]
    seconds: float

    @property
    def mean(self) -> float:
        """The mean accuracy over episodes."""
        return float(self.accuracy.mean(dtype=np.float64))


def evaluate_episodes(
    features: Float[np.ndarray, "n d"],
    episodes: Episodes,
    methods: Sequence[str] | Mapping[str, Method] = ("prototypes",),
    *,
    base_mean: Float[np.ndarray, " d"] | None = None,
    device: str | torch.device = "cpu",
    gram_bytes: int = GRAM_BYTES,
    on_predictions: Callable[[str, EpisodeBatch, Tensor], None] | None = None,
) -> dict[str, EpisodeScores]:
    """Evaluate each method on the same episodes.

    Args:
        features: [n, d] stored features; may be a memory map.
        episodes: over the rows of `features`.
        methods: names of METHODS, or functions by name.
        base_mean: [d] mean feature of the base classes, for methods that centre.
        device: where to compute.
        gram_bytes: the largest table of inner products among all images; above it, products are computed as needed.
        on_predictions: called with (method, batch, predicted ways [b, q]).

    Raises:
        SpecError: an unknown method.
        DataError: features and labels of different lengths, or a feature that is not finite.
    """
    chosen = _chosen(methods)
    if len(features) != len(episodes.labels):
        raise DataError(f"{len(features)} features, but {len(episodes.labels)} labels: they must be of one dataset")
    per_episode = episodes.ways * (episodes.shots + episodes.queries)
    products = make_products(
        features,
        episodes.rows,
        reads=len(episodes) * per_episode,
        base_mean=base_mean,
        device=device,
        gram_bytes=gram_bytes,
    )
    size = _batch_size(episodes, any(name not in _MEANS_ONLY for name in chosen))
    accuracy = {name: np.empty(len(episodes), dtype=np.float32) for name in chosen}
    seconds = dict.fromkeys(chosen, 0.0)
    classes = np.empty((len(episodes), episodes.ways), dtype=np.int64)
    with torch.inference_mode(), progress("Episodes", len(episodes), "episodes") as ticker:
        for batch in episodes.batches(size):
            part = slice(batch.first, batch.first + len(batch))
            classes[part] = batch.classes
            for name, correct in _judge(products, episodes, batch, chosen, seconds, on_predictions):
                accuracy[name][part] = correct
            ticker.advance(len(batch))
    return {name: EpisodeScores(name, accuracy[name], classes, seconds[name]) for name in chosen}


def first_best(scores: Float[Tensor, "b ways q"]) -> Int[Tensor, "b q"]:
    """Return the way with the highest score, the first of equals (argmax over a middle dimension is slow)."""
    best, way = scores[:, 0], torch.zeros_like(scores[:, 0], dtype=torch.int64)
    for other in range(1, scores.shape[1]):
        way.masked_fill_(scores[:, other] > best, other)
        best = torch.maximum(best, scores[:, other])
    return way


_MEANS_ONLY = frozenset({"prototypes", "cosine"})


def _chosen(methods: Sequence[str] | Mapping[str, Method]) -> dict[str, Method]:
    if isinstance(methods, Mapping):
        return dict(methods)
    return {name: choose("few-shot method", name, METHODS) for name in methods}


def _batch_size(episodes: Episodes, full: bool) -> int:
    """How many episodes at a time: their inner products stay near the caches."""
    support, query = episodes.ways * episodes.shots, episodes.ways * episodes.queries
    each = (support + query) ** 2 if full else support * query
    return max(1, min(episodes.per_draw, _BATCH_BYTES // (4 * each)))


def _judge(
    products: Products,
    episodes: Episodes,
    batch: EpisodeBatch,
    methods: Mapping[str, Method],
    seconds: dict[str, float],
    on_predictions: Callable[[str, EpisodeBatch, Tensor], None] | None,
) -> list[tuple[str, np.ndarray]]:
    gram = episode_gram(products, batch, episodes.ways, episodes.shots)
    truth = torch.from_numpy(batch.query_ways.copy()).to(products.device)
    out = []
    for name, method in methods.items():
        started = time.perf_counter()
        predicted = first_best(method(gram))
        right = (predicted == truth).float().mean(dim=1)
        out.append((name, right.cpu().numpy()))
        seconds[name] += time.perf_counter() - started
        if on_predictions is not None:
            on_predictions(name, batch, predicted)
    return out
