"""An int8 ONNX graph: calibrated on training images, its loss measured on validation images, paired.

Layers whose outputs suffer most are kept in float, twice as many each time, until the loss is under the margin.
Weights get seven of the eight bits: with eight, the products of two layers' bytes overflow the sixteen-bit sums of
processors without VNNI, and the same file would give other labels there. What says how familiar an image is gets
fewer bits by other means; see `headstart.deploy.export.compact`.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto

from headstart.data.decoding.decode import decode, quiet_pillow
from headstart.deploy.export.accuracy_lost import accuracy_lost
from headstart.deploy.export.compact import (
    compact_familiarity,
    recalibrated,
    with_compact_familiarity,
    with_scores,
)
from headstart.deploy.export.familiar import FAMILIARITY
from headstart.deploy.export.pictures import Material, Pictures
from headstart.deploy.export.program import OUTPUTS, Input, inputs_of, outputs_of
from headstart.deploy.export.sensitivity import layers_by_error, session_of
from headstart.errors import ModelError
from headstart.evaluate.correlation import rank_correlation
from headstart.models.bundle import Ensemble
from headstart.progress import progress, say
from headstart.transfer.loggers import logged_from

CALIBRATION, MEASURED = 256, 5000  # pictures at most
LAYERS = ("Conv", "Gemm", "MatMul", "ConvTranspose")
JOINED = ("Add", "Relu", "Clip", "MaxPool", "GlobalAveragePool", "AveragePool", "ReduceMean")  # between layers
MOST = 0.5  # of the layers: with more of them in float, the file is not worth its name
BATCH = 16
LEAST_ALIKE = 0.9  # rank correlation of familiarity in float and in eight bits

Feed = dict[str, np.ndarray]


@dataclass(frozen=True)
class Loss:
    """What int8 costs on the validation images, in points of accuracy.

    Args:
        points: accuracy lost; below zero, gained.
        low, high: 95 % interval, of the paired difference.
        n: validation images.
        margin: that was allowed.
        layers: in the network.
        kept: names of those that stay in float.
        seen: the model had learned from the validation images.
    """

    points: float
    low: float
    high: float
    n: int
    margin: float
    layers: int
    kept: tuple[str, ...]
    seen: bool

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    def __str__(self) -> str:
        kept = f"{len(self.kept)} of {self.layers} layers kept in float" if self.kept else "every layer in int8"
        reach = ""
        if self.high > self.margin:
            reach = f"; the interval reaches above the margin of {self.margin:g}, for there are few validation images"
        seen = " The model had learned from these images too, so test images may lose more." if self.seen else ""
        return (
            f"int8: {self.points:.2f} points of accuracy lost on {self.n:,} validation images (95 % interval"
            f" {self.low:.2f} to {self.high:.2f}), {kept}{reach}.{seen}"
        )


def quantise(
    graph: ModelProto, ensemble: Ensemble, material: Material, margin: float, advice: str = ""
) -> tuple[ModelProto, Loss]:
    """Return the int8 graph and the accuracy that it costs.

    Args:
        graph: in float.
        ensemble: the model that it is of.
        material: the pictures.
        margin: points of accuracy that may be lost.
        advice: what the caller's user can do where the margin cannot be kept; the message ends with it.

    Raises:
        ModelError: there are no training or validation images, no layer to quantise, or the margin cannot be kept.
    """
    check_material(material)
    assert material.train is not None and material.validation is not None
    inputs = inputs_of(ensemble)
    layers = _layers(graph)
    if not layers:
        raise ModelError("int8 has nothing to do here: the model has no convolution and no matrix product")
    with tempfile.TemporaryDirectory() as folder, quiet_pillow():
        calibration = _feeds(material.train.first(CALIBRATION), inputs, Path(folder) / "calibration")
        measured = material.validation.first(MEASURED)
        validation = _feeds(measured, inputs, Path(folder) / "validation")
        before, old = _measured(graph, validation, measured.labels, ensemble)
        smaller = None if old is None else compact_familiarity(graph)
        ranked: Sequence[str] = ()
        quantised = graph
        for count in _counts(len(layers)):
            if count and not ranked:
                ranked = layers_by_error(graph, quantised, layers, next(calibration(BATCH)))
            kept = tuple(ranked[:count])
            quantised = _quantised(graph, calibration, kept, Path(folder))
            if smaller is not None:
                quantised = with_compact_familiarity(quantised, smaller)
            after, new = _measured(quantised, validation, measured.labels, ensemble)
            loss = _loss(before, after, margin, len(layers), kept, material.seen)
            if loss.points <= margin:
                return quantised if old is None or new is None else _calibrated_again(quantised, old, new), loss
            say(f"int8: {loss.points:.2f} points lost with {count} layers in float, more than the margin of {margin:g}")
    raise ModelError(
        f"int8 cannot keep the loss under {margin:g} points: it is {loss.points:.2f} ({loss.low:.2f} to"
        f" {loss.high:.2f}) with {len(loss.kept)} of {loss.layers} layers in float{advice}"
    )


def _calibrated_again(graph: ModelProto, old: np.ndarray, new: np.ndarray) -> ModelProto:
    """Return the graph with its scores calibrated; say so where they are no longer those of the original."""
    if len(old) > 2 and (alike := rank_correlation(old, new)) < LEAST_ALIKE:
        say(
            f"int8: how familiar the validation images are has changed (rank correlation {alike:.2f}); export without"
            " --int8 where that matters"
        )
    return recalibrated(graph, old, new)


def check_material(material: Material) -> None:
    """Refuse where the pictures that int8 needs are not at hand.

    Raises:
        ModelError: what is missing.
    """
    if material.train is None or material.validation is None or not material.validation.count:
        raise ModelError(
            "int8 needs the training images to calibrate and labelled validation images to measure the loss, and they"
            " are not available: give the study folder or a run folder in it, where its images are"
        )
    if material.validation.labels is None:
        raise ModelError(
            "int8 needs validation images that are labelled with the model's own classes to measure the loss; this"
            " model has others than its study's images"
        )


def _counts(layers: int) -> Iterator[int]:
    """Yield how many layers to keep in float: none, 1, 2, 4 … up to half of them."""
    yield 0
    count = 1
    while count <= MOST * layers:
        yield count
        count *= 2


def _loss(before: np.ndarray, after: np.ndarray, margin: float, layers: int, kept: tuple[str, ...], seen: bool) -> Loss:
    lost = accuracy_lost(before, after)
    return Loss(*lost, n=len(before), margin=margin, layers=layers, kept=kept, seen=seen)


class _Feeds:
    """Pictures at the network's sizes, decoded once into files; a call gives them in batches."""

    def __init__(self, arrays: Mapping[str, np.ndarray], count: int) -> None:
        self.arrays, self.count = arrays, count

    def __call__(self, size: int = BATCH) -> Iterator[Feed]:
        for start in range(0, self.count, size):
            yield {name: np.asarray(array[start : start + size]) for name, array in self.arrays.items()}


def _feeds(pictures: Pictures, inputs: Sequence[Input], place: Path) -> _Feeds:
    arrays: dict[str, np.ndarray] = {}
    for each in inputs:
        shape = (pictures.count, each.view.crop or 1, each.view.crop or 1, 3)
        arrays[each.name] = np.lib.format.open_memmap(f"{place}-{each.name}.npy", "w+", np.uint8, shape)
    with progress("decode for int8", pictures.count) as ticker:
        for k, picture in enumerate(pictures):
            whole = decode(picture)
            for each in inputs:
                arrays[each.name][k] = decode(whole, each.view)
            ticker.advance(1)
    return _Feeds(arrays, pictures.count)


def _measured(
    graph: ModelProto, feeds: _Feeds, labels: np.ndarray | None, ensemble: Ensemble
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return whether the label of each picture is right, bool [n] (of multi-label models, all of its labels), and the
    scores [n] of how familiar it is; None from a graph that does not say.
    """
    assert labels is not None, "validation images have labels"
    tells = FAMILIARITY in outputs_of(ensemble)
    session = session_of(with_scores(graph) if tells else graph)
    answers = [session(feed) for feed in feeds()]
    same: np.ndarray = np.concatenate([each[1] for each in answers]) == labels
    right = np.asarray(same.all(1)) if ensemble.members[0].multi_label else same
    return right, np.concatenate([each[-1].reshape(-1) for each in answers]).astype(np.float64) if tells else None


class _Reader:
    """What ONNX Runtime's calibration reads."""

    def __init__(self, feeds: _Feeds) -> None:
        self._batches = feeds(BATCH)

    def get_next(self) -> Feed | None:
        """Return the next batch, or None at the end."""
        return next(self._batches, None)


def _quantised(graph: ModelProto, calibration: _Feeds, kept: Sequence[str], folder: Path) -> ModelProto:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    CalibrationDataReader.register(_Reader)
    target, copied = folder / "int8.onnx", ModelProto()
    copied.CopyFrom(graph)  # the quantiser moves the weights of what it is given into a file of its own
    with logged_from(logging.ERROR, ""), warnings.catch_warnings():  # it advises what the exporter has done already
        warnings.simplefilter("ignore")
        quantize_static(
            copied,
            target,
            _Reader(calibration),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=[*LAYERS, *JOINED],
            nodes_to_exclude=[*kept, *_outside(graph)],
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
    return onnx.load(target)


def _layers(graph: ModelProto) -> list[str]:
    """Return the layers that the answer comes from; what says how familiar an image is stays in float."""
    needed = set(OUTPUTS)
    found = []
    for node in reversed(graph.graph.node):
        if any(name in needed for name in node.output):
            needed.update(node.input)
            if node.op_type in LAYERS:
                found.append(node.name)
    return found[::-1]


def _outside(graph: ModelProto) -> list[str]:
    """Return the nodes before the first layer and after the last (normalisation, calibration, label rule), and those
    that say how familiar an image is.
    """
    layers = set(_layers(graph))
    fed: set[str] = set()
    for node in graph.graph.node:
        if node.name in layers or any(name in fed for name in node.input):
            fed.update(node.output)
    feeding: set[str] = set()
    for node in reversed(graph.graph.node):
        if node.name in layers or any(name in feeding for name in node.output):
            feeding.update(node.input)
    return [
        node.name
        for node in graph.graph.node
        if node.name not in layers
        and not (any(name in fed for name in node.output) and any(name in feeding for name in node.output))
    ]
