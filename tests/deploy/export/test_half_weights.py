from __future__ import annotations

import numpy as np
import onnxruntime
from onnx import ModelProto, TensorProto, helper, numpy_helper

from headstart.deploy.export.half_weights import with_half_weights


def product(weight: np.ndarray) -> ModelProto:
    """A graph that multiplies its input with a matrix."""
    shapes = [("x", [None, weight.shape[0]]), ("y", [None, weight.shape[1]])]
    into, out = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes)
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "product", [into], [out], [numpy_helper.from_array(weight, "w")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def computed(model: ModelProto, rows: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": rows})[0])


def test_large_weights_take_half_the_bytes_and_are_computed_with_in_single_precision() -> None:
    generator = np.random.default_rng(0)
    weight, rows = generator.normal(size=(64, 64)).astype(np.float32), generator.normal(size=(5, 64)).astype(np.float32)
    whole = product(weight)
    smaller = with_half_weights(whole)
    assert [(each.data_type, len(each.raw_data)) for each in smaller.graph.initializer] == [
        (TensorProto.FLOAT16, weight.nbytes // 2)
    ]
    expected = rows @ weight.astype(np.float16).astype(np.float32)
    np.testing.assert_allclose(computed(smaller, rows), expected, atol=1e-5)
    np.testing.assert_allclose(computed(whole, rows), rows @ weight, atol=1e-5)  # the original is as it was


def test_weights_that_half_precision_cannot_hold_stay() -> None:
    plain = np.full((64, 64), 0.1, np.float32)
    for weight in (plain[:63], plain * 1e6, plain * 1e-7):  # small, too large, lost in rounding
        model = product(weight)
        assert with_half_weights(model) == model
    assert with_half_weights(product(plain)) != product(plain)
