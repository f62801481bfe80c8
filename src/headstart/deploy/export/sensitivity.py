"""Which layers suffer most from eight bits: the error that each adds to its own output."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from onnx import ModelProto, helper

from headstart.threads import cores

Feed = dict[str, np.ndarray]
Session = Callable[[Feed], list[np.ndarray]]


def session_of(graph: ModelProto) -> Session:
    """Return what runs a graph in this process."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = cores(), 3
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def run(feed: Feed) -> list[np.ndarray]:
        found: list[np.ndarray] = session.run(None, feed)
        return found

    return run


def layers_by_error(graph: ModelProto, quantised: ModelProto, layers: Sequence[str], feed: Feed) -> list[str]:
    """Return the layers, the one whose output differs most between the two graphs first.

    The difference is the mean square of the error over that of the output (Krishnamoorthi 2018 uses its logarithm).
    What a layer inherits from those before it is taken off, so that one bad layer does not blame all behind it.

    Args:
        graph, quantised: before and after; layers keep their names.
        layers: their names, in the order of the graph.
        feed: some pictures.
    """
    before, after = (_outputs(each, layers, feed) for each in (graph, quantised))
    error: dict[str, float] = {}
    for name in layers:
        if name in before and name in after and before[name].shape == after[name].shape:
            power = float(np.square(before[name], dtype=np.float64).mean())
            error[name] = float(np.square(before[name] - after[name], dtype=np.float64).mean()) / max(power, 1e-12)
    inherited = 0.0
    added: dict[str, float] = {}
    for name in layers:
        added[name] = error.get(name, 0.0) - inherited
        inherited = error.get(name, inherited)
    return sorted(layers, key=lambda name: -added[name])


def _outputs(graph: ModelProto, layers: Sequence[str], feed: Feed) -> dict[str, np.ndarray]:
    """Return what each layer puts out."""
    copied = ModelProto()
    copied.CopyFrom(graph)
    wanted = {node.name: node.output[0] for node in copied.graph.node if node.name in set(layers)}
    present = {each.name for each in copied.graph.output}
    copied.graph.output.extend(
        helper.make_empty_tensor_value_info(name) for name in wanted.values() if name not in present
    )
    names = [each.name for each in copied.graph.output]
    values = dict(zip(names, session_of(copied)(feed), strict=True))
    return {layer: values[name] for layer, name in wanted.items()}
