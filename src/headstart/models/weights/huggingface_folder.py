"""What a folder of the Hugging Face hub says about the weights in it: preprocessing and class names."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from headstart.errors import WeightsError
from headstart.models.architectures.build import timm_preprocessing
from headstart.models.preprocessing import Preprocessing
from headstart.models.weights.licences import of_card
from headstart.models.weights.shards import ENDING

FILES = ("model.safetensors", "pytorch_model.bin")
Channels = tuple[float, float, float]
_INTERPOLATIONS = {2: "bilinear", 3: "bicubic"}  # PIL's numbers
_CROP = 0.875  # where transformers' processors crop, if they do not say how much


def folder_facts(file: Path) -> tuple[Preprocessing | None, tuple[str, ...]]:
    """Return preprocessing and class names from config.json and preprocessor_config.json beside a weights file.

    Raises:
        WeightsError: one of them has values that make no sense, such as one channel, or no number where one is needed.
    """
    if file.name.removesuffix(ENDING) not in FILES:
        return None, ()
    folder = file.parent
    config = _read(folder / "config.json")
    timm = config.get("pretrained_cfg")
    if isinstance(timm, Mapping) and {"input_size", "interpolation", "crop_pct", "mean", "std"} <= set(timm):
        names = config.get("label_names") or timm.get("label_names") or ()
        with _sense(folder / "config.json", "pretrained_cfg"):
            mean, std = _channels(timm["mean"], timm["std"])
            preprocessing = _checked(timm_preprocessing({**timm, "mean": mean, "std": std}))
        return preprocessing, tuple(map(str, names)) if isinstance(names, list) else ()
    with _sense(folder / "preprocessor_config.json", "preprocessing"):
        processor = _processor(_read(folder / "preprocessor_config.json"))
    return processor, _classes(config.get("id2label"))


def folder_licence(file: Path) -> str | None:
    """Return the licence that the model card beside a weights file names; None without one."""
    if file.name.removesuffix(ENDING) not in FILES:
        return None
    licence = of_card(file.parent)
    return None if licence is None else licence.name


def _classes(labels: Any) -> tuple[str, ...]:
    """Return the class names by number; none unless every key is one."""
    if not isinstance(labels, Mapping) or not all(key.isascii() and key.isdigit() for key in labels):
        return ()
    return tuple(str(labels[key]) for key in sorted(labels, key=int))


@contextlib.contextmanager
def _sense(file: Path, what: str) -> Iterator[None]:
    """Turn what a malformed value raises into one line that names the file."""
    try:
        yield
    except (ValueError, TypeError, KeyError, IndexError, ArithmeticError) as error:
        raise WeightsError(f"{file}: its {what} cannot be understood ({error}); correct it, or remove it") from error


def _channels(mean: Any, std: Any) -> tuple[Channels, Channels]:
    """Return mean and deviation of the three channels."""
    (red, green, blue), (red_std, green_std, blue_std) = (tuple(map(float, each)) for each in (mean, std))
    if not all(map(math.isfinite, (red, green, blue))) or not all(0 < each < math.inf for each in map(float, std)):
        raise ValueError("means must be numbers, and deviations numbers above zero")
    return (red, green, blue), (red_std, green_std, blue_std)


def _checked(found: Preprocessing) -> Preprocessing:
    if found.size < 1 or found.resize < 1:
        raise ValueError(f"images are resized to {found.resize} pixels and cut to {found.size}")
    return found


def _processor(said: Mapping[str, Any]) -> Preprocessing | None:
    """Return what a processor of transformers does, but for squeezing an image into a square: its centre is cut."""
    if "image_mean" not in said or "image_std" not in said:
        return None
    resize = _side(said.get("size")) or 224
    size = _side(said.get("crop_size")) if said.get("do_center_crop") else None
    if size is None:
        size = resize
        if isinstance(said.get("size"), Mapping) and "shortest_edge" in said["size"] and "do_center_crop" not in said:
            resize = int(resize / float(said.get("crop_pct") or _CROP)) if resize < 384 else resize  # as ConvNeXt's
    interpolation = _INTERPOLATIONS.get(int(said.get("resample", 2)), "bicubic")
    return _checked(Preprocessing(size, resize, interpolation, *_channels(said["image_mean"], said["image_std"])))


def _side(said: Any) -> int | None:
    if isinstance(said, Mapping):
        said = said.get("shortest_edge") or said.get("height")
    return int(said) if isinstance(said, int) and said > 0 else None


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
