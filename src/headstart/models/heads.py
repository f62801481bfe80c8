"""Heads: what maps features to classes, each rebuilt from a small config and its state dict."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from headstart.errors import ModelError, choose

SMALLEST_NORM = 1e-12  # a feature row of zeros stays a row of zeros
QUERIES = 1024  # rows compared with the bank at a time


class LinearHead(nn.Module):
    """Class scores that are linear in the (centred, scaled, length-normalised) features.

    logits = weight · l2((features - centre) / scale) + bias. Centring or scaling that comes after the
    length normalisation, or without it, is folded into `weight` and `bias`.

    Args:
        dim: d, the number of features.
        classes: C, the number of classes.
        l2: divide each row by its euclidean length, after centring and scaling.
        centred: hold a `centre` [d] to subtract (zero until loaded).
        scaled: hold a `scale` [d] to divide by (one until loaded).
        multi_label: an image may have several classes: probabilities are sigmoids, not a softmax.
    """

    centre: Tensor | None
    scale: Tensor | None

    def __init__(
        self,
        dim: int,
        classes: int,
        *,
        l2: bool = False,
        centred: bool = False,
        scaled: bool = False,
        multi_label: bool = False,
    ) -> None:
        super().__init__()
        self.l2, self.multi_label = l2, multi_label
        self.weight = nn.Parameter(torch.zeros(classes, dim))
        self.bias = nn.Parameter(torch.zeros(classes))
        self.register_buffer("centre", torch.zeros(dim) if centred else None)
        self.register_buffer("scale", torch.ones(dim) if scaled else None)

    @property
    def dim(self) -> int:
        """The number of features."""
        return self.weight.shape[1]

    @property
    def classes(self) -> int:
        """The number of classes."""
        return self.weight.shape[0]

    def forward(self, features: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """Return the logits."""
        prepared = normalised(features, self.centre, self.scale, self.l2)
        return functional.linear(prepared, self.weight, self.bias)

    def probabilities(self, features: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """Return a probability per class: rows sum to one, unless the head is multi-label."""
        return class_probabilities(self.forward(features), multi_label=self.multi_label)

    def config(self) -> dict[str, Any]:
        """Return what `build_head` needs to rebuild the module, before its state dict is loaded."""
        return {
            "kind": "linear",
            "dim": self.dim,
            "classes": self.classes,
            "l2": self.l2,
            "centred": self.centre is not None,
            "scaled": self.scale is not None,
            "multi_label": self.multi_label,
        }


class NearestNeighbourHead(nn.Module):
    """Votes of the k most similar stored rows; logits are the logarithms of the smoothed shares of votes.

    Args:
        dim: d, the number of features.
        classes: C, the number of classes.
        size: m, the number of stored rows.
        k: how many neighbours vote.
        metric: "cosine" or "euclidean".
        weights: "uniform" (one vote each) or "distance" (exp(similarity / temperature); the similarity is
            the cosine, or minus half the squared distance in units of the stored rows' mean square length).
        temperature: of the distance weights.
        centred, scaled: hold a `centre`, a `scale` [d] applied first.
        multi_label: stored labels are bool [m, C] and the share of votes is read per class.
    """

    centre: Tensor | None
    scale: Tensor | None
    bank: Tensor
    bank_labels: Tensor
    unit: Tensor

    def __init__(
        self,
        dim: int,
        classes: int,
        size: int,
        *,
        k: int = 5,
        metric: str = "cosine",
        weights: str = "uniform",
        temperature: float = 0.07,
        centred: bool = False,
        scaled: bool = False,
        multi_label: bool = False,
    ) -> None:
        super().__init__()
        choose("metric", metric, SIMILARITIES)
        choose("weighting of neighbours", weights, WEIGHTINGS)
        if not 1 <= k <= size:
            raise ModelError(f"k = {k} neighbours of {size} stored rows: k must be between 1 and {size}")
        self.classes, self.k, self.metric, self.weights = classes, k, metric, weights
        self.temperature, self.multi_label = temperature, multi_label
        self.register_buffer("centre", torch.zeros(dim) if centred else None)
        self.register_buffer("scale", torch.ones(dim) if scaled else None)
        self.register_buffer("bank", torch.zeros(size, dim))
        shape, kind = ((size, classes), torch.bool) if multi_label else ((size,), torch.int64)
        self.register_buffer("bank_labels", torch.zeros(shape, dtype=kind))
        self.register_buffer("unit", torch.ones(()))

    @property
    def dim(self) -> int:
        """The number of features."""
        return self.bank.shape[1]

    def forward(self, features: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """Return the logits (of shares of votes, smoothed by one vote spread over the classes)."""
        logits = features.new_empty(len(features), self.classes)
        for start in range(0, len(features), QUERIES):
            logits[start : start + QUERIES] = self.block(features[start : start + QUERIES])
        return logits

    def block(self, features: Tensor) -> Tensor:
        """Return the logits of rows that are compared with the bank all at once."""
        prepared = normalised(features, self.centre, self.scale, self.metric == "cosine")
        similarity, index = SIMILARITIES[self.metric](prepared, self.bank).topk(self.k, dim=1)
        return vote(
            similarity / self.unit,
            self.bank_labels[index],
            classes=self.classes,
            weights=self.weights,
            temperature=self.temperature,
        )

    def probabilities(self, features: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """Return a probability per class: rows sum to one, unless the head is multi-label."""
        return class_probabilities(self.forward(features), multi_label=self.multi_label)

    def config(self) -> dict[str, Any]:
        """Return what `build_head` needs to rebuild the module, before its state dict is loaded."""
        return {
            "kind": "neighbours",
            "dim": self.dim,
            "classes": self.classes,
            "size": len(self.bank),
            "k": self.k,
            "metric": self.metric,
            "weights": self.weights,
            "temperature": self.temperature,
            "centred": self.centre is not None,
            "scaled": self.scale is not None,
            "multi_label": self.multi_label,
        }


class SelectedClasses(nn.Module):
    """Some of a head's classes, in another order: the probabilities of the others are shared among them.

    Args:
        head: a head of more classes.
        columns: for each class, its place among the head's outputs.
    """

    def __init__(self, head: LinearHead | NearestNeighbourHead, columns: Sequence[int]) -> None:
        super().__init__()
        if not columns or len(set(columns)) < len(columns) or not set(columns) <= set(range(head.classes)):
            raise ModelError(f"columns {list(columns)} must be different outputs of a head that has {head.classes}")
        self.head, self.columns = head, list(columns)

    @property
    def multi_label(self) -> bool:
        """Return whether an image may have several classes."""
        return self.head.multi_label

    @property
    def classes(self) -> int:
        """The number of classes."""
        return len(self.columns)

    def forward(self, features: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """Return the logits of the selected classes."""
        logits: Tensor = self.head(features)
        return logits[:, self.columns]

    def probabilities(self, features: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """Return a probability per class: rows sum to one, unless the head is multi-label."""
        return class_probabilities(self.forward(features), multi_label=self.multi_label)

    def config(self) -> dict[str, Any]:
        """Return what `build_head` needs to rebuild the module, before its state dict is loaded."""
        return {"kind": "selected", "columns": self.columns, "head": self.head.config()}


Head = LinearHead | NearestNeighbourHead | SelectedClasses


def select_classes(head: nn.Module, columns: Sequence[int]) -> Head:
    """Return the head for these of its classes, in this order; the head itself where these are all of them.

    Raises:
        ModelError: it is none of headstart's heads, or has no such classes.
    """
    if not isinstance(head, Head):
        raise ModelError(f"a {type(head).__name__} cannot be saved as a head; use one of {sorted(BUILDERS)}")
    if list(columns) == list(range(head.classes)):
        return head
    if isinstance(head, SelectedClasses):
        return SelectedClasses(head.head, [head.columns[column] for column in columns])
    return SelectedClasses(head, columns)


def kept_numbers(head: nn.Module) -> int:
    """Return how many numbers a head has learned: its parameters, and the rows that nearest neighbours are among."""
    rows = sum(module.bank.numel() for module in head.modules() if isinstance(module, NearestNeighbourHead))
    return rows + sum(p.numel() for p in head.parameters())


def class_probabilities(logits: Float[Tensor, "n c"], *, multi_label: bool) -> Float[Tensor, "n c"]:
    """Return a probability per class: each class's sigmoid where an image may have several, else the softmax."""
    return logits.sigmoid() if multi_label else logits.softmax(1)


def normalised(features: Tensor, centre: Tensor | None, scale: Tensor | None, l2: bool) -> Tensor:
    """Return features [n, d] centred, then scaled, then each row divided by its length."""
    if centre is not None:
        features = features - centre
    if scale is not None:
        features = features / scale
    return functional.normalize(features, dim=1, eps=SMALLEST_NORM) if l2 else features


def cosine_similarity(queries: Float[Tensor, "n d"], bank: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    """Return the inner products of rows that already have length one."""
    return queries @ bank.T


def euclidean_similarity(queries: Float[Tensor, "n d"], bank: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    """Return minus half the squared euclidean distances (never above zero)."""
    lengths = queries.square().sum(1, keepdim=True) + bank.square().sum(1)
    return torch.addmm(lengths, queries, bank.T, beta=-0.5, alpha=1.0).clamp(max=0.0)


def vote(
    similarity: Float[Tensor, "n k"],
    labels: Int[Tensor, "n k"] | Tensor,
    *,
    classes: int,
    weights: str,
    temperature: float,
) -> Float[Tensor, "n c"]:
    """Return logits from the labels of each row's neighbours, the nearest first.

    Labels [n, k, C] of bool mean several classes a neighbour: the logits are then per class, for a sigmoid.
    A tie of uniform votes goes to the class of lower index.
    """
    share = WEIGHTINGS[weights](similarity, temperature)
    smooth = 1.0 / similarity.shape[1]
    if labels.dim() == 3:
        votes = (share[:, :, None] * labels).sum(1).clamp(max=1.0)
        return torch.log(votes + smooth / 2) - torch.log(1 - votes + smooth / 2)
    votes = similarity.new_zeros(similarity.shape[0], classes).scatter_add_(1, labels, share)
    return torch.log(votes + smooth / classes)


def uniform_weights(similarity: Float[Tensor, "n k"], temperature: float) -> Float[Tensor, "n k"]:
    """Return one k-th for each neighbour."""
    return torch.full_like(similarity, 1.0 / similarity.shape[1])


def distance_weights(similarity: Float[Tensor, "n k"], temperature: float) -> Float[Tensor, "n k"]:
    """Return shares in proportion to exp(similarity / temperature)."""
    return torch.softmax(similarity / temperature, dim=1)


SIMILARITIES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cosine": cosine_similarity,
    "euclidean": euclidean_similarity,
}
WEIGHTINGS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "uniform": uniform_weights,
    "distance": distance_weights,
}


def _build_selected(columns: Sequence[int], head: Mapping[str, Any]) -> SelectedClasses:
    inner = build_head(head)
    assert not isinstance(inner, SelectedClasses), "a selection is never nested"
    return SelectedClasses(inner, columns)


BUILDERS: dict[str, Callable[..., Head]] = {
    "linear": LinearHead,
    "neighbours": NearestNeighbourHead,
    "selected": _build_selected,
}


def head_config(head: nn.Module) -> dict[str, Any]:
    """Return a small JSON-able dict from which `build_head` rebuilds the head.

    Raises:
        ModelError: it is none of headstart's heads.
    """
    if not isinstance(head, Head):
        raise ModelError(f"a {type(head).__name__} cannot be saved as a head; use one of {sorted(BUILDERS)}")
    return head.config()


def build_head(config: Mapping[str, Any]) -> Head:
    """Return the head that `head_config` described, ready for `load_state_dict`.

    Raises:
        SpecError: unknown kind.
        ModelError: options that the kind does not have, or that are missing.
    """
    options = dict(config)
    kind = str(options.pop("kind", ""))
    try:
        return choose("head", kind, BUILDERS)(**options)
    except TypeError as error:
        raise ModelError(f"a head of kind {kind!r} cannot be built from {options}: {error}") from error
