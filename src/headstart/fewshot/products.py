"""Inner products: all that an episode needs to know about its images.

Euclidean and cosine distances, prototypes, ridge and logistic regression, graphs: each is a function of inner
products alone. So the products of all images are computed once (the Gram matrix), and an episode of 100 images
reads a few thousand numbers of it instead of 100 feature vectors. Where the Gram matrix would be too large, the
same numbers are computed from the feature vectors, episode by episode.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from headstart.errors import DataError

GRAM_BYTES = 1 << 30  # above this the Gram matrix is not made
_GATHER_BYTES = 1 << 27  # feature vectors gathered at a time
_GATHER_COST = 100  # entries of the Gram matrix read in the time of gathering one feature vector (measured)


@dataclass(frozen=True)
class Products:
    """Inner products of rows of one feature matrix.

    Args:
        features: [n, d], not copied (a memory map is read row by row); None where there is a Gram matrix.
        gram: [m, m] of the rows in use, or None.
        place: [n] the row's place in the Gram matrix, or -1.
        norms: [n] squared length of each row.
        mean_products: [n] product of each row with the base mean, or None.
        mean_norm: squared length of the base mean.
    """

    features: np.ndarray | None
    gram: Float[Tensor, "m m"] | None
    place: Int[Tensor, " n"]
    norms: Float[Tensor, " n"]
    mean_products: Float[Tensor, " n"] | None
    mean_norm: float
    device: torch.device

    def between(self, left: Int[Tensor, "b r"], right: Int[Tensor, "b s"]) -> Float[Tensor, "b r s"]:
        """Return the products of each episode's `left` rows with its `right` rows."""
        if self.gram is None:
            return self._direct(left, right, 1)
        m = len(self.gram)
        index = self.place[left][:, :, None] * m + self.place[right][:, None, :]
        return torch.index_select(self.gram.view(-1), 0, index.reshape(-1)).view(index.shape)

    def group_means(self, left: Int[Tensor, "b r"], right: Int[Tensor, "b s"], shots: int) -> Float[Tensor, "b g s"]:
        """Return the same, averaged over each `shots` consecutive left rows: prototypes with `right`."""
        if self.gram is None:
            return self._direct(left, right, shots)
        m = len(self.gram)
        b, s = right.shape
        starts = (self.place[left] * m).view(b, -1, 1, shots)
        index = starts + self.place[right].view(b, 1, s, 1)  # the shots lie last: one bag each
        bags = torch.nn.functional.embedding_bag(index.view(-1, shots), self.gram.view(-1, 1), mode="sum")
        return bags.view(b, -1, s).div_(shots)

    def _direct(self, left: Int[Tensor, "b r"], right: Int[Tensor, "b s"], shots: int) -> Float[Tensor, "b g s"]:
        assert self.features is not None
        b, d = len(left), self.features.shape[1]
        out = torch.empty(b, left.shape[1] // shots, right.shape[1], device=self.device)
        step = max(1, _GATHER_BYTES // (4 * d * (left.shape[1] + right.shape[1])))
        for start in range(0, b, step):
            part = slice(start, start + step)
            a = self._gather(left[part])
            if shots > 1:
                a = a.view(len(a), -1, shots, d).mean(dim=2)
            torch.bmm(a, self._gather(right[part]).transpose(1, 2), out=out[part])
        return out

    def _gather(self, rows: Int[Tensor, "b r"]) -> Float[Tensor, "b r d"]:
        assert self.features is not None
        taken = np.take(self.features, rows.cpu().numpy().ravel(), axis=0)
        return torch.from_numpy(np.asarray(taken, dtype=np.float32)).to(self.device).view(*rows.shape, -1)


def make_products(
    features: Float[np.ndarray, "n d"],
    rows: Int[np.ndarray, " m"],
    *,
    reads: int | None = None,
    base_mean: Float[np.ndarray, " d"] | None = None,
    device: str | torch.device = "cpu",
    gram_bytes: int = GRAM_BYTES,
) -> Products:
    """Prepare the inner products among `rows`.

    Args:
        features: [n, d]; may be a memory map.
        rows: the rows that episodes may use, class by class (neighbours in memory are read together).
        reads: how many feature vectors the episodes would gather without a Gram matrix; where that is less work
            than the Gram matrix, it is not computed. None: compute it whenever it fits.
        base_mean: [d] mean feature of the base classes, for centring.
        gram_bytes: the largest Gram matrix.

    Raises:
        DataError: a feature that is not finite; the message names the row.
    """
    device = torch.device(device)
    n, m = len(features), len(rows)
    mean = None if base_mean is None else torch.from_numpy(np.array(base_mean, dtype=np.float32))
    norms = torch.zeros(n)
    mean_products = None if mean is None else torch.zeros(n)
    fits = 4 * m * m <= gram_bytes
    worth = reads is None or _GATHER_COST * reads >= m * m
    in_use = _in_slices(features, rows, norms, mean, mean_products, keep=fits and worth)
    place = torch.full((n,), -1, dtype=torch.int32 if m * m < 2**31 else torch.int64)
    place[torch.from_numpy(rows)] = torch.arange(m, dtype=place.dtype)
    return Products(
        features=None if in_use is not None else features,
        gram=None if in_use is None else _gram(in_use.to(device)),
        place=place.to(device),
        norms=norms.to(device),
        mean_products=None if mean_products is None else mean_products.to(device),
        mean_norm=0.0 if mean is None else float(mean @ mean),
        device=device,
    )


def _in_slices(
    features: np.ndarray,
    rows: np.ndarray,
    norms: Tensor,
    mean: Tensor | None,
    mean_products: Tensor | None,
    keep: bool,
) -> Tensor | None:
    """Fill in norms and mean products, a slice of rows at a time; return the rows' features if they are kept."""
    d = features.shape[1]
    kept = torch.empty(len(rows), d) if keep else None
    step = max(1, _GATHER_BYTES // (4 * d))
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        block = torch.from_numpy(np.asarray(features[part], dtype=np.float32))
        squares = torch.linalg.vecdot(block, block)
        if not bool(torch.isfinite(squares).all()):
            bad = int(part[int((~torch.isfinite(squares)).nonzero()[0])])
            raise DataError(f"the features of row {bad} are not finite; compute them again")
        norms[torch.from_numpy(part)] = squares
        if mean is not None and mean_products is not None:
            mean_products[torch.from_numpy(part)] = block @ mean
        if kept is not None:
            kept[start : start + len(part)] = block
    return kept


def _gram(x: Float[Tensor, "m d"], block: int = 1024) -> Float[Tensor, "m m"]:
    """Return x xᵀ, computing the upper half only."""
    m = len(x)
    gram = torch.empty(m, m, device=x.device)
    for i in range(0, m, block):
        gram[i : i + block, i:] = x[i : i + block] @ x[i:].T
        gram[i + block :, i : i + block] = gram[i : i + block, i + block :].T
    return gram
