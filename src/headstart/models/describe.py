"""What a backbone is made of: its stages with shapes, parameters and multiply-adds, and the weights there are."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from headstart.errors import ModelError
from headstart.models.architectures.build import build
from headstart.models.architectures.catalogue import all_names, find_architecture
from headstart.models.backbone import Backbone
from headstart.models.weights.registry import weights_of


def list_backbones() -> list[str]:
    """Return every name that `create_backbone` takes, the short names first."""
    return all_names()


def describe(name: str, input_size: int | None = None) -> dict[str, Any]:
    """Return what `headstart backbones NAME` prints, as plain values.

    Args:
        name: as `create_backbone` takes it.
        input_size: side of the image in pixels; None: the default of the architecture.

    Returns:
        name, library, input_size, feature_dim, cut_points (all names that a cut takes), parameters and macs
        (multiply-adds for one image) of all stages together; stages: a row for each with stage, output
        (shape without the batch), parameters, macs; weights: how to ask for each that exists, of which
        weights_rows says where it comes from and its licence.

    Raises:
        ModelError: no such architecture, or it cannot take images of this size.
    """
    architecture = find_architecture(name)
    backbone = build(architecture, input_size=input_size, drawn=False)  # only shapes are read
    size = backbone.preprocessing.size
    rows = stage_rows(backbone, size)
    weights = weights_of(architecture)
    return {
        "name": backbone.name,
        "library": architecture.library,
        "input_size": size,
        "feature_dim": rows[-1]["output"][0],
        "cut_points": list(backbone.cut_points),
        "parameters": sum(row["parameters"] for row in rows),
        "macs": sum(row["macs"] for row in rows),
        "stages": rows,
        "weights": [row["weights"] for row in weights],
        "weights_rows": weights,
    }


def stage_rows(backbone: Backbone, size: int) -> list[dict[str, Any]]:
    """Return for each stage its name, output shape, parameters and multiply-adds for one image of `size` px.

    Multiply-adds are those of convolutions and matrix products, attention included, counted as torch
    dispatches them; the network is not changed.

    Raises:
        ModelError: it cannot take images of this size.
    """
    try:
        outputs = _count(copy.deepcopy(backbone.stages).to("meta"), torch.zeros(1, 3, size, size, device="meta"))
    except NotImplementedError:  # an operation that cannot be traced without data
        outputs = _count(copy.deepcopy(backbone.stages), torch.zeros(1, 3, size, size))
    except (RuntimeError, AssertionError, ValueError) as error:
        raise ModelError(f"{backbone.name} cannot take images of {size} × {size} px ({error})") from error
    parameters = {name: sum(p.numel() for p in group) for name, group in backbone.parameter_groups()}
    return [
        {"stage": name, "output": shape, "parameters": parameters[name], "macs": macs}
        for name, (shape, macs) in zip(backbone.stage_names, outputs, strict=True)
    ]


def _count(stages: nn.Sequential, images: Tensor) -> list[tuple[list[int], int]]:
    """Return (output shape without the batch, multiply-adds) of each stage."""
    rows: list[tuple[list[int], int]] = []
    activations = images
    stages.eval().requires_grad_(False)  # the counter's hooks need no gradients, and attention pooling refuses them
    with torch.no_grad():
        for stage in stages:
            with FlopCounterMode(display=False) as counter:
                activations = stage(activations)
            rows.append((list(activations.shape[1:]), int(counter.get_total_flops()) // 2))
    return rows
