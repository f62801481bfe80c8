"""Images that look alike without being copies, such as bursts and sites; and images that look like no other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from headstart.audit.neighbours import nearest_pairs
from headstart.labelling.suggest import project
from headstart.units import percent

IntArray = npt.NDArray[np.int64]

_LEAST_ALIKE = 0.8  # cosine of centred features; below, nothing counts as the same scene
_QUANTILE = 0.99  # of nearest neighbours that have different labels: these are not of one scene
_PAIRS = 40_000
_NEIGHBOURS = 5
_FAR = 3.0  # spreads below the median likeness to the fifth neighbour: one image in 700 if they were normal
_BLOCK = 2048


def look_alikes(
    features: npt.NDArray[np.floating], labels: IntArray, same: IntArray, seed: int
) -> list[tuple[list[int], float]]:
    """Return (rows, cosine) of groups that look alike, the largest cosine first; copies are in no group together.

    Two images are alike if their cosine is larger than that of 99 % of the nearest neighbours with different labels.

    Args:
        features: [n, d].
        labels: int64 [n].
        same: int64 [n], the same number for copies of one photograph.
        seed: of the approximate search.
    """
    pairs = nearest_pairs(features, min(_PAIRS, 4 * len(features)), seed=seed)
    different = labels[pairs.a] != labels[pairs.b]
    least = max(_LEAST_ALIKE, float(np.quantile(pairs.cosine[different], _QUANTILE)) if different.any() else 0.0)
    alike = (pairs.cosine >= least) & ~different & (same[pairs.a] != same[pairs.b])
    a, b, cosine = pairs.a[alike], pairs.b[alike], pairs.cosine[alike]
    n = len(features)
    group = connected_components(coo_matrix((np.ones(len(a)), (a, b)), shape=(n, n)), directed=False)[1]
    members: dict[int, list[int]] = {}
    for row in np.unique(np.concatenate([a, b])).tolist():
        members.setdefault(int(group[row]), []).append(row)
    nearest: dict[int, float] = {}
    for row, value in zip(a.tolist(), cosine.tolist(), strict=True):
        nearest[int(group[row])] = max(value, nearest.get(int(group[row]), -1.0))
    return sorted(((rows, nearest[each]) for each, rows in members.items()), key=lambda found: (-found[1], found[0]))


def outliers(features: npt.NDArray[np.floating], seed: int) -> list[tuple[int, str]]:
    """Return (row, words) of images whose fifth nearest neighbour is unusually far away, the farthest first.

    Likeness is the cosine in the 64 principal directions; unusual is three robust standard deviations below the median.
    """
    n = len(features)
    if n <= 4 * _NEIGHBOURS:
        return []
    short = project(features, np.random.default_rng([seed, n]))
    fifth = np.empty(n, dtype=np.float32)
    for start in range(0, n, _BLOCK):
        products = short[start : start + _BLOCK] @ short.T
        fifth[start : start + len(products)] = -np.partition(-products, _NEIGHBOURS, axis=1)[:, _NEIGHBOURS]
    middle = float(np.median(fifth))
    spread = 1.4826 * float(np.median(np.abs(fifth - middle)))
    far = np.flatnonzero(fifth < middle - _FAR * max(spread, 1e-6))
    order = far[np.argsort(fifth[far], kind="stable")]
    words = f"alike; usual are {percent(middle, 0)}"
    return [(row, f"its fifth nearest image is {percent(fifth[row], 0)} {words}") for row in order.tolist()]
