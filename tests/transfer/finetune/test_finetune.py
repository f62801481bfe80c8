"""Fine-tuning end to end on a tiny network: what is stored, what survives, what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from tuning_subject import CLASSES, TRAIN, VALIDATION, Pictures, fitted_head, job, network

from headstart.errors import DataError, HeadstartError, ModelError, RunFailed, SpecError
from headstart.models.freeze import fingerprint
from headstart.models.heads import LinearHead
from headstart.transfer.finetune.finetune import finetune
from headstart.transfer.finetune.job import TuneResult
from headstart.transfer.finetune.learned_network import LearnedNetwork
from headstart.transfer.finetune.loader import Batches
from headstart.transfer.finetune.recipe import Recipe
from headstart.transfer.finetune.routes import describe_plan
from headstart.transfer.frozen.predict import predict_probabilities
from headstart.transfer.strategy import Strategy

ROWS = np.arange(TRAIN, TRAIN + VALIDATION)
NOTHING = np.zeros(0, np.int64)
FROZEN = Strategy("fine_tune", freeze_until="stage1")


def recipe(**values: Any) -> Recipe:
    return Recipe(**{"epochs": 3, "batch_size": 8, "lr": 0.05, **values})


def losses(result: TuneResult) -> list[float]:
    return [float(row["train_loss"] or 0) for row in result.history]


def bits(result: TuneResult) -> str:
    return fingerprint(result.network)


def bits_of(module: nn.Module) -> str:
    return fingerprint(module)


def test_it_learns(tmp_path: Path) -> None:
    result = finetune(job(tmp_path, recipe=recipe(epochs=12)))
    assert losses(result)[-1] < 0.6 < losses(result)[0]
    probabilities = predict_probabilities(
        result.network, Pictures(), ROWS, result.network.backbone.preprocessing, tta="flip"
    )
    assert probabilities.dtype == np.float32 and np.allclose(probabilities.sum(1), 1, atol=1e-5)
    assert (probabilities.argmax(1) == Pictures().labels[ROWS]).mean() > 0.7
    assert result.learned_parameters == result.total_parameters == sum(p.numel() for p in result.network.parameters())


@pytest.mark.parametrize(
    "strategy", [FROZEN, Strategy("linear_probe"), Strategy("lp_ft"), Strategy("gradual", thaw_every=2)]
)
def test_stored_activations_change_no_loss_by_more_than_a_thousandth(strategy: Strategy, tmp_path: Path) -> None:
    stored = finetune(job(tmp_path / "a", strategy, recipe(epochs=4)))
    plain = finetune(job(tmp_path / "b", strategy, recipe(epochs=4), store_activations=False))
    assert {route.mode for route in stored.routes} > set() and "stored" in {route.mode for route in stored.routes}
    assert "stored" not in {route.mode for route in plain.routes}
    assert losses(stored) == pytest.approx(losses(plain), abs=1e-3)
    for a, b in zip(stored.history, plain.history, strict=True):
        assert a["validation_loss"] == pytest.approx(b["validation_loss"], abs=1e-3)


def test_stored_views_are_taken_in_turn_and_validation_is_not_augmented(tmp_path: Path) -> None:
    augment = recipe(augment=("horizontal_flip",), epochs=4)
    result = finetune(job(tmp_path, Strategy("fine_tune", freeze_until="stage1", views=2), augment))
    (route,) = result.routes
    assert route.mode == "views" and "2 augmented views" in route.reason
    features = list((tmp_path / "store" / "features").iterdir())
    assert len(features) == 3  # two views of the training rows, one plain of the validation rows
    plain = finetune(job(tmp_path / "fly", FROZEN, augment))
    assert plain.routes[0].mode == "on the fly" and "horizontal_flip" in plain.routes[0].reason
    assert losses(result)[:2] == pytest.approx(losses(plain)[:2], abs=1e-3)  # the first two epochs see the same views


def test_what_mixes_pairs_runs_on_the_fly_and_learns(tmp_path: Path) -> None:
    mixed = recipe(augment=("mixup", "cutmix"), epochs=2)
    result = finetune(job(tmp_path, Strategy("fine_tune", freeze_until="stem", views=3), mixed))
    assert result.routes[0].mode == "on the fly" and "mixup and cutmix" in result.routes[0].reason


def test_no_room_for_activations_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headstart.transfer.finetune.assembly.free_bytes", lambda store: 1000.0)
    result = finetune(job(tmp_path, FROZEN))
    assert any("activations take" in note for note in result.notes)


def test_the_plan_says_what_is_learned_and_why() -> None:
    text = describe_plan(Strategy("gradual", thaw_every=2), recipe(epochs=4), network(), 100)
    assert text.splitlines() == [
        "from epoch 1: learns head; stored: the network up to 'pool' is frozen and no augmentation changes the"
        " pixels: computed once and stored",
        "from epoch 3: learns stage3, head; stored: the network up to 'stage2' is frozen and no augmentation changes"
        " the pixels: computed once and stored",
    ]


def test_the_same_job_gives_the_same_bits_and_leaves_torchs_generator_alone(tmp_path: Path) -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = finetune(job(tmp_path / "a"))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    second = finetune(job(tmp_path / "b", workers=2))
    assert bits(first) == bits(second) and losses(first) == losses(second)
    assert bits(finetune(job(tmp_path / "c", seed=6))) != bits(first)


def test_a_finished_job_comes_back_from_its_folder(tmp_path: Path) -> None:
    first = finetune(job(tmp_path))
    rows: list[Any] = []
    again = finetune(job(tmp_path, on_epoch=rows.append))
    assert rows == [] and bits(again) == bits(first) and again.history == first.history


def test_another_job_in_the_same_folder_begins_anew(tmp_path: Path) -> None:
    finetune(job(tmp_path))
    other = finetune(job(tmp_path, recipe=recipe(lr=0.01)))
    assert bits(other) == bits(finetune(job(tmp_path / "fresh", recipe=recipe(lr=0.01))))


@pytest.mark.long
@pytest.mark.parametrize("fail_at", [1, 3, 4])
def test_interrupted_with_early_stopping_and_plateau_it_ends_the_same(
    fail_at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = recipe(epochs=8, schedule="plateau", step_size=1, gamma=0.3, early_stopping=2, ema=0.9, clip=1.0)
    whole = finetune(job(tmp_path / "whole", recipe=values))
    made, make = [0], Batches._make

    def failing(self: Batches, *arguments: Any) -> Any:
        made[0] += 1
        if made[0] == 3 * fail_at + 2:
            raise KeyError("interrupted")
        return make(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Batches, "_make", failing)
        with pytest.raises(KeyError):
            finetune(job(tmp_path / "broken", recipe=values, checkpoint_every=0.0))
    again = finetune(job(tmp_path / "broken", recipe=values, checkpoint_every=0.0))
    assert bits(again) == bits(whole) and losses(again) == losses(whole)
    assert again.best_epoch == whole.best_epoch
    stopped = finetune(job(tmp_path / "broken", recipe=values, checkpoint_every=0.0))  # does not go on after stopping
    assert len(stopped.history) == len(whole.history)


@pytest.mark.parametrize("strategy", [Strategy("fine_tune"), Strategy("gradual")], ids=lambda each: each.kind)
@pytest.mark.parametrize("after", [1, 2])
def test_interrupted_between_two_epochs_it_ends_the_same_and_does_not_measure_its_start_again(
    after: int, strategy: Strategy, tmp_path: Path
) -> None:
    whole = finetune(job(tmp_path / "whole", strategy))

    def interrupt(row: Any) -> None:
        if row["epoch"] == after:
            raise KeyError("interrupted")

    with pytest.raises(KeyError):
        finetune(job(tmp_path / "broken", strategy, on_epoch=interrupt))
    again = finetune(job(tmp_path / "broken", strategy))
    assert bits(again) == bits(whole) and losses(again) == losses(whole)
    assert (again.best_epoch, again.start) == (whole.best_epoch, whole.start)


def test_early_stopping_waits_as_long_as_it_was_told(tmp_path: Path) -> None:
    result = finetune(job(tmp_path, recipe=recipe(epochs=30, lr=1e-9, early_stopping=2, schedule="none")))
    assert len(result.history) == result.best_epoch + 2


def test_a_refit_stops_on_the_course_of_the_whole(tmp_path: Path) -> None:
    whole = finetune(job(tmp_path / "a", recipe=recipe(epochs=5), validation=NOTHING))
    short = finetune(job(tmp_path / "b", recipe=recipe(epochs=5), validation=NOTHING, stop_after=2))
    assert losses(short) == losses(whole)[:2] and short.best_epoch == 2 and whole.best_epoch == 5
    assert any("no validation images" in note for note in short.notes)


def test_memory_that_runs_out_halves_the_pieces_and_changes_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen_norms = Strategy("fine_tune", train_only=("stem",))  # no batch norm or dropout sees the pieces
    whole = finetune(job(tmp_path / "a", frozen_norms))
    forward = LearnedNetwork.logits

    def small(self: LearnedNetwork, inputs: torch.Tensor, *, training: bool) -> torch.Tensor:
        if training and len(inputs) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return forward(self, inputs, training=training)

    monkeypatch.setattr(LearnedNetwork, "logits", small)
    result = finetune(job(tmp_path / "b", frozen_norms))
    assert losses(result) == pytest.approx(losses(whole), rel=1e-4)
    assert result.notes[:2] == [
        "batches of 8 did not fit into memory: 4 images at a time, gradients accumulated over 2;"
        " batch norm sees 4 images at a time",
        "batches of 4 did not fit into memory: 2 images at a time, gradients accumulated over 4;"
        " batch norm sees 2 images at a time",
    ]


def test_no_memory_for_a_single_image_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any, **__: Any) -> torch.Tensor:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(LearnedNetwork, "logits", never)
    with pytest.raises(RunFailed, match="not enough memory for one image at a time"):
        finetune(job(tmp_path))


def test_accumulation_is_a_larger_batch(tmp_path: Path) -> None:
    frozen_norms = Strategy("fine_tune", train_only=("stem",))
    small = finetune(job(tmp_path / "a", frozen_norms, recipe(batch_size=4, accumulate=2)))
    large = finetune(job(tmp_path / "b", frozen_norms, recipe(batch_size=8)))
    assert losses(small) == pytest.approx(losses(large), rel=1e-4)


class Spoilt(nn.Module):
    """A head whose logits are NaN from a given training step on."""

    def __init__(self, inner: LinearHead, after: int) -> None:
        super().__init__()
        self.inner, self.calls, self.after = inner, 0, after

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        self.calls += self.training
        logits: torch.Tensor = self.inner(features)
        return logits * (float("nan") if self.calls > self.after else 1.0)


def test_a_training_that_diverges_returns_its_best_epoch_and_says_so(tmp_path: Path) -> None:
    whole = finetune(job(tmp_path / "a", initial_head=Spoilt(LinearHead(16, CLASSES), 10**6)))
    result = finetune(job(tmp_path / "b", initial_head=Spoilt(LinearHead(16, CLASSES), 4)))
    rows: list[Any] = [result.start, *result.history]
    best = max((0, 1), key=lambda e: (rows[e]["validation_accuracy"], -rows[e]["validation_loss"]))
    assert len(result.history) == 1 and result.history[0]["train_loss"] == whole.history[0]["train_loss"]
    assert result.best_epoch == best
    assert result.notes[0] == (
        f"the loss is not finite in epoch 2, batch 2; training ended there and epoch {best} is used"
        " (lr 0.05: lower it or add warmup_epochs)"
    )
    assert all(bool(torch.isfinite(p).all()) for p in result.network.parameters())


def test_a_training_that_diverges_at_once_fails_only_if_its_start_is_no_better_than_guessing(tmp_path: Path) -> None:
    with pytest.raises(
        RunFailed, match=r"not finite in epoch 1, batch 1 .*no epoch before it was better than guessing"
    ):
        finetune(job(tmp_path / "a", initial_head=Spoilt(LinearHead(16, CLASSES), 0)))
    start = fitted_head()
    result = finetune(job(tmp_path / "b", initial_head=Spoilt(start, 0)))
    assert result.best_epoch == 0 and result.history == [] and "the network it started from is used" in result.notes[0]
    assert torch.equal(result.network.head.inner.weight, start.weight)
    assert bits_of(result.network.backbone) == fingerprint(network())


def test_without_validation_the_last_finite_epoch_or_a_fitted_start_is_kept(tmp_path: Path) -> None:
    once = finetune(job(tmp_path / "a", initial_head=Spoilt(fitted_head(), 10**6), validation=NOTHING, stop_after=1))
    later = finetune(job(tmp_path / "b", initial_head=Spoilt(fitted_head(), 4), validation=NOTHING))
    assert later.best_epoch == 1 and bits(later) == bits(once)
    at_once = finetune(job(tmp_path / "c", initial_head=Spoilt(fitted_head(), 0), validation=NOTHING))
    assert at_once.best_epoch == 0 and bits_of(at_once.network.backbone) == fingerprint(network())


def spoil_step(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Make the optimiser's step of this number (from 1) write NaN into the weights."""
    step, made = torch.optim.SGD.step, [0]

    def spoiling(self: torch.optim.SGD, *arguments: Any, **options: Any) -> Any:
        made[0] += 1
        if made[0] == number:
            for parameter in self.param_groups[0]["params"]:
                parameter.grad.fill_(float("nan"))
        return step(self, *arguments, **options)

    monkeypatch.setattr(torch.optim.SGD, "step", spoiling)


def test_weights_that_are_not_finite_at_the_end_of_an_epoch_are_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil_step(monkeypatch, 12)  # the last of the fourth epoch, so that no later loss shows it
    result = finetune(job(tmp_path, validation=NOTHING, recipe=recipe(epochs=4, clip=None)))
    assert result.best_epoch == 3 and "weights are not finite after epoch 4" in result.notes[0]
    assert all(bool(torch.isfinite(p).all()) for p in result.network.parameters())


def test_without_validation_a_new_head_that_diverges_at_once_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil_step(monkeypatch, 1)
    with pytest.raises(RunFailed, match=r"epoch 1, batch 2 .*set clip: 1 or add warmup_epochs.*better than guessing"):
        finetune(job(tmp_path, validation=NOTHING, recipe=recipe(clip=None)))


def test_a_start_that_no_epoch_beats_is_returned_bit_by_bit(tmp_path: Path) -> None:
    start = fitted_head()
    harmful = recipe(lr=30.0, clip=None, epochs=2, schedule="none")
    result = finetune(job(tmp_path, Strategy("linear_probe"), harmful, initial_head=start))
    assert result.start is not None
    scores = [row["validation_accuracy"] for row in (result.start, *result.history)]
    assert scores[0] > max(scores[1:])  # type: ignore[type-var, operator]
    assert result.best_epoch == 0 and torch.equal(result.network.head.weight, start.weight)
    assert "no epoch was better on validation than the network training started from, which is used" in result.notes


def test_no_epochs_return_the_start(tmp_path: Path) -> None:
    start = fitted_head()
    result = finetune(job(tmp_path, initial_head=start, validation=NOTHING, stop_after=0))
    assert result.best_epoch == 0 and result.history == [] and result.seconds == 0
    assert torch.equal(result.network.head.weight, start.weight)


def test_gradients_are_clipped_to_norm_one_unless_the_recipe_says_otherwise(tmp_path: Path) -> None:
    assert Recipe().clip == 1.0
    steep = fitted_head()
    with torch.no_grad():
        steep.weight.mul_(-20)  # wrong and sure of it: gradients far above 1
    found = {}
    for name, values in {"default": {}, "one": {"clip": 1.0}, "none": {"clip": None}}.items():
        found[name] = bits(finetune(job(tmp_path / name, recipe=recipe(**values), initial_head=steep)))
    assert found["default"] == found["one"] != found["none"]


def test_several_labels_an_image(tmp_path: Path) -> None:
    labels = np.eye(CLASSES, dtype=bool)[Pictures().labels]
    labels[:, 0] |= labels[:, 1]
    result = finetune(job(tmp_path, recipe=recipe(loss="bce", class_weights="balanced", epochs=4), labels=labels))
    assert isinstance(result.network.head, LinearHead) and result.network.head.multi_label
    assert losses(result)[-1] < losses(result)[0]


@pytest.mark.long
@pytest.mark.parametrize("several", [False, True])
def test_the_best_epoch_follows_the_studys_metric(several: bool, tmp_path: Path) -> None:
    labels = np.eye(CLASSES, dtype=bool)[Pictures().labels] if several else Pictures().labels
    given = {"labels": labels, "recipe": recipe(loss="bce" if several else "cross_entropy", epochs=6, lr=0.3)}
    by_loss = finetune(job(tmp_path / "loss", metric="log_loss", **given))
    scores = [row["validation_score"] for row in by_loss.history]
    expected = [row["validation_loss"] for row in by_loss.history]
    assert scores == pytest.approx(expected, abs=1e-6)
    assert by_loss.start is not None
    candidates = [float(by_loss.start["validation_loss"] or 0.0), *(row["validation_loss"] for row in by_loss.history)]
    assert by_loss.best_epoch == int(np.argmin(candidates))  # type: ignore[arg-type]
    area = finetune(job(tmp_path / "area", metric="roc_auc", **given))
    areas = [float(row["validation_score"] or 0.0) for row in area.history]
    assert area.best_epoch == 0 or areas[area.best_epoch - 1] == max(areas)
    plain = finetune(job(tmp_path / "plain", **given))
    assert "validation_score" not in plain.history[0]


def test_a_head_that_comes_in_is_where_learning_starts(tmp_path: Path) -> None:
    head = LinearHead(16, CLASSES)
    with torch.no_grad():
        head.bias.copy_(torch.tensor([1.0, 2.0, 3.0]))
    before = fingerprint(head)
    result = finetune(job(tmp_path, recipe=recipe(epochs=1, lr=0.0), initial_head=head))
    assert torch.equal(result.network.head.bias, head.bias)
    assert fingerprint(head) == before


def test_dropout_and_augmentation_do_not_reach_validation(tmp_path: Path) -> None:
    result = finetune(job(tmp_path, recipe=recipe(epochs=6, dropout=0.5, augment=("colour",))))
    assert result.best_epoch >= 1
    needs = result.network.backbone.preprocessing
    probabilities = predict_probabilities(result.network, Pictures(), ROWS, needs)
    labels = Pictures().labels[ROWS]
    loss = -np.log(probabilities[np.arange(len(labels)), labels]).mean()
    assert result.history[result.best_epoch - 1]["validation_loss"] == pytest.approx(float(loss), rel=1e-4)


def test_the_average_is_what_is_validated_and_kept(tmp_path: Path) -> None:
    result = finetune(job(tmp_path, recipe=recipe(ema=0.5, epochs=6)))
    assert result.best_epoch >= 1
    needs = result.network.backbone.preprocessing
    probabilities = predict_probabilities(result.network, Pictures(), ROWS, needs)
    labels = Pictures().labels[ROWS]
    loss = -np.log(probabilities[np.arange(len(labels)), labels]).mean()
    assert result.history[result.best_epoch - 1]["validation_loss"] == pytest.approx(float(loss), rel=1e-4)


def test_frozen_norm_statistics_do_not_move_while_their_scales_learn(tmp_path: Path) -> None:
    source = network().state_dict()

    def moved(statistics: str) -> set[str]:
        made = finetune(job(tmp_path / statistics, FROZEN, recipe(norm_statistics=statistics)))
        after = made.network.backbone.state_dict()
        return {name for name in source if not torch.equal(source[name], after[name])}

    frozen, batch = moved("frozen"), moved("batch")
    assert batch - frozen == {name for name in batch if "running_" in name or "num_batches" in name} != set()
    assert any(name.endswith("stage3.1.weight") for name in frozen)  # of a batch norm


def test_logs_are_written_for_csv_and_tensorboard(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # tensorboard's own imports
        finetune(job(tmp_path, recipe=recipe(epochs=2), loggers=("csv", "tensorboard")))
    lines = (tmp_path / "run" / "log" / "metrics.csv").read_text().splitlines()
    assert len(lines) == 3 and "validation_accuracy" in lines[0]
    assert list((tmp_path / "run" / "log" / "tensorboard").glob("events*"))


def test_brain_floats_learn_too(tmp_path: Path) -> None:
    result = finetune(job(tmp_path, recipe=recipe(precision="bf16-mixed", epochs=4)))
    assert losses(result)[-1] < losses(result)[0]


DDP = """
import sys, pathlib, numpy as np
sys.path.insert(0, sys.argv[1])
from tuning_subject import job
from headstart.transfer.finetune.finetune import finetune
from headstart.transfer.finetune.recipe import Recipe
from headstart.transfer.strategy import Strategy
made = job(pathlib.Path(sys.argv[2]), Strategy("fine_tune", train_only=("stem",)),
           Recipe(epochs=2, batch_size=8, lr=0.05), devices=int(sys.argv[3]))
print("LOSSES", [row["train_loss"] for row in finetune(made).history])
"""


@pytest.mark.slow
def test_two_processes_learn_what_one_does(tmp_path: Path) -> None:
    found = []
    for devices in ("1", "2"):
        arguments = [
            sys.executable,
            "-c",
            DDP,
            str(Path(__file__).parents[2] / "support"),
            str(tmp_path / devices),
            devices,
        ]
        done = subprocess.run(arguments, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        assert done.returncode == 0, done.stderr[-2000:]
        found.append(json.loads(done.stdout.split("LOSSES")[1]))
    assert found[1] == pytest.approx(found[0], rel=1e-4)


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"recipe": recipe(batch_size=64)}, DataError, "24 training images are fewer than one batch of 64"),
        ({"labels": np.zeros(33, np.int64)}, DataError, "all of one class"),
        ({"classes": 1}, DataError, "only one class"),
        ({"classes": 2}, DataError, "label 2 does not exist"),
        ({"labels": np.eye(3, dtype=bool)[np.arange(33) % 3]}, SpecError, "need recipe loss: bce"),
        ({"recipe": recipe(loss="bce")}, SpecError, "needs targets with several labels"),
        ({"recipe": recipe(precision="16-mixed")}, SpecError, "needs a CUDA device"),
        ({"recipe": recipe(early_stopping=2), "validation": NOTHING}, SpecError, "needs validation images"),
        ({"recipe": recipe(class_weights=(1.0,))}, SpecError, "1 numbers for 3 classes"),
        ({"strategy": Strategy("fine_tune", freeze_until="layer4")}, ModelError, "its stages: input, stem"),
        ({"strategy": Strategy("fine_tune", truncate_at="layer4")}, ModelError, "its stages: input, stem"),
        ({"strategy": Strategy("gradual"), "devices": 2}, SpecError, "needs devices: 1"),
        ({"metric": "mcc", "devices": 2}, SpecError, "set devices: 1"),
        ({"loggers": ("wandb",)}, SpecError, "unknown logger"),
    ],
)
def test_bad_input_is_one_clear_line_and_leaves_nothing(
    changes: dict[str, Any], kind: type[Exception], words: str, tmp_path: Path
) -> None:
    with pytest.raises(HeadstartError) as caught:
        finetune(job(tmp_path, **changes))
    assert isinstance(caught.value, kind) and words in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()
