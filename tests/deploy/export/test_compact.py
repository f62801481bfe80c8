from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from onnx import ModelProto, helper, numpy_helper
from torch import Tensor, nn

from headstart.deploy.export.compact import (
    compact_familiarity,
    moved,
    recalibrated,
    with_compact_familiarity,
    with_scores,
)
from headstart.deploy.export.familiar import FAMILIARITY, Familiar
from headstart.deploy.export.sensitivity import session_of
from headstart.evaluate.uncertainty.answers import Uncertainty, held_out_of
from headstart.evaluate.uncertainty.familiarity import WITH_SOURCE, SourceHead, familiarity, fit_reference
from headstart.evaluate.uncertainty.stored import rounded
from tests.evaluate.uncertainty.test_conformal import honest

CLASSES, TRAIN, HELD, SOURCES = 64, 150, 99, 80
BIAS = 1000.0  # of all classes: it changes nothing
NARROW, MORE_THAN_IMAGES, WIDE = 137, 160, 1025  # arrays of less than 8,192 numbers are folded by the exporter


class OnlyFamiliar(nn.Module):
    """A graph of nothing but familiarity, with the names that an export gives its arrays."""

    def __init__(self, known: Uncertainty) -> None:
        super().__init__()
        self.familiar = Familiar(known)

    def forward(self, features: Tensor, logits: Tensor) -> Tensor:
        return self.familiar(features, logits)


def seen(
    count: int, seed: int, width: int, classes: int = CLASSES, spread: float = 1.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return embeddings around one centre a class, their labels, and logits."""
    centres = np.random.default_rng(99).normal(0, 2, (classes, width))
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, count)
    embeddings = (centres[labels] + generator.normal(0, spread, (count, width))).astype(np.float32)
    return embeddings, labels, (embeddings @ centres.T / 20).astype(np.float32)


@cache
def known(score: str, width: int, classes: int = CLASSES) -> Uncertainty:
    train, labels, logits = seen(TRAIN, 0, width, classes)
    source = SourceHead(
        np.random.default_rng(8).normal(0, 0.3, (SOURCES, width)), np.random.default_rng(9).normal(0, 1, SOURCES) + BIAS
    )
    reference = rounded(fit_reference(train, labels, logits, score=score, source=source), score)
    held, _, held_logits = seen(HELD, 1, width, classes)
    probabilities, right = honest(HELD, classes, 0)
    answers = held_out_of(probabilities.astype(np.float32), right)
    return Uncertainty(classes, answers, score, reference, familiarity(score, reference, held, held_logits))


@cache
def graph(score: str, width: int, classes: int) -> ModelProto:
    examples = (torch.ones(3, width), torch.ones(3, classes))
    rows = {0: torch.export.Dim("n", min=1)}
    module = OnlyFamiliar(known(score, width, classes)).eval()
    program = torch.export.export(module, examples, dynamic_shapes=(rows, rows))
    exported = torch.onnx.export(
        program, dynamo=True, input_names=["features", "logits"], output_names=[FAMILIARITY], verbose=False
    )
    assert exported is not None
    model: ModelProto = exported.model_proto
    return model


def smaller_of(model: ModelProto) -> ModelProto:
    return with_compact_familiarity(model, compact_familiarity(model))


def found(model: ModelProto, embeddings: np.ndarray, logits: np.ndarray) -> list[np.ndarray]:
    return session_of(model)({"features": embeddings, "logits": logits})


@pytest.mark.long
@pytest.mark.parametrize(
    ("score", "width", "classes"),
    [
        (WITH_SOURCE, WIDE, CLASSES),
        (WITH_SOURCE, NARROW, CLASSES),
        (WITH_SOURCE, MORE_THAN_IMAGES, CLASSES),
        (WITH_SOURCE, MORE_THAN_IMAGES, 4),
        ("vim", NARROW, CLASSES),
        ("softmax", NARROW, CLASSES),
    ],
)
def test_scores_in_few_bits_are_nearly_the_same(score: str, width: int, classes: int) -> None:
    new, _, logits = seen(200, 2, width, classes)
    far, _, far_logits = seen(200, 3, width, classes, spread=4.0)
    exact = graph(score, width, classes)
    for embeddings, theirs in ((new, logits), (far, far_logits)):
        before, after = (found(with_scores(each), embeddings, theirs)[-1][:, 0] for each in (exact, smaller_of(exact)))
        assert np.corrcoef(before, after)[0, 1] > (
            0.97 if width == WIDE else 0.998
        )  # noise has nearly the same cosines


def stored(model: ModelProto) -> dict[str, np.ndarray]:
    return {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}


@pytest.mark.long
def test_two_numbers_share_a_byte_and_zeros_are_left_out() -> None:
    before, after = (
        stored(graph(WITH_SOURCE, WIDE, CLASSES)),
        stored(smaller_of(graph(WITH_SOURCE, WIDE, CLASSES))),
    )
    assert before["familiar.whitening_half"].shape == (WIDE, WIDE)
    assert not {"familiar.whitening_half", "familiar.bank_bytes", "familiar.means"} & set(after)
    assert after["familiar.bank_bytes.codes"].shape == (TRAIN, 513)  # 1,025 columns and one that is dropped
    assert after["familiar.source_half.weights.codes"].shape == (WIDE, SOURCES // 2)
    assert after["familiar.means.codes"].shape == (len(before["familiar.means"]), 513)
    triangle = [array for name, array in after.items() if "whitening_half" in name and name.endswith(".codes")]
    # a block of 33 columns down to row 33, then 31 blocks of 32 columns down to rows 65, 97, … 1,025
    assert sum(each.size for each in triangle) == 33 * 33 + 32 * sum(range(65, 1026, 32)) == 541_729


@pytest.mark.long
def test_a_number_is_off_by_half_a_step_at_most() -> None:
    model = graph(WITH_SOURCE, WIDE, CLASSES)
    before, smaller = stored(model), smaller_of(model)
    names = ("familiar.bank_bytes", "familiar.source_half")
    smaller.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    embeddings, _, logits = seen(2, 2, WIDE)
    _, bank, source = found(smaller, embeddings, logits)
    bias = before["familiar.source_half"][-1:].astype(np.float32)
    assert (source[-1:] == bias).all() and np.abs(bias).max() > 3 * np.abs(source[:-1]).max()
    for restored, exact, axis in (
        (bank, before["familiar.bank_bytes"].astype(np.float64), 1),
        (source[:-1], before["familiar.source_half"][:-1].astype(np.float64), 0),
    ):
        step = np.abs(exact).max(axis, keepdims=True) / 7
        assert (np.abs(restored - exact) <= 0.5001 * step).all()
        assert np.abs(restored - exact).max() > 0.2 * step.max()  # the bits are as few as they are said to be


@pytest.mark.long
def test_familiar_images_are_as_familiar_as_before() -> None:
    model = graph(WITH_SOURCE, WIDE, CLASSES)
    smaller = smaller_of(model)
    held, _, logits = seen(HELD, 1, WIDE)
    before, after = (found(with_scores(each), held, logits)[-1][:, 0].astype(np.float64) for each in (model, smaller))
    assert np.abs(before - after).max() > 1e-3
    expected = np.arange(2, HELD + 2) / (HELD + 1)  # each is as familiar as itself and all below
    off, still_off = (
        np.abs(np.sort(found(each, held, logits)[0]) - expected).max()
        for each in (smaller, recalibrated(smaller, before, after))
    )
    assert still_off < 2.1 / (HELD + 1) < off


def test_values_take_the_quantiles_of_the_new_scores() -> None:
    old, new = np.array([0.0, 1.0, 3.0]), np.array([10.0, 14.0, 15.0])
    values = np.array([-2.0, 0.0, 0.5, 1.0, 2.0, 3.0, 4.5])
    assert moved(values, old, new).tolist() == [8.0, 10.0, 12.0, 14.0, 14.5, 15.0, 16.5]
