from __future__ import annotations

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from headstart.deploy.export.sensitivity import layers_by_error


def chain(*factors: float) -> ModelProto:
    """Return a graph of matrix products with multiples of the identity."""
    nodes, weights = [], []
    for k, factor in enumerate(factors):
        weights.append(numpy_helper.from_array((factor * np.eye(3)).astype(np.float32), f"w{k}"))
        nodes.append(helper.make_node("MatMul", [f"x{k}", f"w{k}"], [f"x{k + 1}"], name=f"layer{k}"))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3]) for name in ("x0", f"x{len(factors)}")]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def test_the_layer_that_adds_most_error_is_first_not_those_behind_it() -> None:
    feed = {"x0": np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)}
    layers = ["layer0", "layer1", "layer2"]
    found = layers_by_error(chain(1, 2, 3), chain(1, 2 * 1.5, 3 * 1.1), layers, feed)
    # relative errors of the outputs: 0, 0.5² = 0.25, (1.5 · 1.1 - 1)² = 0.4225; added: 0, 0.25, 0.1725
    assert found == ["layer1", "layer2", "layer0"]
