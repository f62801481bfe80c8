"""An exported program as an ONNX graph, by PyTorch's current exporter."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import ModelProto
from torch.export import ExportedProgram

from headstart.deploy.export.program import OUTPUTS, Input, quiet_exporter
from headstart.errors import ModelError, first_line

OPSET = 20
LARGEST = 2**31 - 1  # bytes of a protobuf message


def onnx_of(program: ExportedProgram, inputs: tuple[Input, ...], outputs: tuple[str, ...] = OUTPUTS) -> ModelProto:
    """Return the graph of a program: inputs and outputs by name, n free.

    Raises:
        ModelError: an operator that ONNX does not have, or an input that the exporter took for a constant.
    """
    names = [each.name for each in inputs]
    try:
        with quiet_exporter():
            exported = torch.onnx.export(
                program, dynamo=True, opset_version=OPSET, input_names=names, output_names=list(outputs), verbose=False
            )
        assert exported is not None
        model: ModelProto = exported.model_proto
    except Exception as error:  # the exporter raises many kinds; the reason is passed on
        raise ModelError(
            f"this model cannot be expressed in ONNX: the exporter failed ({first_line(error)})"
        ) from error
    if [each.name for each in model.graph.input] != names:
        raise ModelError("this model cannot be expressed in ONNX: the exporter took an input for a constant")
    without_debugging(model)
    return model


def without_debugging(model: ModelProto) -> None:
    """Drop what the exporter notes on every node and value; it doubles the size of small files."""
    graph = model.graph
    for holder in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer, graph, model):
        del holder.metadata_props[:]
    for node in graph.node:
        node.doc_string = ""


def with_metadata(model: ModelProto, facts: Mapping[str, Any]) -> ModelProto:
    """Return the model with the facts in its metadata: text as it is, all else as JSON."""
    del model.metadata_props[:]
    onnx.helper.set_model_props(
        model, {key: v if isinstance(v, str) else json.dumps(v, ensure_ascii=False) for key, v in facts.items()}
    )
    model.producer_name = "headstart"
    return model


def save_graph(model: ModelProto, path: Path) -> None:
    """Write a graph as one file.

    Raises:
        ModelError: it is larger than 2 GB, which one file cannot hold.
    """
    if model.ByteSize() >= LARGEST:
        raise ModelError(f"{path.name} would have {model.ByteSize():,} bytes; an ONNX file holds at most 2 GB")
    onnx.save(model, str(path))
