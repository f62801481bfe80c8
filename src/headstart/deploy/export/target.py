"""What every export format is given, and what it has to answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from onnx import ModelProto
from torch.export import ExportedProgram

from headstart.deploy.export.any_size import with_resizing
from headstart.deploy.export.checking import Check, Form
from headstart.deploy.export.facts import facts_of_model
from headstart.deploy.export.onnx_graph import onnx_of, with_metadata
from headstart.deploy.export.pictures import Material
from headstart.deploy.export.program import Input, inputs_of, outputs_of, program_of
from headstart.models.bundle import Ensemble

FLOAT, INT8 = "float32", "int8"
INSTEAD = "export to onnx or torch, which take the bands' pixels"


@dataclass
class Parts:
    """A model in the forms that the formats are made of, each computed once and only if it is asked for.

    Args:
        ensemble: the model.
        material: what is known about it beside its file.
        page_runtime: where the page's runtime comes from: a package file of onnxruntime-web, or None: npm.
    """

    ensemble: Ensemble
    material: Material
    page_runtime: Path | None = None
    _quantised: ModelProto | None = None

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The inputs of the exported model."""
        return inputs_of(self.ensemble)

    @property
    def precision(self) -> str:
        """Return the precision of the ONNX graphs, in words."""
        return FLOAT if self._quantised is None else INT8

    @cached_property
    def program(self) -> ExportedProgram:
        """The model as a `torch.export` program."""
        return program_of(self.ensemble)

    @cached_property
    def float_graph(self) -> ModelProto:
        """The model as an ONNX graph of floats."""
        return onnx_of(self.program, self.inputs, outputs_of(self.ensemble))

    def use(self, quantised: ModelProto) -> None:
        """Replace the graph by a quantised one in all that is built from now on."""
        self._quantised = quantised

    @property
    def facts(self) -> dict[str, Any]:
        """What the files say about the model."""
        return facts_of_model(self.ensemble, self.inputs, precision=self.precision)

    def graph(self) -> ModelProto:
        """Return the graph on pixels at the network's size, with its metadata."""
        copied = ModelProto()
        copied.CopyFrom(self._quantised or self.float_graph)
        return with_metadata(copied, self.facts)

    def any_size_graph(self) -> ModelProto:
        """Return the graph on pictures of any size, with its metadata."""
        views = [(each.name, each.view) for each in self.inputs]
        return with_metadata(with_resizing(self._quantised or self.float_graph, views), self.facts)


@dataclass(frozen=True)
class Target:
    """An export format.

    Args:
        build: writes its files into a folder; returns the forms that are to be checked.
        usage: Markdown for its README: how the files are used.
        refusal: why a model cannot be exported so, and what can be done instead; None if it can.
        finish: writes what holds the checks' figures (README.md); from the parts, the checks and notes.
        quantised: it is built from the ONNX graph, and can be int8.
    """

    build: Callable[[Parts, Path], list[Form]]
    usage: Callable[[Parts], str]
    refusal: Callable[[Ensemble], str | None]
    quantised: bool
    finish: Callable[[Parts, Path, Sequence[Check], Sequence[str], str], None]


def rgb_only(ensemble: Ensemble) -> str | None:
    """Refuse a model of other bands than red, green and blue: its program decodes ordinary pictures."""
    banded = next((each for each in ensemble.members if each.preprocessing.bands is not None), None)
    if banded is None or banded.preprocessing.bands is None:
        return None
    return f"it takes {banded.preprocessing.bands.count} bands, and only ordinary pictures are read there; {INSTEAD}"


def always(ensemble: Ensemble) -> str | None:
    """Refuse no model."""
    return None
