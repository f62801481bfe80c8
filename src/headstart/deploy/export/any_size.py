"""Puts resizing and cropping in front of a graph, so that it takes pictures of any size.

The nodes do what `data.decoding.view.bring_to_size` does with Pillow. ONNX Runtime's antialiased `Resize` of uint8
is written after Pillow's, in whole numbers, with a rounding to eight bits between its two passes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, compose, helper, numpy_helper

from headstart.data.decoding.view import STRIP, View
from headstart.errors import ModelError

PICTURE = "pictures"
OPSET = 20
MODES = {"bilinear": "linear", "bicubic": "cubic"}


def with_resizing(graph: ModelProto, views: Sequence[tuple[str, View]]) -> ModelProto:
    """Return the graph with one input `pictures`, uint8 [n, h, w, 3] of any height and width.

    Args:
        graph: takes uint8 pixels [n, size, size, 3], one input for each of `views`.
        views: name of each input, and how a picture becomes its pixels.

    Raises:
        ModelError: an interpolation that ONNX does not have.
    """
    joined = compose.merge_models(
        resizing(views, graph.ir_version, next(o.version for o in graph.opset_import if o.domain in ("", "ai.onnx"))),
        graph,
        io_map=[(f"sized_{name}", name) for name, _ in views],
    )
    del joined.metadata_props[:]
    return joined


def resizing(views: Sequence[tuple[str, View]], ir_version: int = 10, opset: int = OPSET) -> ModelProto:
    """Return a graph from `pictures` to `sized_NAME`, uint8 [n, size, size, 3], for each view.

    Raises:
        ModelError: an interpolation that ONNX does not have.
    """
    for _, view in views:
        if view.interpolation not in MODES:
            raise ModelError(f"resizing by {view.interpolation} cannot be expressed in ONNX; use bilinear or bicubic")
    nodes = _Nodes()
    shape = nodes.add("Shape", PICTURE, start=1, end=3)
    for name, view in views:
        sized = _sized(nodes, PICTURE, shape, view)
        nodes.nodes.append(helper.make_node("Transpose", [sized], [f"sized_{name}"], perm=[0, 2, 3, 1]))
    pixels = helper.make_tensor_value_info(PICTURE, TensorProto.UINT8, ["n", "height", "width", 3])
    outputs = [
        helper.make_tensor_value_info(f"sized_{name}", TensorProto.UINT8, ["n", view.crop, view.crop, 3])
        for name, view in views
    ]
    graph = helper.make_graph(nodes.nodes, "resizing", [pixels], outputs, nodes.constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)


class _Nodes:
    """Nodes under construction, with names of their own."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def add(self, kind: str, *inputs: str, **attributes: object) -> str:
        name = f"resizing_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=f"node_{name}", **attributes))
        return name

    def integers(self, *values: int) -> str:
        name = f"resizing_constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(values, np.int64), name))
        return name


def _sized(nodes: _Nodes, picture: str, shape: str, view: View) -> str:
    """Add the nodes of one view; return the name of its pixels, uint8 [n, 3, crop, crop]."""
    assert view.crop is not None, "a network has a fixed size"
    add, integers = nodes.add, nodes.integers
    longest = max(STRIP, 2 * (view.crop // view.resize + 1))
    most = add("Mul", add("ReduceMin", shape, keepdims=1), integers(longest))
    middle = add("Min", shape, most)
    start = add("Div", add("Sub", shape, middle), integers(2))
    picture = add("Slice", picture, start, add("Add", start, middle), integers(1, 2))
    short = add("ReduceMin", middle, keepdims=1)
    size = add("Div", add("Mul", middle, integers(view.resize)), short)  # the short side becomes exactly `resize`
    upright = add("Transpose", picture, perm=[0, 3, 1, 2])
    ends = add("Shape", upright, start=0, end=2)
    resized = add(
        "Resize",
        upright,
        "",
        "",
        add("Concat", ends, size, axis=0),
        mode=MODES[view.interpolation],
        antialias=1,
        cubic_coeff_a=-0.5,
        exclude_outside=1,
        coordinate_transformation_mode="half_pixel",
    )
    crop = integers(view.crop, view.crop)
    if view.resize < view.crop:
        resized, size = _padded(nodes, resized, size, crop)
    half = add("Div", add("Cast", add("Sub", size, crop), to=TensorProto.FLOAT), _half(nodes))
    corner = add("Cast", add("Round", half), to=TensorProto.INT64)
    return add("Slice", resized, corner, add("Add", corner, crop), integers(2, 3))


def _half(nodes: _Nodes) -> str:
    name = f"resizing_constant_{len(nodes.constants)}"
    nodes.constants.append(numpy_helper.from_array(np.array([2.0], np.float32), name))
    return name


def _padded(nodes: _Nodes, picture: str, size: str, crop: str) -> tuple[str, str]:
    """Add black around a picture that is smaller than the crop; return it and its new size."""
    add, integers = nodes.add, nodes.integers
    whole = add("Max", size, crop)
    missing = add("Sub", whole, size)
    before = add("Div", missing, integers(2))
    nothing = integers(0, 0)
    pads = add("Concat", nothing, before, nothing, add("Sub", missing, before), axis=0)
    return add("Pad", picture, pads), whole
