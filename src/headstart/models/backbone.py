"""A backbone: a network as an ordered list of named stages, which can be cut and shortened between any two."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from headstart.errors import ModelError, unknown_name

INPUT = "input"  # the cut before the first stage: nothing is frozen, the stored activations are the pixels


@dataclass(frozen=True)
class Preprocessing:
    """What a network expects of its input.

    Args:
        size: side of the square crop, in pixels.
        resize: length of the shorter side before the centre crop, in pixels.
        interpolation: "bicubic" or "bilinear".
        mean, std: per RGB channel, for pixels scaled to 0..1.
    """

    size: int = 224
    resize: int = 256
    interpolation: str = "bicubic"
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)


class Backbone(nn.Module):
    """Stages applied in order to normalised images float32 [n, 3, h, w]; the last, `pool`, gives [n, feature_dim].

    Args:
        name: the architecture.
        stages: modules by name, in order; the last must be named "pool" and return [n, d].
        feature_dim: d.
        preprocessing: what its weights expect (of scratch networks: a sensible default).
        classifier: the head the weights came with ([n, d] -> [n, source classes]), or None.
        source_classes: names of the classifier's classes, or () where unknown.
        reduce: how activations after any stage become a vector when the network is cut short there:
            a module from that stage's output to [n, channels]; must have no parameters.
    """

    def __init__(
        self,
        name: str,
        stages: Mapping[str, nn.Module],
        *,
        feature_dim: int,
        preprocessing: Preprocessing | None = None,
        classifier: nn.Module | None = None,
        source_classes: tuple[str, ...] = (),
        reduce: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.name = name
        self.stages = nn.Sequential(OrderedDict(stages))
        self.feature_dim = feature_dim
        self.preprocessing = preprocessing or Preprocessing()
        self.classifier = classifier
        self.source_classes = source_classes
        self.reduce = reduce

    @property
    def stage_names(self) -> tuple[str, ...]:
        """The stages' names in order."""
        return tuple(self.stages._modules)

    def forward(self, images: Tensor) -> Tensor:
        """Return features [n, feature_dim]."""
        features: Tensor = self.stages(images)
        return features

    def index(self, stage: str) -> int:
        """Return the position of a stage, or -1 for "input".

        Raises:
            ModelError: no such stage; the message lists them.
        """
        if stage == INPUT:
            return -1
        if stage not in self.stage_names:
            raise ModelError(unknown_name(f"stage of {self.name}", stage, (INPUT, *self.stage_names)))
        return self.stage_names.index(stage)

    def cut(self, after: str) -> tuple[nn.Sequential, nn.Sequential]:
        """Return (prefix, tail): the stages up to and including `after`, and the rest, sharing parameters."""
        position = self.index(after) + 1
        return self.stages[:position], self.stages[position:]

    def truncate(self, at: str) -> Backbone:
        """Return a copy that ends after stage `at`, its activations pooled to a vector.

        Raises:
            ModelError: no such stage, or the network cannot be cut short.
        """
        position = self.index(at)
        if position < 0:
            raise ModelError(f"{self.name} cut short at 'input' would have no stage left; choose one of {self.stage_names}")
        if position == len(self.stage_names) - 1:
            return copy.deepcopy(self)
        if self.reduce is None:
            raise ModelError(f"{self.name} cannot be cut short")
        kept = OrderedDict((name, copy.deepcopy(self.stages[i])) for i, name in enumerate(self.stage_names[: position + 1]))
        kept["pool"] = copy.deepcopy(self.reduce)
        size = self.preprocessing.size
        probe = nn.Sequential(kept).eval()
        with torch.no_grad():
            dim = probe(torch.zeros(1, 3, size, size)).shape[1]
        return Backbone(f"{self.name}[:{at}]", kept, feature_dim=dim, preprocessing=self.preprocessing)

    def parameter_groups(self) -> Iterator[tuple[str, list[nn.Parameter]]]:
        """Yield (stage name, its parameters) so that every parameter of the stages appears exactly once."""
        seen: set[int] = set()
        for name, stage in self.stages.named_children():
            fresh = [p for p in stage.parameters() if id(p) not in seen]
            seen.update(id(p) for p in fresh)
            yield name, fresh
