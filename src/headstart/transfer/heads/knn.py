"""k nearest neighbours: the rows themselves are the head; k, metric and weighting chosen on validation."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from headstart.errors import SpecError, choose
from headstart.models.heads import SIMILARITIES, WEIGHTINGS, NearestNeighbourHead, vote
from headstart.transfer.heads.catalogue import complete
from headstart.transfer.heads.feature_rows import Rows, Transform, wide
from headstart.transfer.heads.problem import Fitted, Problem, listed, numbers
from headstart.transfer.heads.selection import Score, Selection, score


def fit_neighbours(problem: Problem, options: Mapping[str, Any]) -> Fitted:
    """Fit a nearest-neighbour head, everything chosen on validation rows.

    The neighbours of each validation row are found once per metric; each k reads the first k of them.

    Options: `k`, `metric`, `weights`, `normalise` (lists; "none", "centre" or "standardise", since the
    cosine divides by the length itself), `temperature` (of the distance weights).

    Raises:
        SpecError: an option that does not exist or cannot be.
    """
    options = complete("knn", options)
    ks, notes = _counts(options["k"], len(problem.train))
    temperature = numbers("knn", "temperature", options["temperature"])[0]
    selection: Selection[NearestNeighbourHead] = Selection(problem.multi_label, problem.metric)
    labels = problem.labels_of(problem.train)
    for normalise in listed(options["normalise"]):
        for metric in listed(options["metric"]):
            choose("metric", metric, SIMILARITIES)
            transform = _transform(problem, normalise, metric)
            rows, held = problem.train_rows(transform), problem.validation_rows(transform)
            unit = mean_square(rows) if metric == "euclidean" else 1.0
            found = None if held is None else nearest(held, rows, metric, max(ks))
            for k in ks:
                for weights in listed(options["weights"]):
                    how = {"k": k, "metric": metric, "weights": weights, "normalise": normalise}
                    choose("weighting of neighbours", weights, WEIGHTINGS)
                    result = None
                    if found is not None:
                        result = _score(problem, found, labels, how, temperature, unit)
                    make = partial(_head, problem, rows, transform, how, temperature, unit)
                    selection.offer(how, result, make, simplicity=(float(k),))
    return Fitted(selection.value, selection.chosen, selection.tried, notes)


def nearest(queries: Rows, bank: Rows, metric: str, k: int) -> tuple[Float[Tensor, "n k"], Int[Tensor, "n k"]]:
    """Return similarities and places of the k most similar rows of the bank, the nearest first."""
    similarity = SIMILARITIES[metric]
    best: list[Tensor] = []
    where: list[Tensor] = []
    for _, block in queries.blocks(1024):
        values = torch.empty(len(block), 0, device=block.device)
        places = torch.empty(len(block), 0, dtype=torch.int64, device=block.device)
        for place, rows in bank.blocks():
            close = similarity(block, rows)
            top, index = close.topk(min(k, close.shape[1]), dim=1)
            values, places = torch.cat([values, top], 1), torch.cat([places, index + place.start], 1)
            if values.shape[1] > k:
                values, order = values.topk(k, dim=1)
                places = places.gather(1, order)
        best.append(values)
        where.append(places)
    return torch.cat(best), torch.cat(where)


def mean_square(rows: Rows) -> float:
    """Return the mean squared length of the rows (one if all are zero)."""
    total = sum(float(block.square().sum(dtype=wide(block.device))) for _, block in rows.blocks())
    return total / len(rows) or 1.0


def _counts(value: Any, n: int) -> tuple[list[int], list[str]]:
    counts = numbers("knn", "k", value, above=1.0, equal=True)
    if any(count != int(count) for count in counts):
        raise SpecError(f"knn: k = {value!r} must be whole numbers")
    small = [int(count) for count in counts if count <= n]
    if small:
        dropped = [int(count) for count in counts if count > n]
        return small, [f"k = {dropped} left out: only {n} training rows"] if dropped else []
    return [n], [f"k = {n}: there are only {n} training rows"]


def _transform(problem: Problem, normalise: str, metric: str) -> Transform:
    if normalise not in PREPARED:
        raise SpecError(f"knn: normalise = {normalise!r} must be one of {sorted(PREPARED)}")
    return problem.transform(PREPARED[normalise] if metric == "cosine" else normalise)


def _score(
    problem: Problem,
    found: tuple[Tensor, Tensor],
    labels: Tensor,
    how: Mapping[str, Any],
    temperature: float,
    unit: float,
) -> Score:
    k = how["k"]
    logits = vote(
        found[0][:, :k] / unit,
        labels[found[1][:, :k]],
        classes=problem.classes,
        weights=how["weights"],
        temperature=temperature,
    )
    return score(logits, problem.labels_of(problem.validation), problem.metric)


def _head(
    problem: Problem, rows: Rows, transform: Transform, how: Mapping[str, Any], temperature: float, unit: float
) -> NearestNeighbourHead:
    centre, scale = transform.before if transform.l2 else transform.after
    head = NearestNeighbourHead(
        rows.dim,
        problem.classes,
        len(rows),
        k=how["k"],
        metric=how["metric"],
        weights=how["weights"],
        temperature=temperature,
        centred=centre is not None,
        scaled=scale is not None,
        multi_label=problem.multi_label,
    )
    for place, block in rows.blocks():
        head.bank[place] = block.to(head.bank.device)
    head.bank_labels.copy_(problem.labels_of(problem.train))
    head.unit.fill_(unit)
    for name, value in (("centre", centre), ("scale", scale)):
        if value is not None:
            head.get_buffer(name).copy_(value)
    return head.eval()


PREPARED = {"none": "l2", "centre": "centre-l2", "standardise": "standardise-l2"}
