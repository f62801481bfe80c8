"""What a folder of the Hugging Face hub says about the weights in it: preprocessing and class names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headstart.models.architectures.build import timm_preprocessing
from headstart.models.preprocessing import Preprocessing

FILES = ("model.safetensors", "pytorch_model.bin")
_INTERPOLATIONS = {2: "bilinear", 3: "bicubic"}  # PIL's numbers
_CROP = 0.875  # where transformers' processors crop, if they do not say how much


def folder_facts(file: Path) -> tuple[Preprocessing | None, tuple[str, ...]]:
    """Return preprocessing and class names from config.json and preprocessor_config.json beside a weights file."""
    if file.name not in FILES:
        return None, ()
    folder = file.parent
    config = _read(folder / "config.json")
    timm = config.get("pretrained_cfg")
    if isinstance(timm, Mapping) and {"input_size", "interpolation", "crop_pct", "mean", "std"} <= set(timm):
        names = config.get("label_names") or timm.get("label_names") or ()
        return timm_preprocessing(timm), tuple(map(str, names)) if isinstance(names, list) else ()
    labels = config.get("id2label")
    numbered = {int(key): str(name) for key, name in labels.items()} if isinstance(labels, Mapping) else {}
    classes = tuple(numbered[key] for key in sorted(numbered))
    return _processor(_read(folder / "preprocessor_config.json")), classes


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
    mean, std = (tuple(map(float, said[key])) for key in ("image_mean", "image_std"))
    return Preprocessing(size, resize, interpolation, (mean[0], mean[1], mean[2]), (std[0], std[1], std[2]))


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
