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
from tuning_subject import CLASSES, TRAIN, VALIDATION, Pictures, job, network

from headstart.errors import DataError, HeadstartError, ModelError, RunFailed, SpecError
from headstart.models.freeze import fingerprint
from headstart.models.heads import LinearHead
from headstart.models.preprocessing import normalise
from headstart.transfer.finetune import lightning_module as learning
from headstart.transfer.finetune.finetune import TuneResult, describe_plan, finetune
from headstart.transfer.finetune.freezing import check_kept, kept_digests, prepare
from headstart.transfer.finetune.loader import Batches, Order
from headstart.transfer.finetune.recipe import Recipe
from headstart.transfer.frozen.predict import predict_probabilities
from headstart.transfer.strategy import Strategy, resolve

ROWS = np.arange(TRAIN, TRAIN + VALIDATION)
NOTHING = np.zeros(0, np.int64)
FROZEN = Strategy("fine_tune", freeze_until="stage1")


def recipe(**values: Any) -> Recipe:
    return Recipe(**{"epochs": 3, "batch_size": 8, "lr": 0.05, **values})


def losses(result: TuneResult) -> list[float]:
    return [float(row["train_loss"] or 0) for row in result.history]


def bits(result: TuneResult) -> str:
    return fingerprint(result.network)


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
    monkeypatch.setattr("headstart.transfer.finetune.finetune.free_bytes", lambda store: 1000.0)
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
    forward = learning.Learner._logits

    def small(self: learning.Learner, inputs: torch.Tensor, inlet: Any) -> torch.Tensor:
        if self.training and len(inputs) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return forward(self, inputs, inlet)

    monkeypatch.setattr(learning.Learner, "_logits", small)
    result = finetune(job(tmp_path / "b", frozen_norms))
    assert losses(result) == pytest.approx(losses(whole), rel=1e-4)
    assert result.notes[:2] == [
        "memory was too small for batches of 8: 4 at a time, gradients accumulated over 2;"
        " batch norm sees 4 images at a time",
        "memory was too small for batches of 4: 2 at a time, gradients accumulated over 4;"
        " batch norm sees 2 images at a time",
    ]


def test_no_memory_for_a_single_image_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> torch.Tensor:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(learning.Learner, "_logits", never)
    with pytest.raises(RunFailed, match="not enough memory for one image at a time"):
        finetune(job(tmp_path))


def test_accumulation_is_a_larger_batch(tmp_path: Path) -> None:
    frozen_norms = Strategy("fine_tune", train_only=("stem",))
    small = finetune(job(tmp_path / "a", frozen_norms, recipe(batch_size=4, accumulate=2)))
    large = finetune(job(tmp_path / "b", frozen_norms, recipe(batch_size=8)))
    assert losses(small) == pytest.approx(losses(large), rel=1e-4)


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_the_last_good_epoch(tmp_path: Path) -> None:
    class Spoilt(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.calls = LinearHead(16, CLASSES), 0

        def forward(self, features: torch.Tensor) -> torch.Tensor:
            self.calls += self.training
            logits: torch.Tensor = self.inner(features)
            return logits * (float("nan") if self.calls > 4 else 1.0)

    with pytest.raises(RunFailed, match=r"no longer finite in epoch 2, batch 2 of 3 \(lr 0.05\); epoch 1 is the last"):
        finetune(job(tmp_path, initial_head=Spoilt()))
    assert (tmp_path / "run" / "epoch.ckpt").exists() and (tmp_path / "run" / "best.safetensors").exists()


def test_several_labels_an_image(tmp_path: Path) -> None:
    labels = np.eye(CLASSES, dtype=bool)[Pictures().labels]
    labels[:, 0] |= labels[:, 1]
    result = finetune(job(tmp_path, recipe=recipe(loss="bce", class_weights="balanced", epochs=4), labels=labels))
    assert isinstance(result.network.head, LinearHead) and result.network.head.multi_label
    assert losses(result)[-1] < losses(result)[0]


def test_a_head_that_comes_in_is_where_learning_starts(tmp_path: Path) -> None:
    head = LinearHead(16, CLASSES)
    with torch.no_grad():
        head.bias.copy_(torch.tensor([1.0, 2.0, 3.0]))
    before = fingerprint(head)
    result = finetune(job(tmp_path, recipe=recipe(epochs=1, lr=0.0), initial_head=head))
    assert torch.equal(result.network.head.bias, head.bias)
    assert fingerprint(head) == before


def test_dropout_and_augmentation_do_not_reach_validation(tmp_path: Path) -> None:
    result = finetune(job(tmp_path, recipe=recipe(epochs=1, dropout=0.5, augment=("colour",))))
    needs = result.network.backbone.preprocessing
    probabilities = predict_probabilities(result.network, Pictures(), ROWS, needs)
    labels = Pictures().labels[ROWS]
    loss = -np.log(probabilities[np.arange(len(labels)), labels]).mean()
    assert result.history[0]["validation_loss"] == pytest.approx(float(loss), rel=1e-4)


def test_the_average_is_what_is_validated_and_kept(tmp_path: Path) -> None:
    result = finetune(job(tmp_path, recipe=recipe(ema=0.5)))
    needs = result.network.backbone.preprocessing
    probabilities = predict_probabilities(result.network, Pictures(), ROWS, needs)
    labels = Pictures().labels[ROWS]
    loss = -np.log(probabilities[np.arange(len(labels)), labels]).mean()
    assert result.history[result.best_epoch - 1]["validation_loss"] == pytest.approx(float(loss), rel=1e-4)


def test_what_was_to_stay_is_checked() -> None:
    resolved, groups = prepare(resolve(FROZEN, network()), 0)
    before = kept_digests(resolved, groups)
    check_kept(resolved, groups, before)
    resolved.backbone.stages[1].block1[1].running_mean.add_(1)  # type: ignore[operator,union-attr,index]
    with pytest.raises(RunFailed, match=r"stage1.block1.1.running_mean changed although frozen"):
        check_kept(resolved, groups, before)


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


def test_an_order_takes_every_row_once_in_even_batches() -> None:
    order = Order(np.arange(100, 125), 8, seed=1)
    batches = order.batches(3)
    assert sorted(np.concatenate(batches).tolist()) == list(range(100, 125))
    assert {len(batch) for batch in batches} <= {6, 7} and len(order) == 4
    assert not np.array_equal(np.concatenate(batches), np.concatenate(order.batches(4)))
    halves = [Order(np.arange(100, 125), 8, seed=1, rank=rank, world=2).batches(3) for rank in (0, 1)]
    assert sorted(np.concatenate([*halves[0], *halves[1]]).tolist()) == list(range(100, 125))


def test_balanced_sampling_draws_classes_equally() -> None:
    labels = np.array([0] * 900 + [1] * 100)
    weights = 1.0 / np.bincount(labels)[labels]
    drawn = np.concatenate(Order(np.arange(1000), 50, 0, weights).batches(0))
    assert 420 < labels[drawn].sum() < 580


def test_normalising_is_torchvisions() -> None:
    needs = network().preprocessing
    pixels = torch.arange(48, dtype=torch.uint8).reshape(1, 3, 4, 4)
    expected = (pixels / 255 - torch.tensor(needs.mean).view(1, 3, 1, 1)) / torch.tensor(needs.std).view(1, 3, 1, 1)
    assert torch.allclose(normalise(pixels, needs), expected, atol=1e-6)


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
