"""What a bundle's description may say, checked before anything is built or allocated from it."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from headstart.bands import bands_from
from headstart.errors import DataError, ModelError

MAX_SIDE = 4096  # px, of a network's input and of the resized image
MAX_CLASSES = 1_000_000
_LARGEST = sys.float_info.max
_INTERPOLATIONS = ("bicubic", "bilinear", "nearest", "lanczos")


def check_description(described: Mapping[str, Any]) -> None:
    """Refuse a description of one network whose values are of the wrong type or cannot be.

    Raises:
        ModelError: with the key and its value.
    """
    for key, kind in {
        "origin": Mapping,
        "head": Mapping,
        "preprocessing": Mapping,
        "provenance": Mapping,
        "classes": list,
        "multi_label": bool,
        "tta": str,
    }.items():
        _expect(described, key, kind)
    for key in ("temperature", "threshold"):
        _number(key, described.get(key))
    _check_classes(described["classes"])
    _check_origin(described["origin"])
    check_preprocessing(described["preprocessing"])


def check_head(config: Mapping[str, Any], tensors: Mapping[str, Tensor], *, multi_label: bool) -> None:
    """Refuse a head whose tensors are not those that its config needs, not finite, or of another kind of labels.

    Args:
        config: of the head, as `build_head` takes it.
        tensors: of the head, by name.

    Raises:
        ModelError: with what does not fit.
    """
    inner = config.get("head")
    while config.get("kind") == "selected" and isinstance(inner, Mapping):
        columns = config.get("columns")
        if not isinstance(columns, list) or not all(_whole(column) for column in columns):
            raise ModelError("the head's columns must be whole numbers")
        if inner.get("kind") == "selected":
            raise ModelError("nested class selections are not supported")
        tensors = {name.removeprefix("head."): value for name, value in tensors.items()}
        config, inner = inner, None
    if config.get("multi_label") is not multi_label:
        raise ModelError("the head is of another kind of labels (one or several) than the model")
    for name, expected in _shapes(config).items():
        found = tensors.get(name)
        if found is None or list(found.shape) != expected:
            shown = "absent" if found is None else list(found.shape)
            raise ModelError(f"the head's {name} must be {expected}, not {shown}")
    _check_values(config, tensors)


def check_features(dim: int, config: Mapping[str, Any]) -> None:
    """Refuse a head that expects another number of features than its network gives."""
    wanted = config["head"]["dim"] if config.get("kind") == "selected" else config["dim"]
    if dim != wanted:
        raise ModelError(f"its network gives {dim} features and its head expects {wanted}")


def _shapes(config: Mapping[str, Any]) -> dict[str, list[int]]:
    """Return the shape of each tensor that a head of this config has."""
    kind = config.get("kind")
    sizes = ("dim", "classes", "size") if kind == "neighbours" else ("dim", "classes")
    for name in sizes:
        if not _whole(config.get(name)) or config[name] < 1:
            raise ModelError(f"the head's {name} must be a whole number above 0, not {config.get(name)!r:.40}")
    for name in ("l2", "centred", "scaled", "multi_label"):
        if not isinstance(config.get(name, False), bool):
            raise ModelError(f"the head's {name} must be true or false, not {config[name]!r:.40}")
    dim, classes = config["dim"], config["classes"]
    optional = {key: [dim] for key, flag in (("centre", "centred"), ("scale", "scaled")) if config.get(flag)}
    if kind == "linear":
        return {"weight": [classes, dim], "bias": [classes], **optional}
    if kind == "neighbours":
        size = config["size"]
        if not _whole(config.get("k")):
            raise ModelError(f"the head's k must be a whole number, not {config.get('k')!r:.40}")
        labels = [size, classes] if config.get("multi_label") else [size]
        return {"bank": [size, dim], "bank_labels": labels, "unit": [], **optional}
    raise ModelError(f"unknown kind of head {kind!r:.40}")


def _check_values(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    check_finite(tensors, "the head's ")
    labels = tensors.get("bank_labels")
    if config["kind"] == "neighbours" and labels is not None and labels.ndim == 1:
        if labels.is_floating_point() or int(labels.min()) < 0 or int(labels.max()) >= config["classes"]:
            raise ModelError("the head's bank_labels name classes that it does not have")
        _number("the head's temperature", config.get("temperature"), above=0.0)


def check_finite(tensors: Mapping[str, Tensor], whose: str = "") -> None:
    """Refuse tensors that hold a number which is not finite.

    Raises:
        ModelError: with the name of the first.
    """
    for name, tensor in tensors.items():
        if tensor.is_complex():
            raise ModelError(f"{whose}{name} holds complex numbers")
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ModelError(f"{whose}{name} holds numbers that are not finite")


def _check_classes(classes: list[Any]) -> None:
    if not 1 <= len(classes) <= MAX_CLASSES or not all(isinstance(name, str) for name in classes):
        raise ModelError("classes must be a list of names")
    if len(set(classes)) < len(classes):
        raise ModelError("two classes have the same name")


def _check_origin(origin: Mapping[str, Any]) -> None:
    known = {"name": str, "truncate_at": str | None, "weights": str | None, "sha256": str | None}
    for key, kind in known.items():
        if not isinstance(origin.get(key), kind):
            raise ModelError(f"origin.{key} cannot be {origin.get(key)!r:.40}")
    size: Any = origin.get("input_size")
    seed: Any = origin.get("seed")
    if size is not None and not (_whole(size) and 1 <= size <= MAX_SIDE):
        raise ModelError(f"origin.input_size must be between 1 and {MAX_SIDE}, not {size!r:.40}")
    if not _whole(seed) or not 0 <= seed < 1 << 63:
        raise ModelError(f"origin.seed cannot be {seed!r:.40}")
    if unknown := set(origin) - {*known, "input_size", "seed"}:
        raise ModelError(f"origin has an unknown key {min(unknown)!r:.40}")


def check_preprocessing(given: Any) -> None:
    """Refuse a description of a preprocessing that cannot be.

    Raises:
        ModelError: with the key and its value.
    """
    needed = {"size", "resize", "interpolation", "mean", "std"}
    if not isinstance(given, Mapping) or set(given) - {"bands"} != needed:
        raise ModelError("preprocessing must have size, resize, interpolation, mean and std")
    for key in ("size", "resize"):
        if not _whole(given[key]) or not 1 <= given[key] <= MAX_SIDE:
            raise ModelError(f"preprocessing.{key} must be between 1 and {MAX_SIDE}, not {given[key]!r:.40}")
    if given["interpolation"] not in _INTERPOLATIONS:
        raise ModelError(f"preprocessing.interpolation cannot be {given['interpolation']!r:.40}")
    channels = 3
    if given.get("bands") is not None:
        try:
            channels = bands_from(given["bands"]).count
        except DataError as error:
            raise ModelError(f"preprocessing.bands: {error}") from error
    for key in ("mean", "std"):
        if not isinstance(given[key], list | tuple) or len(given[key]) != channels:
            raise ModelError(f"preprocessing.{key} must be {'three' if channels == 3 else channels} numbers")
        for value in given[key]:
            _number(f"preprocessing.{key}", value, above=0.0 if key == "std" else -math.inf)


def _expect(described: Mapping[str, Any], key: str, kind: type[Any]) -> None:
    if not isinstance(described.get(key), kind):
        shown = "absent" if key not in described else f"{described[key]!r:.40}"
        raise ModelError(f"{key} must be a {kind.__name__.lower()}, not {shown}")


def _number(key: str, value: Any, above: float = -math.inf) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not max(above, -_LARGEST) < value <= _LARGEST:
        raise ModelError(f"{key} must be a finite number{'' if above == -math.inf else ' above 0'}, not {value!r:.40}")


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
