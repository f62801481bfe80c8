"""A graph whose large weights are stored in half precision and computed with in single: about half the size."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

_LARGE = 4096  # numbers: smaller arrays, biases among them, stay as they are
_ROUNDING = 2.0**-11  # of the largest weight: what half precision rounds off at most


def with_half_weights(model: ModelProto) -> ModelProto:
    """Return a copy of a graph whose large weights are half precision, each followed by a cast to single.

    Runtimes compute the casts once, when they load the graph. An array that half precision would overflow, or round
    by more than 2⁻¹¹ of its largest number, stays as it is.
    """
    smaller = ModelProto()
    smaller.CopyFrom(model)
    casts: list[NodeProto] = []
    for weight in smaller.graph.initializer:
        if weight.data_type != TensorProto.FLOAT or np.prod(weight.dims) < _LARGE:
            continue
        single = numpy_helper.to_array(weight)
        with np.errstate(over="ignore"):
            half = single.astype(np.float16)
        if not np.abs(single - half.astype(np.float32)).max() <= _ROUNDING * np.abs(single).max():
            continue
        name, stored = weight.name, f"{weight.name}.half"
        weight.CopyFrom(numpy_helper.from_array(half, stored))
        casts.append(helper.make_node("Cast", [stored], [name], name=f"{name}.single", to=TensorProto.FLOAT))
    nodes = [*casts, *smaller.graph.node]
    del smaller.graph.node[:]
    smaller.graph.node.extend(nodes)
    return smaller
