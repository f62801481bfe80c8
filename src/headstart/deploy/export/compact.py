"""The arrays that say how familiar an image is, in few bits, and the scores that they give: a part of an int8 export.

Without this they would be most of the file. Where embeddings are wide, the training images to compare with, the means
of the classes and the head that the network was pretrained with get four bits a number, other large arrays eight. The
matrix that whitens becomes a triangle, where it can, and its zeros are left out. A score changes a little with that,
and with the network in int8, so what is familiar is calibrated again: the scores of the same validation images before
and after say how far scores moved.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from scipy import linalg

PREFIX = "familiar."  # of the arrays' names in a graph
_CENTRE, _RANKED, _WHITENING, _MEANS = f"{PREFIX}centre", f"{PREFIX}ranked", f"{PREFIX}whitening_half", f"{PREFIX}means"
_BANK, _SOURCE = f"{PREFIX}bank_bytes", f"{PREFIX}source_half"
_SHARED = {  # the axis of numbers that share a scale: those of an image, a class, a column
    _MEANS: 1,
    _WHITENING: 0,
    _BANK: 1,
    f"{PREFIX}principal_half": 0,
    f"{PREFIX}shown_half": 0,
    _SOURCE: 0,
}
_FOUR_BITS = (_MEANS, _BANK, _SOURCE)
_WIDE = 1024  # numbers of an embedding whose errors average out; arrays for fewer are small
_BLOCKS = 32  # of columns of the triangle
_BYTE, _NIBBLE = 127, 7
_FLOOR = 1e-12


def compact_familiarity(model: ModelProto) -> Pieces:
    """Return what a graph gets in place of the arrays that its familiarity compares with: four and eight bits.

    Quantising the rest changes nothing of it.
    """
    arrays = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    arrays |= _turned(arrays)
    pieces, wide = Pieces(), _width(arrays) >= _WIDE
    for name in [each for each in arrays if each.startswith(PREFIX)]:
        array = arrays[name].astype(np.float64)
        if name == _WHITENING and _is_triangle(array):
            pieces.triangle(name, array)
        elif name == _SOURCE:  # the last row is the bias, whose size is another
            pieces.with_bias(name, array, wide=wide)
        elif name in _FOUR_BITS and wide:
            pieces.four_bits(name, array, _SHARED[name])
        elif name in _SHARED:
            pieces.eight_bits(name, array, _SHARED[name])
    return pieces


def with_compact_familiarity(model: ModelProto, pieces: Pieces) -> ModelProto:
    """Return a copy of a graph, or of what became of it in int8, with these pieces in place of the arrays.

    Runtimes compute the arrays once, when they load the graph.
    """
    smaller = ModelProto()
    smaller.CopyFrom(model)
    made = {name for node in pieces.nodes for name in node.output}
    kept = [each for each in smaller.graph.initializer if each.name not in made]
    del smaller.graph.initializer[:]
    smaller.graph.initializer.extend([*kept, *pieces.initializers])
    nodes = [*pieces.nodes, *smaller.graph.node]
    del smaller.graph.node[:]
    smaller.graph.node.extend(nodes)
    del smaller.graph.value_info[:]  # the arrays have other types now
    return smaller


def with_scores(model: ModelProto) -> ModelProto:
    """Return a copy of a graph with one more output, the last: the scores before they are ranked, float32 [n, 1]."""
    asked = ModelProto()
    asked.CopyFrom(model)
    (compared,) = [node for node in asked.graph.node if _RANKED in node.input]
    (score,) = [name for name in compared.input if name != _RANKED]
    asked.graph.output.append(helper.make_empty_tensor_value_info(score))
    return asked


def recalibrated(model: ModelProto, before: Float[np.ndarray, " n"], after: Float[np.ndarray, " n"]) -> ModelProto:
    """Return a copy of a graph that ranks its scores among what those of familiar images are now.

    Args:
        model: with the scores of familiar images as they were.
        before, after: scores of the same images by the former graph and by this one.
    """
    changed = ModelProto()
    changed.CopyFrom(model)
    for each in changed.graph.initializer:
        if each.name == _RANKED:
            ranked = moved(numpy_helper.to_array(each).astype(np.float64), np.sort(before), np.sort(after))
            each.CopyFrom(numpy_helper.from_array(ranked.astype(np.float32), _RANKED))
    return changed


def moved(
    values: Float[np.ndarray, " m"], old: Float[np.ndarray, " n"], new: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " m"]:
    """Return values with the quantiles of `new` in place of those of `old`, which are sorted.

    Beyond their ends the values move as far as the nearest end does.
    """
    beyond = np.minimum(values - old[0], 0) + np.maximum(values - old[-1], 0)
    return np.asarray(np.interp(values, old, new) + beyond)


def _turned(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return what whitens as an upper triangle, and the means of the classes turned in the same way.

    Nothing where it is a triangle already, or where the exporter made another array of the means, as it does of few.
    """
    if not {_WHITENING, _MEANS} <= set(arrays):
        return {}
    white, across = arrays[_WHITENING].astype(np.float64), arrays[_MEANS].T
    if _is_triangle(white) or any(np.array_equal(each, across) for each in arrays.values()):
        return {}
    triangle, turn = linalg.rq(white)
    return {_WHITENING: triangle, _MEANS: arrays[_MEANS].astype(np.float64) @ turn.T}


def _width(arrays: dict[str, np.ndarray]) -> int:
    """Return how many numbers an embedding has; 0 where no array says."""
    return next((arrays[name].shape[-1] for name in (_CENTRE, _BANK) if name in arrays), 0)


def _is_triangle(array: np.ndarray) -> bool:
    return not np.tril(array, -1).any()


@dataclass
class Pieces:
    """What a graph gets instead of some arrays: smaller ones, and the nodes that make the arrays of them."""

    initializers: list[TensorProto] = field(default_factory=list)
    nodes: list[NodeProto] = field(default_factory=list)

    def eight_bits(self, name: str, array: np.ndarray, axis: int) -> None:
        """Store whole numbers up to 127 and a scale for each row (axis 1) or column (axis 0)."""
        scale = _scale(array, axis, _BYTE)
        codes = self._constant(f"{name}.codes", np.round(array / scale).astype(np.int8))
        self._node("Mul", [self._cast(codes), self._constant(f"{name}.scale", scale.astype(np.float32))], name)

    def four_bits(self, name: str, array: np.ndarray, axis: int) -> None:
        """Store whole numbers up to 7, two to a byte: the first half of the columns and the second, and a scale."""
        width = array.shape[1]
        scale = _scale(array, axis, _NIBBLE)
        codes = np.pad(np.round(array / scale) + _NIBBLE + 1, ((0, 0), (0, width % 2))).astype(np.uint8)
        low, high = np.split(codes, 2, axis=1)
        both = self._cast(self._constant(f"{name}.codes", low + 16 * high))
        sixteen = self._constant(f"{name}.sixteen", np.float32(16))
        first = self._node("Floor", [self._node("Div", [both, sixteen])])
        second = self._node("Sub", [both, self._node("Mul", [first, sixteen])])
        joined = self._node("Concat", [second, first], axis=1)
        if width % 2:
            ends = [self._constant(f"{name}.{k}", np.array([v])) for k, v in enumerate((0, width, 1))]
            joined = self._node("Slice", [joined, *ends])
        zero = self._constant(f"{name}.zero", np.float32(_NIBBLE + 1))
        centred = self._node("Sub", [joined, zero])
        self._node("Mul", [centred, self._constant(f"{name}.scale", scale.astype(np.float32))], name)

    def with_bias(self, name: str, array: np.ndarray, *, wide: bool) -> None:
        """Store a matrix by columns, its last row as it is."""
        store = self.four_bits if wide else self.eight_bits
        store(f"{name}.weights", array[:-1], 0)
        bias = self._constant(f"{name}.bias", array[-1:].astype(np.float32))
        self._node("Concat", [f"{name}.weights", bias], name, axis=0)

    def triangle(self, name: str, array: np.ndarray) -> None:
        """Store an upper triangle in blocks of columns, each down to where its zeros begin."""
        whole = []
        for number, columns in enumerate(np.array_split(np.arange(len(array)), min(_BLOCKS, len(array)))):
            block, end = f"{name}.{number}", int(columns[-1]) + 1
            self.eight_bits(block, array[:end, columns], 0)
            rest = self._constant(f"{block}.rest", np.array([0, 0, len(array) - end, 0]))
            whole.append(self._node("Pad", [block, rest]))
        self._node("Concat", whole, name, axis=1)

    def _constant(self, name: str, array: np.ndarray | np.generic) -> str:
        self.initializers.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def _cast(self, name: str) -> str:
        return self._node("Cast", [name], f"{name}.float", to=TensorProto.FLOAT)

    def _node(self, kind: str, inputs: list[str], output: str = "", **options: int) -> str:
        output = output or f"{inputs[0]}.{kind}"
        self.nodes.append(helper.make_node(kind, inputs, [output], name=f"{output}.made", **options))
        return output


def _scale(array: np.ndarray, axis: int, most: int) -> np.ndarray:
    """Return what stands for 1, of each row (axis 1) or column (axis 0); it is stored in single precision."""
    largest = np.maximum(np.abs(array).max(axis, keepdims=True), _FLOOR)
    return np.asarray((largest / most).astype(np.float32).astype(np.float64))
