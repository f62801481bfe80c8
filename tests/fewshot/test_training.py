from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from headstart.errors import DataError, RunFailed, SpecError, StoreError
from headstart.fewshot import training
from headstart.fewshot.class_split import ClassSplit, random_class_split
from headstart.fewshot.episodes import sample_episodes
from headstart.fewshot.scores import EpisodeScores
from headstart.fewshot.training import TrainedEmbedding, TrainingOptions, train_embedding
from headstart.fewshot.training_state import FILE
from headstart.models.backbone import Backbone
from headstart.models.preprocessing import Preprocessing

CLASSES = 12
LABELS = np.repeat(np.arange(CLASSES), 12)
SPLIT = ClassSplit(tuple(range(6)), (6, 7, 8), (9, 10, 11))
OPTIONS = TrainingOptions(
    steps=12,
    ways=3,
    shots=2,
    queries=3,
    batch_size=16,
    lr=3e-3,
    validate_every=4,
    test_ways=3,
    test_shots=2,
    test_queries=5,
    validation_episodes=40,
    test_episodes=60,
)


def striped_images() -> np.ndarray:
    """Images of 8 px whose class is the frequency and direction of their stripes, at any phase, with noise."""
    generator = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(np.arange(8), np.arange(8), indexing="ij"))
    images = []
    for label in LABELS:
        angle = np.pi * label / CLASSES
        wave = np.cos(1.8 * (np.cos(angle) * grid[0] + np.sin(angle) * grid[1]) + generator.uniform(0, 2 * np.pi))
        images.append(np.clip(128 + 70 * wave[:, :, None] + generator.normal(0, 90, (8, 8, 3)), 0, 255))
    return np.array(images, dtype=np.uint8)


IMAGES = striped_images()
LOSS = 0.88759  # mean of the last four steps, measured once


def small_network() -> Backbone:
    torch.manual_seed(0)
    stages = {
        "stem": nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU()),
        "body": nn.Sequential(nn.Conv2d(16, 16, 3), nn.BatchNorm2d(16), nn.ReLU()),
        "pool": nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    }
    return Backbone("small", stages, feature_dim=16, preprocessing=Preprocessing(size=8, resize=8))


def train(options: TrainingOptions = OPTIONS, folder: Path | None = None) -> TrainedEmbedding:
    return train_embedding(small_network(), IMAGES, LABELS, SPLIT, options, folder=folder)


def timeless(history: list[dict[str, int | float]]) -> list[dict[str, int | float]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in history]


@pytest.mark.parametrize("objective", ["episodes", "classes"])
def test_training_on_base_classes_helps_on_novel_ones(objective: str) -> None:
    trained = train(replace(OPTIONS, objective=objective, steps=120, validate_every=40))
    assert trained.test.mean > trained.untrained.mean + 0.1
    assert [row["step"] for row in trained.history] == [40, 80, 120]
    assert trained.history[-1]["loss"] < trained.history[0]["loss"]
    best = max(trained.history, key=lambda row: row["validation_accuracy"])
    assert trained.best_step == best["step"]
    assert set(trained.test.classes.ravel().tolist()) == {9, 10, 11}
    novel = sample_episodes(LABELS, 3, 2, 5, 60, OPTIONS.seed + 1, classes=SPLIT.novel)
    again = training.judge_on(trained.backbone, IMAGES, novel)
    assert again.mean == trained.test.mean  # the backbone that comes back is the best one


@pytest.mark.parametrize("objective", ["episodes", "classes"])
def test_interrupted_training_ends_as_an_undisturbed_one(
    objective: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = replace(OPTIONS, objective=objective)
    whole = train(options, tmp_path / "whole")
    judged = training.judge_on
    calls: list[int] = []

    def stop(*args: object) -> EpisodeScores:
        calls.append(1)
        if len(calls) == 4:  # untrained, after steps 4 and 8, and now after 12
            raise KeyboardInterrupt
        return judged(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(training, "judge_on", stop)
    with pytest.raises(KeyboardInterrupt):
        train(options, tmp_path / "cut")
    monkeypatch.undo()
    resumed = train(options, tmp_path / "cut")
    assert timeless(resumed.history) == timeless(whole.history)
    np.testing.assert_array_equal(resumed.test.accuracy, whole.test.accuracy)
    np.testing.assert_array_equal(resumed.untrained.accuracy, whole.untrained.accuracy)
    for name, value in resumed.backbone.state_dict().items():
        assert torch.equal(value, whole.backbone.state_dict()[name]), name


def test_state_of_another_training_is_refused(tmp_path: Path) -> None:
    train(OPTIONS, tmp_path)
    with pytest.raises(StoreError, match="other options or data"):
        train(replace(OPTIONS, lr=1e-4), tmp_path)


def test_a_damaged_state_is_trained_anew(tmp_path: Path) -> None:
    whole = train(OPTIONS, tmp_path)
    (tmp_path / FILE).write_bytes(b"not a checkpoint")
    assert timeless(train(OPTIONS, tmp_path).history) == timeless(whole.history)


def test_finished_training_is_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = train(OPTIONS, tmp_path)
    monkeypatch.setattr(training, "_to_next_validation", None)
    assert train(OPTIONS, tmp_path).history == first.history


def test_training_gives_the_recorded_numbers() -> None:
    row = train().history[-1]
    assert row["loss"] == pytest.approx(LOSS, rel=1e-3)
    assert row["lr"] == pytest.approx(3e-3 * 0.5 * (1 + np.cos(np.pi * 11 / 12)))


def test_images_are_mirrored_half_the_time_and_only_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Tensor] = []
    forward = Backbone.forward

    def record(self: Backbone, pixels: torch.Tensor) -> torch.Tensor:
        if self.training:
            seen.append(pixels.clone())
        return forward(self, pixels)

    monkeypatch.setattr(Backbone, "forward", record)
    train(replace(OPTIONS, flip=False))
    plain, seen[:] = list(seen), []
    train(OPTIONS)
    same = torch.cat([(a == b).flatten(1).all(1) for a, b in zip(plain, seen, strict=True)])
    turned = torch.cat([(a.flip(3) == b).flatten(1).all(1) for a, b in zip(plain, seen, strict=True)])
    assert (same | turned).all()
    assert 0.35 < same.float().mean() < 0.65


def test_impossible_training_is_refused_before_any_work() -> None:
    with pytest.raises(DataError, match="12 images, but 2 shots"):
        train(replace(OPTIONS, test_queries=15))
    with pytest.raises(SpecError, match="7 ways were asked for, but there are 6"):
        train(replace(OPTIONS, ways=7))
    with pytest.raises(SpecError, match="did you mean 'episodes'"):
        replace(OPTIONS, objective="episode")
    with pytest.raises(SpecError, match="steps 0"):
        replace(OPTIONS, steps=0)


def test_a_loss_that_is_no_number_ends_with_one_line() -> None:
    with pytest.raises(RunFailed, match="lower lr"):
        train(replace(OPTIONS, lr=1e30))


@pytest.mark.slow
@pytest.mark.realdata
def test_prototypical_network_trained_on_real_images_beats_itself_untrained(real_images: Path) -> None:
    from headstart.data.decoding.image_store import View, decode_images
    from headstart.data.sources.load import load_dataset
    from headstart.fewshot.intervals import difference_interval
    from headstart.models.create import create_backbone

    dataset = load_dataset(real_images / "caltech101", limit=15)
    images = decode_images(dataset, View(resize=42, crop=42))
    backbone, _ = create_backbone("conv4", seed=0, input_size=42)
    split = random_class_split(dataset.classes, seed=0)
    options = TrainingOptions(steps=200, ways=10, shots=5, queries=5, validate_every=100, test_queries=10)
    trained = train_embedding(backbone, images, np.asarray(dataset.labels), split, options)
    queries = options.test_ways * options.test_queries
    gain = difference_interval(trained.test.accuracy - trained.untrained.accuracy, queries)
    assert gain.low > 0.05
