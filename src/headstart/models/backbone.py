"""A backbone: a network as an ordered list of named stages, which can be cut and shortened between any two."""

from __future__ import annotations

import copy
import difflib
from collections import OrderedDict
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from headstart.errors import ModelError, first_line, lacks_memory
from headstart.models.preprocessing import Preprocessing

INPUT = "input"  # the cut before the first stage: nothing is frozen, the stored activations are the pixels


class Backbone(nn.Module):
    """Stages applied in order to normalised images float32 [n, 3, h, w]; the last gives [n, feature_dim].

    A stage that is a sequence with children named `block1`, `block2`, … can also be cut between those:
    `stage2.block3` is the point after the third block of `stage2`.

    Args:
        name: the architecture.
        stages: modules by name, in order; the last must return [n, d] (its name: "pool", or "norm" of a ViT).
        feature_dim: d.
        preprocessing: what its weights expect (of scratch networks: a sensible default).
        classifier: the head the weights came with ([n, d] -> [n, source classes]), or None.
        source_classes: names of the classifier's classes, or () where unknown.
        reduce: how activations after any stage become a vector when the network is cut short there:
            a module from that stage's output to [n, channels]; must have no parameters.
        input_bands: the bands that its weights were trained on, by name and in order, and whose numbers as they are in
            the files its preprocessing then normalises; (): the channels are red, green and blue.
        original_keys: for each key of the state dict that the architecture's authors publish, ours; the
            tensor may be gone from a network that was cut short or that has no classifier.
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
        input_bands: tuple[str, ...] = (),
        original_keys: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.name = name
        self.stages = nn.Sequential(OrderedDict(stages))
        self.feature_dim = feature_dim
        self.preprocessing = preprocessing or Preprocessing()
        self.classifier = classifier
        self.source_classes = source_classes
        self.reduce = reduce
        self.input_bands = input_bands
        self.original_keys = dict(original_keys or {})

    @property
    def stage_names(self) -> tuple[str, ...]:
        """The stages' names in order."""
        return tuple(self.stages._modules)

    @property
    def cut_points(self) -> tuple[str, ...]:
        """Every name that `cut` and `truncate` take, in order; a stage's own name stands for its last block."""
        points: list[str] = []
        for name, stage in self.stages.named_children():
            points.extend(f"{name}.{block}" for block, end in _blocks(stage).items() if end < _length(stage))
            points.append(name)
        return tuple(points)

    def forward(self, images: Tensor) -> Tensor:
        """Return features [n, feature_dim]."""
        features: Tensor = self.stages(images)
        return features

    def index(self, stage: str) -> int:
        """Return the position of a whole stage, or -1 for "input".

        Raises:
            ModelError: no such stage; the message lists them.
        """
        if stage == INPUT:
            return -1
        if stage not in self.stage_names:
            known = (INPUT, *self.stage_names)
            near = difflib.get_close_matches(stage, known, n=1, cutoff=0.5)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise ModelError(f"{self.name} has no stage {stage!r}{hint}; its stages: {', '.join(known)}")
        return self.stage_names.index(stage)

    def position(self, point: str) -> tuple[int, int]:
        """Return a cut point as (whole stages before it, children of the next stage before it); these sort.

        Raises:
            ModelError: no such stage or block; the message lists them.
        """
        name, dot, block = point.partition(".")
        index = self.index(name)
        if not dot:
            return index + 1, 0
        blocks = _blocks(self.stages[index]) if index >= 0 else {}
        if block not in blocks:
            inside = f"the blocks of {name}: {', '.join(blocks)}" if blocks else f"{name} is cut as a whole only"
            raise ModelError(f"{self.name} has no block {point!r}; {inside}")
        end = blocks[block]
        return (index + 1, 0) if end == _length(self.stages[index]) else (index, end)

    def cut(self, after: str) -> tuple[nn.Sequential, nn.Sequential]:
        """Return (prefix, tail): what comes up to and including `after`, and the rest, sharing parameters.

        Args:
            after: "input", a stage, or a block as in "stage2.block3".

        Raises:
            ModelError: no such stage or block.
        """
        whole, inside = self.position(after)
        prefix, tail = self.stages[:whole], self.stages[whole:]
        if inside:
            name, divided = self.stage_names[whole], tail[0]
            assert isinstance(divided, nn.Sequential)
            prefix = nn.Sequential(OrderedDict([*prefix.named_children(), (name, divided[:inside])]))
            tail = nn.Sequential(OrderedDict([(name, divided[inside:]), *self.stages[whole + 1 :].named_children()]))
        return prefix, tail

    def truncate(self, at: str) -> Backbone:
        """Return a copy that ends after `at` (a stage or block), its activations pooled to a vector.

        Raises:
            ModelError: no such stage, the network cannot be cut short, or its images are too small for it.
        """
        position = self.position(at)
        if position == (0, 0):
            raise ModelError(f"{self.name} cut short at 'input' would have no stage left; stages: {self.stage_names}")
        if position == (len(self.stage_names), 0):
            return copy.deepcopy(self)
        if self.reduce is None:
            raise ModelError(f"{self.name} cannot be cut short")
        kept = OrderedDict(copy.deepcopy(self.cut(at)[0]).named_children())
        kept["pool"] = copy.deepcopy(self.reduce)
        name = f"{self.name}[:{at}]"
        shape = output_shape(nn.Sequential(kept), self.preprocessing.size, name, self.preprocessing.channels)
        short = Backbone(name, kept, feature_dim=shape[1], preprocessing=self.preprocessing)
        short.train(self.training)
        short.input_bands = self.input_bands
        short.original_keys = dict(self.original_keys)
        return short

    def bare(self) -> Backbone:
        """Return the same stages without the classifier of the source, sharing parameters."""
        shell = copy.copy(self)
        shell._modules = dict(self._modules)
        shell.classifier, shell.source_classes = None, ()
        return shell

    def parameter_groups(self) -> Iterator[tuple[str, list[nn.Parameter]]]:
        """Yield (stage name, its parameters) so that every parameter of the stages appears exactly once."""
        seen: set[int] = set()
        for name, stage in self.stages.named_children():
            fresh = [p for p in stage.parameters() if id(p) not in seen]
            seen.update(id(p) for p in fresh)
            yield name, fresh


def output_shape(module: nn.Module, size: int, name: str, channels: int = 3) -> tuple[int, ...]:
    """Return the shape of what `module` makes of one black image of `size` × `size` pixels.

    Raises:
        ModelError: the image is too small for it (or does not fit its patches).
    """
    modes = {child: child.training for child in module.modules()}
    first = next(module.parameters(), torch.empty(0))
    try:
        module.eval()
        with torch.no_grad():
            shape = tuple(module(torch.zeros(1, channels, size, size, device=first.device, dtype=first.dtype)).shape)
    except (RuntimeError, AssertionError, ValueError) as error:
        if lacks_memory(error):  # which says nothing about the network
            raise
        raise ModelError(
            f"{name} cannot take images of {size} × {size} px ({first_line(error).rstrip('.')});"
            " choose a larger input size or cut the network earlier"
        ) from error
    finally:
        for child, training in modes.items():
            child.training = training
    if 0 in shape:
        raise ModelError(f"{name} has nothing left of images of {size} × {size} px; choose a larger input size")
    return shape


def _blocks(stage: nn.Module) -> dict[str, int]:
    """Return, for each block of a stage, how many of the stage's children come up to and including it."""
    if not isinstance(stage, nn.Sequential):
        return {}
    return {name: i + 1 for i, name in enumerate(stage._modules) if name.startswith("block")}


def _length(stage: nn.Module) -> int:
    return len(stage) if isinstance(stage, nn.Sequential) else 1
