"""Learning from a teacher: the loss by hand, which view the teacher is asked for, and a training that is killed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from tuning_subject import CLASSES, TRAIN, VALIDATION, Pictures, fitted_head, job, network

from headstart.errors import SpecError
from headstart.models.freeze import fingerprint
from headstart.models.network import Network
from headstart.models.preprocessing import Preprocessing
from headstart.transfer.finetune.distillation import (
    Distillation,
    DistillationObjective,
    distillation_loss,
    softened,
)
from headstart.transfer.finetune.finetune import finetune
from headstart.transfer.finetune.loader import Batch
from headstart.transfer.finetune.recipe import Recipe
from headstart.transfer.frozen.predict import predict_probabilities
from headstart.transfer.strategy import Strategy

NONE = torch.zeros(1, 2)


@dataclass
class Table:
    """A teacher that reads its answers from a table and remembers which views it was asked for."""

    rows: npt.NDArray[np.float32]
    asked: set[int | None] = field(default_factory=set)
    key: str = "table"

    def __call__(self, rows: npt.NDArray[np.int64], view: int | None) -> npt.NDArray[np.float32]:
        self.asked.add(view)
        return self.rows[rows]


def certain(labels: npt.NDArray[np.int64], sure: float = 0.9) -> Table:
    rest = (1 - sure) / (CLASSES - 1)
    return Table(np.where(np.eye(CLASSES)[labels] > 0, sure, rest).astype(np.float32))


def recipe(**values: Any) -> Recipe:
    return Recipe(**{"epochs": 3, "batch_size": 8, "lr": 0.05, **values})


def test_the_loss_by_hand() -> None:
    """Logits 2 ln 2 and 0 at T = 2 are the odds 2 : 1; the teacher says 1 : 1, so the divergence is ln(3 / sqrt(8))."""
    logits = torch.tensor([[2 * math.log(2), 0.0]])
    soft, hard = torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0, 0.0]])
    divergence = math.log(3 / math.sqrt(8))  # ½ ln(½ / ⅔) + ½ ln(½ / ⅓)
    assert distillation_loss(logits, soft, hard, 2.0, 0.0).item() == pytest.approx(4 * divergence, abs=1e-6)
    entropy = math.log(5 / 4)  # the odds without a temperature are 4 : 1
    expected = 0.7 * 4 * divergence + 0.3 * entropy
    assert distillation_loss(logits, soft, hard, 2.0, 0.3).item() == pytest.approx(expected, abs=1e-6)
    assert distillation_loss(logits, soft, NONE, 2.0, 0.3).item() == pytest.approx(0.7 * 4 * divergence, abs=1e-6)


def test_a_student_that_agrees_has_no_loss_at_any_temperature() -> None:
    logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    for temperature in (0.5, 1.0, 4.0):
        soft = softened(logits.softmax(1), temperature)
        assert torch.allclose(soft, (logits / temperature).softmax(1), atol=1e-6)
        loss = distillation_loss(logits, soft, torch.zeros(5, 4), temperature, 0.0)
        assert loss.abs().max().item() == pytest.approx(0, abs=1e-5)


def test_the_square_of_the_temperature_keeps_the_size_of_the_gradients() -> None:
    """Hinton et al. 2015, equation 4: at high T the gradient is (z - v) / C for logits z, v of zero mean."""
    draw = torch.Generator().manual_seed(1)
    own, its = (each - each.mean(1, keepdim=True) for each in torch.randn(2, 3, 6, generator=draw))
    own.requires_grad_()
    soft = softened(its.softmax(1), 200.0)
    distillation_loss(own, soft, torch.zeros(3, 6), 200.0, 0.0).sum().backward()
    assert own.grad is not None and torch.allclose(own.grad, (own.detach() - its) / 6, atol=2e-3)


def test_images_without_a_label_count_for_the_teacher_alone() -> None:
    how = Distillation(certain(np.array([1, 2])), temperature=1.0, hard_labels=0.5)
    objective = DistillationObjective(recipe(), CLASSES, None, Preprocessing(size=4), 0, distillation=how)
    soft = torch.from_numpy(how.teacher(np.array([0, 1]), None))
    batch = Batch(torch.zeros(2, 3, 4, 4), torch.tensor([1, -1]), 0, 0, soft)
    inputs, targets = objective.mixed(batch)
    assert inputs is batch.inputs and targets[:, :CLASSES].tolist() == [[0, 1, 0], [0, 0, 0]]
    assert torch.allclose(targets[:, CLASSES:], soft, atol=1e-6)
    assert objective.answers(batch).tolist() == [1, 2]
    logits = torch.zeros(2, CLASSES)
    entropy = sum(p * math.log(3 * p) for p in (0.9, 0.05, 0.05))
    expected = 0.5 * entropy + 0.5 * (0.5 * math.log(3))  # both images' divergence, one cross entropy
    assert objective(logits, targets, objective.total(targets)).item() == pytest.approx(expected, abs=1e-5)


def test_labels_are_mixed_as_images_are() -> None:
    how = Distillation(certain(np.array([0, 1, 2])))
    mixed = recipe(augment=("mixup",), augment_options={"mixup": {"alpha": 1.0}})
    objective = DistillationObjective(
        mixed, CLASSES, None, Preprocessing(size=2, mean=(0.0,) * 3, std=(1.0,) * 3), 0, distillation=how
    )
    soft = torch.from_numpy(how.teacher(np.arange(3), None))
    pixels = torch.eye(3)[:, :, None, None].expand(3, 3, 2, 2) * 255
    inputs, targets = objective.mixed(Batch(pixels.to(torch.uint8), torch.arange(3), 0, 0, soft))
    shares = inputs[:, :, 0, 0]  # each image is one channel: the channels are its shares of the three
    assert torch.allclose(targets[:, :3], shares, atol=1e-5)
    assert torch.allclose(targets[:, 3:], shares @ soft, atol=1e-5)


def test_a_student_reproduces_its_teachers_labels(tmp_path: Path) -> None:
    """The teacher is this very network with a head that is fitted already, and nothing in it is random."""
    head = fitted_head()
    with torch.no_grad():
        head.weight *= 100  # so that it is sure of its answers, which are no images' own
    teacher = Network(network(), head).eval()
    pictures, rows = Pictures(), np.arange(TRAIN + VALIDATION)
    told = predict_probabilities(teacher, pictures, rows, teacher.backbone.preprocessing)
    wrong = (pictures.labels + 1) % CLASSES  # what the hard labels say must not count
    how = Distillation(Table(told), temperature=2.0)
    nothing = np.zeros(0, np.int64)
    asked = {"labels": wrong, "validation": nothing, "distillation": how, "train": rows}
    how_long = recipe(epochs=150, optimizer="adamw", lr=0.1, weight_decay=0.0, batch_size=33)
    student = finetune(job(tmp_path, Strategy("linear_probe"), how_long, **asked))
    assert float(student.history[0]["train_loss"] or 0) > 3 and float(student.history[-1]["train_loss"] or 9) < 0.2
    learned = predict_probabilities(student.network, pictures, rows, teacher.backbone.preprocessing)
    assert (learned.argmax(1) == told.argmax(1)).all()
    assert np.abs(learned - told).max() < 0.05
    assert how.teacher.asked == {None}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("strategy", "augment", "same", "views"),
    [
        (Strategy("fine_tune"), (), True, {None}),
        (Strategy("fine_tune"), ("horizontal_flip",), True, {0, 1, 2}),
        (Strategy("fine_tune"), ("horizontal_flip",), False, {None}),
        (Strategy("fine_tune", freeze_until="stage1", views=2), ("horizontal_flip",), True, {0, 1}),
        (Strategy("fine_tune", freeze_until="stage1"), (), True, {None}),
    ],
)
def test_the_teacher_is_asked_for_the_view_that_the_student_sees(
    strategy: Strategy, augment: tuple[str, ...], same: bool, views: set[int | None], tmp_path: Path
) -> None:
    table = certain(Pictures().labels)
    how = Distillation(table, same_view=same)
    finetune(job(tmp_path, strategy, recipe(augment=augment), distillation=how))
    assert table.asked == views


class Stopped(Exception):
    """Ends a training, as a power cut would."""


def test_a_training_that_was_interrupted_ends_with_the_same_bits(tmp_path: Path) -> None:
    def of(folder: str, **more: Any) -> Any:
        how = Distillation(certain(Pictures().labels), temperature=2.0, hard_labels=0.1)
        return job(tmp_path / folder, recipe=recipe(augment=("horizontal_flip", "mixup")), distillation=how, **more)

    def stop(row: Any) -> None:
        if row["epoch"] == 2:
            raise Stopped

    whole = finetune(of("whole"))
    with pytest.raises(Stopped):
        finetune(of("part", on_epoch=stop))
    resumed = finetune(of("part"))
    assert fingerprint(resumed.network) == fingerprint(whole.network)
    plain = finetune(job(tmp_path / "part", recipe=recipe(augment=("horizontal_flip", "mixup"))))
    assert fingerprint(plain.network) != fingerprint(whole.network)  # checkpoints of a teacher's are not resumed


def test_what_a_teacher_cannot_be_combined_with_is_refused(tmp_path: Path) -> None:
    how = Distillation(certain(Pictures().labels))
    with pytest.raises(SpecError, match="without class_weights"):
        finetune(job(tmp_path, recipe=recipe(class_weights="balanced"), distillation=how))
    labels = Pictures().labels.copy()
    labels[0] = -1
    with pytest.raises(SpecError, match="balanced_sampling needs the label of every training image"):
        finetune(job(tmp_path, recipe=recipe(balanced_sampling=True), labels=labels, distillation=how))
