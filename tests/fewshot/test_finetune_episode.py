from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from headstart.errors import ModelError, RunFailed, SpecError
from headstart.fewshot.episodes import sample_episodes
from headstart.fewshot.finetune_episode import FinetuneOptions, finetune_episodes
from headstart.models.backbone import Backbone
from headstart.models.preprocessing import Preprocessing

LABELS = np.repeat(np.arange(4), 12)


def coloured_images() -> np.ndarray:
    """Images of 8 px whose class is their hue, with noise."""
    generator = np.random.default_rng(0)
    hues = np.array([[200, 60, 60], [60, 200, 60], [60, 60, 200], [180, 180, 40]])
    noise = generator.normal(0, 40, (48, 8, 8, 3))
    return np.clip(hues[LABELS][:, None, None] + noise, 0, 255).astype(np.uint8)


def small_network() -> Backbone:
    torch.manual_seed(0)
    stages = {
        "stem": nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()),
        "body": nn.Sequential(nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.ReLU()),
        "pool": nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    }
    return Backbone("small", stages, feature_dim=8, preprocessing=Preprocessing(size=8, resize=8))


IMAGES = coloured_images()
EPISODES = sample_episodes(LABELS, 3, 4, 5, 4, seed=0)


@pytest.mark.parametrize("freeze_until", ["input", "stem", "pool"])
def test_tuning_learns_the_support_set_and_leaves_the_backbone_as_it_was(freeze_until: str) -> None:
    backbone = small_network()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    options = FinetuneOptions(epochs=30, lr=1e-2, head_lr=0.1, freeze_until=freeze_until)
    scores = finetune_episodes(backbone, IMAGES, EPISODES, options)
    assert scores.mean > 0.7  # chance is 0.33
    np.testing.assert_array_equal(scores.classes, EPISODES.classes)
    for name, value in backbone.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_an_episode_does_not_depend_on_the_others() -> None:
    options = FinetuneOptions(epochs=3, lr=1e-2, batch_size=5)
    all_of_them = finetune_episodes(small_network(), IMAGES, EPISODES, options, seed=1)
    again = finetune_episodes(small_network(), IMAGES, sample_episodes(LABELS, 3, 4, 5, 2, seed=0), options, seed=1)
    np.testing.assert_array_equal(again.accuracy, all_of_them.accuracy[:2])


def test_statistics_of_batch_norm_are_learned_on_request_only(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bool] = []
    forward = nn.BatchNorm2d.forward

    def spy(self: nn.BatchNorm2d, x: torch.Tensor) -> torch.Tensor:
        calls.append(self.training)
        return forward(self, x)

    monkeypatch.setattr(nn.BatchNorm2d, "forward", spy)
    finetune_episodes(small_network(), IMAGES, EPISODES, FinetuneOptions(epochs=1))
    assert not any(calls)
    finetune_episodes(small_network(), IMAGES, EPISODES, FinetuneOptions(epochs=1, learn_statistics=True))
    assert any(calls)


def test_bad_options_are_refused() -> None:
    with pytest.raises(ModelError, match="stage9"):
        finetune_episodes(small_network(), IMAGES, EPISODES, FinetuneOptions(freeze_until="stage9"))
    with pytest.raises(SpecError, match="epochs 0"):
        FinetuneOptions(epochs=0)


def test_a_loss_that_is_no_number_ends_with_one_line() -> None:
    with pytest.raises(RunFailed, match="lower lr"):
        finetune_episodes(small_network(), IMAGES, EPISODES, FinetuneOptions(epochs=50, lr=1e30, head_lr=1e30))
