"""Episodes of noisy points around class centres, for tests of episodic classifiers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headstart.fewshot.episodes import Episodes, sample_episodes
from headstart.fewshot.gram import EpisodeGram, episode_gram
from headstart.fewshot.products import make_products

WAYS, SHOTS, QUERIES, D = 5, 5, 6, 40
TARGETS = np.repeat(np.arange(WAYS), SHOTS)
QUERY_WAYS = np.repeat(np.arange(WAYS), QUERIES)


def blobs(spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Nine classes of 20 points with standard deviation `spread`, whose centres differ by about 9."""
    generator = np.random.default_rng(7)
    centres = generator.standard_normal((9, D)) + 0.5
    labels = np.repeat(np.arange(9), 20)
    return (centres[labels] + spread * generator.standard_normal((180, D))).astype(np.float32), labels


@dataclass(frozen=True)
class Scene:
    """Features, and episodes over them."""

    features: np.ndarray
    episodes: Episodes

    def gram(self, base_mean: np.ndarray | None = None) -> EpisodeGram:
        """Return the inner products of all episodes."""
        batch = next(iter(self.episodes.batches(len(self.episodes))))
        products = make_products(self.features, self.episodes.rows, base_mean=base_mean)
        return episode_gram(products, batch, self.episodes.ways, self.episodes.shots)

    def episode(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the support and query features of one episode."""
        x = self.features.astype(np.float64)
        return x[self.episodes.support[i]], x[self.episodes.query[i]]


def scene(spread: float = 1.5, shots: int = SHOTS, episodes: int = 200) -> Scene:
    """Return episodes of five ways and six queries a way."""
    features, labels = blobs(spread)
    return Scene(features, sample_episodes(labels, WAYS, shots, QUERIES, episodes, seed=2))


def unit(x: np.ndarray) -> np.ndarray:
    """Return rows scaled to length one."""
    return np.asarray(x / np.linalg.norm(x, axis=-1, keepdims=True))


def prototypes_of(support: np.ndarray) -> np.ndarray:
    """Return the class means."""
    return np.asarray(support.reshape(WAYS, -1, support.shape[1]).mean(axis=1))


def distances(query: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return squared distances [queries, centres]."""
    return np.asarray(((query[:, None] - centres[None]) ** 2).sum(axis=2))
