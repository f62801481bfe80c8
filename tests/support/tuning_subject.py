"""A network of a few thousand parameters with every kind of state, and images that it can learn."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from headstart.models.backbone import Backbone
from headstart.models.heads import LinearHead
from headstart.models.preprocessing import Preprocessing, normalise
from headstart.storage.store import Store
from headstart.transfer.finetune.job import TuneJob
from headstart.transfer.finetune.recipe import Recipe
from headstart.transfer.strategy import Strategy

SIZE, CLASSES, TRAIN, VALIDATION = 16, 3, 24, 9


def block(inputs: int, outputs: int, dropout: float = 0.0) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.Dropout(dropout),
    )


def network(seed: int = 0) -> Backbone:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        stages: dict[str, nn.Module] = OrderedDict()
        stages["stem"] = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        stages["stage1"] = nn.Sequential(
            OrderedDict(block1=block(8, 8), block2=block(8, 8, dropout=0.2)),
        )
        stages["stage2"] = nn.Sequential(block(8, 12), nn.MaxPool2d(2))
        stages["stage3"] = block(12, 16, dropout=0.1)
        stages["pool"] = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        made = Backbone(
            "tiny",
            stages,
            feature_dim=16,
            preprocessing=Preprocessing(size=SIZE, resize=SIZE),
            reduce=nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        )
        for module in made.modules():  # statistics that a wrong mode would move or ignore
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-0.5, 0.5)
                module.running_var.uniform_(0.5, 1.5)
    return made


class Pictures:
    """Images whose class shows in their colour, as an array or one by one."""

    def __init__(self, n: int = TRAIN + VALIDATION, size: int = SIZE, seed: int = 0) -> None:
        draw = np.random.default_rng(seed)
        self.labels = (np.arange(n) % CLASSES).astype(np.int64)
        noise = draw.integers(0, 150, (n, size, size, 3))
        noise[np.arange(n), :, :, self.labels] += 100
        self.pixels = noise.astype(np.uint8)

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, row: int) -> Any:
        return self.pixels[row]


def job(folder: Path, strategy: Strategy | None = None, recipe: Recipe | None = None, **changes: Any) -> TuneJob:
    pictures = Pictures()
    values: dict[str, Any] = {
        "backbone": network(),
        "strategy": strategy or Strategy("fine_tune"),
        "recipe": recipe or Recipe(epochs=3, batch_size=8, lr=0.05),
        "images": pictures,
        "labels": pictures.labels,
        "classes": CLASSES,
        "train": np.arange(TRAIN),
        "validation": np.arange(TRAIN, TRAIN + VALIDATION),
        "seed": 5,
        "folder": folder / "run",
        "device": "cpu",
        "store": Store(folder / "store"),
        **changes,
    }
    return TuneJob(**values)


STRATEGIES: dict[str, Strategy] = {
    "scratch": Strategy("scratch"),
    "linear_probe": Strategy("linear_probe"),
    "fine_tune": Strategy("fine_tune"),
    "fine_tune, layer decay": Strategy("fine_tune", layer_decay=0.5),
    "fine_tune, frozen prefix": Strategy("fine_tune", freeze_until="stage1"),
    "fine_tune, frozen inside a stage": Strategy("fine_tune", freeze_until="stage1.block1"),
    "fine_tune, train_only": Strategy("fine_tune", train_only=("stem", "stage2")),
    "fine_tune, truncated": Strategy("fine_tune", truncate_at="stage2", freeze_until="stem"),
    "gradual": Strategy("gradual"),
    "gradual, slow": Strategy("gradual", thaw_every=2, freeze_until="stem"),
    "lora": Strategy("lora", lora_rank=2),
    "norm_only": Strategy("norm_only"),
    "lp_ft": Strategy("lp_ft", probe_epochs=1),
}
RECIPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "augmented": {"augment": ("random_crop", "horizontal_flip"), "ema": 0.9, "optimizer": "adamw", "lr": 0.01},
}


def fitted_head() -> LinearHead:
    """Return a head that a few steps on the frozen features have fitted."""
    pictures, backbone = Pictures(), network().eval()
    pixels = torch.from_numpy(pictures.pixels[:TRAIN]).permute(0, 3, 1, 2)
    with torch.no_grad():
        features = backbone(normalise(pixels, backbone.preprocessing))
    head, labels = LinearHead(16, CLASSES), torch.from_numpy(pictures.labels[:TRAIN])
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=100)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(head(features), labels) + 1e-3 * head.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)  # type: ignore[arg-type]
    return head.requires_grad_(False).requires_grad_(True)
