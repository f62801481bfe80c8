"""How uncertainty is kept in a model's file: small tensors, and facts about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headstart.errors import HeadstartError, ModelError
from headstart.evaluate.uncertainty.answers import MOST_HELD_OUT, HeldOut, Uncertainty
from headstart.evaluate.uncertainty.appearance import APPEARANCE
from headstart.evaluate.uncertainty.costs import Costs
from headstart.evaluate.uncertainty.drift import DIMENSIONS, MOST_COMPARED, Sketch
from headstart.evaluate.uncertainty.familiarity import NEEDS, Reference, only_needed
from headstart.models.uncertainty import UncertaintyPart

_ROUNDING = 1e-3  # by which sums of probabilities may exceed 1
HALVED = ("whitening", "bank", "principal", "source", "shown")  # in half precision, divided by the largest number
_PARTS = 5  # that scores are made of
_HALVED_SKETCH, _NUMBERED = ("basis", "embeddings", "bank"), ("predicted", "bank_labels")


def rounded(reference: Reference, score: str) -> Reference:
    """Return the reference as a file keeps it for one score; calibrate with this one."""
    return _reference(_tensors(only_needed(reference, score)))


def halved(array: np.ndarray) -> tuple[np.ndarray, float]:
    """Return an array in half precision, divided by its largest number, and that number; 1 for an array of zeros."""
    largest = float(np.abs(array).max()) or 1.0
    return (array / largest).astype(np.float16), largest


def to_part(uncertainty: Uncertainty, seed: int = 0) -> UncertaintyPart:
    """Return what a model's file holds; of more than ten thousand held-out images, a random sample."""
    held, familiar = uncertainty.held_out, uncertainty.familiar
    rows = np.sort(np.random.default_rng(seed).permutation(len(held))[:MOST_HELD_OUT])
    tensors = {f"held_out.{each.name}": _tensor(getattr(held, each.name)[rows]) for each in fields(HeldOut)}
    if uncertainty.reference is not None:
        tensors["familiar"] = _tensor(familiar[rows])
        tensors |= {f"reference.{name}": each for name, each in _tensors(uncertainty.reference).items()}
    if uncertainty.sketch is not None:
        tensors |= {f"sketch.{each.name}": _sketched(uncertainty.sketch, each.name) for each in fields(Sketch)}
    facts: dict[str, Any] = {
        "score": uncertainty.score,
        "selection": uncertainty.selection,
        "notes": list(uncertainty.notes),
    }
    if uncertainty.costs is not None:
        tensors["costs"] = _tensor(uncertainty.costs.matrix)
        facts["ask"] = None if np.isinf(uncertainty.costs.ask) else uncertainty.costs.ask
    return UncertaintyPart(facts, tensors)


def from_part(part: UncertaintyPart, classes: int, features: int) -> Uncertainty:
    """Return what a model's file says of a model with this many classes.

    Args:
        part: what the file holds.
        classes: C.
        features: d of the embeddings of the model's first network.

    Raises:
        ModelError: it does not fit together.
    """
    try:
        return _read(part, classes, features)
    except HeadstartError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise ModelError(
            f"what the model's file says about its uncertainty does not fit: {' '.join(str(error).split()):.200}"
        ) from error


def _read(part: UncertaintyPart, classes: int, features: int) -> Uncertainty:
    facts, tensors = part.facts, part.tensors
    held = _held_out(part, classes)
    n = len(held)
    score, reference, familiar = str(facts["score"]), None, np.zeros(0)
    if score:
        unknown = f"this version of headstart has no familiarity score {score!r:.60}; run its study again"
        _demand(score in NEEDS, unknown)
        stored = {name.removeprefix("reference."): each for name, each in tensors.items() if name.startswith("ref")}
        reference, familiar = _reference(stored), tensors["familiar"].numpy()
        _demand(familiar.shape == (n,), "its familiar images")
        _demand(reference.location.shape == reference.spread.shape == (_PARTS,), "its familiarity score")
        _demand(reference.spread.min() > 0, "its familiarity score")
        _check_shapes(reference, NEEDS[score], features)
    costs = None
    if "costs" in tensors:
        matrix = tensors["costs"].numpy()
        ask = np.inf if facts["ask"] is None else float(facts["ask"])
        _demand(matrix.dtype == np.float64 and matrix.shape == (classes, classes) and matrix.min() >= 0, "its costs")
        _demand(not matrix.diagonal().any() and ask >= 0, "its costs")
        costs = Costs(matrix, ask)
    sketched = any(name.startswith("sketch.") for name in tensors)
    sketch = _sketch(tensors, classes, features) if sketched else None
    notes = tuple(str(note) for note in facts["notes"])
    selection = {str(name): float(value) for name, value in facts["selection"].items()}
    return Uncertainty(classes, held, score, reference, familiar, costs, selection, notes, sketch)


def _sketched(sketch: Sketch, name: str) -> Tensor:
    return _tensor(getattr(sketch, name).astype(_kind(name)))


def _kind(name: str) -> type[np.generic]:
    """Return the type of an array of a sketch in the file."""
    return np.int64 if name in _NUMBERED else np.float16 if name in _HALVED_SKETCH else np.float32


def _sketch(tensors: Mapping[str, Tensor], classes: int, features: int) -> Sketch:
    found = {each.name: tensors[f"sketch.{each.name}"].numpy() for each in fields(Sketch)}
    (_, k), n, b = found["basis"].shape, len(found["predicted"]), len(found["bank_labels"])
    shapes = {
        "basis": (features, k),
        "centre": (features,),
        "scales": (k,),
        "embeddings": (n, k),
        "looks": (n, len(APPEARANCE)),
        "bank": (b, k),
    }
    what = "its sketch of held-out images"
    _demand(all(found[name].shape == shape for name, shape in shapes.items()), what)
    _demand(all(each.dtype == _kind(name) for name, each in found.items()), what)
    _demand(k <= DIMENSIONS and max(n, b) <= MOST_COMPARED, what)
    _demand(np.abs(found["centre"]).max() <= 1 + _ROUNDING, what)  # a mean of vectors of length one
    _demand((found["scales"] > 0).all(), what)
    for codes in (found[name] for name in _NUMBERED):
        _demand(codes.ndim == 1 and len(codes) > 0, what)
        _demand(codes.min() >= 0 and codes.max() < classes, f"the classes in {what}")
    return Sketch(**{name: each if name in _NUMBERED else each.astype(np.float32) for name, each in found.items()})


def _held_out(part: UncertaintyPart, classes: int) -> HeldOut:
    arrays = {each.name: part.tensors[f"held_out.{each.name}"].numpy() for each in fields(HeldOut)}
    labels, rank, n = arrays["labels"], arrays["rank"], len(arrays["labels"])
    _demand(n > 0 and all(each.shape == (n,) for each in arrays.values()), "its held-out images")
    _demand(labels.dtype == rank.dtype == np.int64, "its held-out images")
    _demand(labels.min() >= 0 and labels.max() < classes, "the classes of its held-out images")
    _demand(rank.min() >= 1 and rank.max() <= classes, "the ranks of its held-out images")
    for name in ("right", "above", "confidence"):
        known = arrays[name].dtype.kind == "f" and arrays[name].min() >= 0 and arrays[name].max() <= 1 + _ROUNDING
        _demand(known, "the probabilities of its held-out images")
    return HeldOut(**arrays)


def _check_shapes(reference: Reference, needed: tuple[str, ...], features: int) -> None:
    """Refuse arrays that do not fit embeddings with this many features."""
    d, any_ = features, None
    theirs = len(reference.shown)
    shapes = {"centre": (d,), "whitening": (d, d), "means": (any_, d), "bank": (any_, d), "principal": (d, any_)}
    shapes |= {"source": (d + 1, theirs), "shown": (theirs, any_)}
    for name in needed:
        found = getattr(reference, name)
        _demand(found.size > 0 and found.ndim == len(shapes[name]), "its training images")
        same = (own in (any_, side) for own, side in zip(shapes[name], found.shape, strict=True))
        _demand(all(same), "its training images")


def _demand(holds: bool | np.bool_, what: str) -> None:
    if not holds:
        raise ModelError(f"what the model's file says about its uncertainty does not fit: {what}")


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(array))


def _tensors(reference: Reference) -> dict[str, Tensor]:
    found = {}
    for each in fields(Reference):
        array = getattr(reference, each.name)
        if each.name in HALVED and array.size:
            array, largest = halved(array)
            found[f"{each.name}.largest"] = torch.tensor(largest, dtype=torch.float64)
        elif array.size:
            array = array.astype(np.float32)
        if array.size:
            found[each.name] = _tensor(array)
    return found


def _reference(tensors: dict[str, Tensor]) -> Reference:
    """In float32, as exact as the file: products take half the time that they take in float64."""
    arrays = []
    for each in fields(Reference):
        found = tensors.get(each.name)
        array = np.zeros(0, np.float32) if found is None else found.numpy().astype(np.float32)
        if each.name in HALVED and found is not None:
            array *= np.float32(tensors[f"{each.name}.largest"])
        arrays.append(array)
    return Reference(*arrays)
