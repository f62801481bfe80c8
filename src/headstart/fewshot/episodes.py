"""Episodes: N-way K-shot tasks as index arrays over stored features, drawn lazily from an explicit seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Int

from headstart.errors import DataError, SpecError

IntArray = npt.NDArray[np.int64]

_CHUNK_IMAGES = 1 << 20  # images drawn from one generator at most
_CHUNK_EPISODES = 4096
_COMPARE_UP_TO = 64  # draws per class up to which comparing with the earlier ones beats sorting keys


@dataclass(frozen=True)
class EpisodeBatch:
    """A batch of episodes: rows of support and query images.

    Args:
        first: number of the first episode.
        classes: [b, ways] the dataset's class of each way.
        support: [b, ways * shots] rows, way by way.
        query: [b, ways * queries] rows, way by way.
        query_ways: [b, ways * queries] the way (0 … ways-1) of each query.
    """

    first: int
    classes: Int[np.ndarray, "b ways"]
    support: Int[np.ndarray, "b s"]
    query: Int[np.ndarray, "b q"]
    query_ways: Int[np.ndarray, "b q"]

    def __len__(self) -> int:
        return len(self.support)

    def __getitem__(self, part: slice) -> EpisodeBatch:
        start = part.indices(len(self))[0]
        return EpisodeBatch(
            self.first + start, self.classes[part], self.support[part], self.query[part], self.query_ways[part]
        )


@dataclass(frozen=True)
class Episodes:
    """A sequence of episodes, drawn again, bit for bit, in each iteration.

    Args:
        labels: [n] class of each row.
        ways, shots, queries: classes per episode, support and query images per class.
        count: number of episodes.
        seed: the seed.
        pool: the classes to draw from.
        dirichlet: concentration of the query set's class proportions, or None for a balanced one.
    """

    labels: Int[np.ndarray, " n"]
    ways: int
    shots: int
    queries: int
    count: int
    seed: int
    pool: Int[np.ndarray, " c"]
    dirichlet: float | None = None
    _sorted: _ByClass = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_sorted", _ByClass.of(self.labels, self.pool))

    def __len__(self) -> int:
        return self.count

    @property
    def per_draw(self) -> int:
        """How many episodes come from one generator: it depends on the sizes alone, not on memory or count."""
        return max(1, min(_CHUNK_EPISODES, _CHUNK_IMAGES // (self.ways * self._needed)))

    @property
    def rows(self) -> Int[np.ndarray, " m"]:
        """All rows that episodes may use, class by class."""
        return self._sorted.rows

    @property
    def _needed(self) -> int:
        return self.shots + _most_queries(self.ways, self.queries, self.dirichlet)

    def batches(self, size: int) -> Iterator[EpisodeBatch]:
        """Yield the episodes in order, at most `size` at a time; memory does not grow with their number."""
        for chunk in range(-(-self.count // self.per_draw)):
            drawn = self._draw(chunk)
            for start in range(0, len(drawn), size):
                yield drawn[start : start + size]

    @cached_property
    def support(self) -> Int[np.ndarray, "e s"]:
        """All support rows [episodes, ways * shots] at once."""
        return np.concatenate([batch.support for batch in self.batches(self.per_draw)])

    @cached_property
    def query(self) -> Int[np.ndarray, "e q"]:
        """All query rows [episodes, ways * queries] at once."""
        return np.concatenate([batch.query for batch in self.batches(self.per_draw)])

    @cached_property
    def classes(self) -> Int[np.ndarray, "e ways"]:
        """The classes of every episode [episodes, ways]."""
        return np.concatenate([batch.classes for batch in self.batches(self.per_draw)])

    @cached_property
    def query_ways(self) -> Int[np.ndarray, "e q"]:
        """The way of every query [episodes, ways * queries]."""
        return np.concatenate([batch.query_ways for batch in self.batches(self.per_draw)])

    def _draw(self, chunk: int) -> EpisodeBatch:
        first = chunk * self.per_draw
        generator = np.random.default_rng([self.seed, chunk])
        b, ways = self.per_draw, self.ways
        chosen = _distinct(generator, np.full(b, len(self.pool)), ways).T  # [b, ways]
        by_class = self._sorted
        places = _distinct(generator, by_class.sizes[chosen.ravel()], self._needed)
        images = by_class.rows[by_class.starts[chosen.ravel()] + places].T.reshape(b, ways, -1)
        support = images[:, :, : self.shots].reshape(b, -1)
        candidates = images[:, :, self.shots :]
        if self.dirichlet is None:
            query = candidates.reshape(b, -1)
            query_ways = np.broadcast_to(np.repeat(np.arange(ways), self.queries), query.shape)
        else:
            counts = _dirichlet_counts(generator, b, ways, ways * self.queries, self.dirichlet)
            taken = np.arange(candidates.shape[2]) < counts[:, :, None]
            query = candidates[taken].reshape(b, -1)
            query_ways = np.nonzero(taken)[1].reshape(b, -1)
        whole = EpisodeBatch(first, self.pool[chosen], support, query, query_ways)
        return whole[: min(b, self.count - first)]


def sample_episodes(
    labels: Int[np.ndarray, " n"],
    ways: int,
    shots: int,
    queries: int,
    episodes: int,
    seed: int,
    *,
    classes: Sequence[int] | None = None,
    dirichlet: float | None = None,
    class_names: Sequence[str] | None = None,
) -> Episodes:
    """Return episodes drawn uniformly: `ways` of the classes, then distinct images of each.

    With `dirichlet`, the query set keeps its size but its class proportions come from a symmetric Dirichlet
    distribution (Veilleux et al. 2021, Realistic evaluation of transductive few-shot learning).

    Raises:
        SpecError: a number that is not positive, or more ways than classes.
        DataError: a class with too few images; the message names it.
    """
    for name, value in (("ways", ways), ("shots", shots), ("queries", queries), ("episodes", episodes)):
        if value < 1:
            raise SpecError(f"{name}: {value} was asked for; it must be at least 1")
    if ways < 2:
        raise SpecError("ways: 1 was asked for; with one class there is nothing to classify; ask for at least 2")
    if dirichlet is not None and not dirichlet > 0:
        raise SpecError(f"dirichlet: {dirichlet} was asked for; the concentration must be above 0 (2 is usual)")
    labels = np.asarray(labels, dtype=np.int64)
    pool = np.unique(labels) if classes is None else np.asarray(sorted(set(classes)), dtype=np.int64)
    if ways > len(pool):
        raise SpecError(f"{ways} ways were asked for, but there are {len(pool)} classes; ask for {len(pool)} or fewer")
    _refuse_small_classes(labels, pool, ways, shots, queries, dirichlet, class_names)
    return Episodes(labels, ways, shots, queries, episodes, seed, pool, dirichlet)


def classes_with(labels: Int[np.ndarray, " n"], images: int) -> list[int]:
    """Return the classes that have at least `images` images, in order."""
    classes, counts = np.unique(labels, return_counts=True)
    return [int(c) for c in classes[counts >= images]]


@dataclass(frozen=True)
class _ByClass:
    """The rows of a pool of classes, class by class."""

    rows: IntArray
    starts: IntArray
    sizes: IntArray

    @classmethod
    def of(cls, labels: IntArray, pool: IntArray) -> _ByClass:
        order = np.argsort(labels, kind="stable")
        left = np.searchsorted(labels[order], pool, side="left")
        sizes = np.searchsorted(labels[order], pool, side="right") - left
        parts = [order[a : a + m] for a, m in zip(left, sizes, strict=True)]
        rows = np.concatenate(parts)
        return cls(rows.astype(np.int64), np.cumsum(sizes) - sizes, sizes)


def _most_queries(ways: int, queries: int, dirichlet: float | None) -> int:
    """The most queries that one class may have to provide: all of them where proportions are random."""
    return queries if dirichlet is None else ways * queries


def _refuse_small_classes(
    labels: IntArray,
    pool: IntArray,
    ways: int,
    shots: int,
    queries: int,
    dirichlet: float | None,
    names: Sequence[str] | None,
) -> None:
    needed = shots + _most_queries(ways, queries, dirichlet)
    sizes = _ByClass.of(labels, pool).sizes
    small = np.flatnonzero(sizes < needed)
    if not len(small):
        return
    worst = int(small[np.argmin(sizes[small])])
    number = int(pool[worst])
    name = repr(names[number]) if names is not None else str(number)
    most = f"{queries} queries" if dirichlet is None else f"up to {ways * queries} queries (uneven proportions)"
    others = f" ({len(small)} classes have too few)" if len(small) > 1 else ""
    raise DataError(
        f"class {name} has {sizes[worst]} images, but {shots} shot{'s' * (shots != 1)} + {most} = {needed} are needed"
        f"{others}; ask for fewer shots or queries, or leave such classes out"
    )


def _distinct(generator: np.random.Generator, sizes: IntArray, k: int) -> IntArray:
    """Draw, for each size m, `k` distinct numbers below m in uniformly random order: [k, len(sizes)]."""
    if k > _COMPARE_UP_TO:
        return _distinct_by_keys(generator, sizes, k)
    drawn = np.empty((k, len(sizes)), dtype=np.int32 if sizes.max() < 2**31 else np.int64)
    for j in range(k):
        drawn[j] = generator.random(len(sizes)) * sizes
        again = np.flatnonzero((drawn[:j] == drawn[j]).any(axis=0))
        while len(again):  # drawn before in this column: draw again
            drawn[j, again] = generator.random(len(again)) * sizes[again]
            again = again[(drawn[:j, again] == drawn[j, again]).any(axis=0)]
    return drawn.astype(np.int64)


def _distinct_by_keys(generator: np.random.Generator, sizes: IntArray, k: int) -> IntArray:
    """The same by sorting random keys, in slices, for many draws from each class."""
    out = np.empty((k, len(sizes)), dtype=np.int64)
    widest = int(sizes.max())
    step = max(1, (1 << 22) // widest)
    for start in range(0, len(sizes), step):
        part = sizes[start : start + step]
        keys = generator.random((len(part), widest))
        keys[np.arange(widest) >= part[:, None]] = 2.0
        out[:, start : start + step] = np.argsort(keys, axis=1)[:, :k].T
    return out


def _dirichlet_counts(
    generator: np.random.Generator, b: int, ways: int, total: int, concentration: float
) -> Int[np.ndarray, "b ways"]:
    """Round Dirichlet proportions to counts that add up to `total` (largest remainders)."""
    exact: Float[np.ndarray, "b ways"] = generator.dirichlet(np.full(ways, concentration), size=b) * total
    counts: Int[np.ndarray, "b ways"] = np.floor(exact).astype(np.int64)
    missing = total - counts.sum(axis=1)
    rank = np.argsort(np.argsort(counts - exact, axis=1, kind="stable"), axis=1, kind="stable")
    return np.asarray(counts + (rank < missing[:, None]))
