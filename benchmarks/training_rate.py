"""Training on small pictures beside a plain PyTorch loop: images a second of processor time, and their ratio.

    python benchmarks/training_rate.py [--case NAME …] [--rounds 3]

Each case trains one network from random weights on random pixels, twice in turns: by headstart's `finetune` with its
augmentation, checkpoints and records, and by the loop that one writes by hand, with the same network, optimiser,
clipping, precision, memory format, batches, shifts and flips. The first epoch is not counted. Processor time of one
thread is measured, so that other work on the machine matters little; the median of the ratios counts.
Bound: 0.9.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from headstart.models.create import create_backbone
from headstart.models.heads import LinearHead
from headstart.models.network import Network
from headstart.models.preprocessing import Preprocessing, normalise
from headstart.storage.store import Store
from headstart.transfer.finetune.finetune import TuneJob, finetune
from headstart.transfer.finetune.recipe import Recipe
from headstart.transfer.strategy import Strategy

CLASSES, EPOCHS, BOUND = 10, 2, 0.9


@dataclass(frozen=True)
class Case:
    """One network at one size; `images` in an epoch."""

    backbone: str
    size: int
    batch: int
    precision: str
    images: int


CASES = {
    "LeNet-5": Case("lenet5", 32, 64, "32", 16_384),
    "small CNN": Case("small_cnn", 32, 128, "32", 2_048),
    "small CNN, bf16": Case("small_cnn", 32, 128, "bf16-mixed", 2_048),
    "ResNet-18": Case("resnet18", 32, 128, "32", 2_048),
    "ResNet-18, bf16": Case("resnet18", 32, 128, "bf16-mixed", 2_048),
    "ResNet-50, bf16": Case("resnet50", 32, 128, "bf16-mixed", 2_048),
    "ResNet-18, 84 px, bf16": Case("resnet18", 84, 64, "bf16-mixed", 512),
}


class Pictures:
    """Random pixels, as the image store gives them."""

    def __init__(self, count: int, size: int) -> None:
        rng = np.random.default_rng(0)
        self.pixels = rng.integers(0, 256, (count, size, size, 3), np.uint8)
        self.labels = rng.integers(0, CLASSES, count)
        self.key = f"random {count} {size}"

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, row: int) -> npt.NDArray[np.uint8]:
        return self.pixels[row]

    def batch(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """Return uint8 [b, size, size, 3]."""
        return self.pixels[rows]


def recipe_of(case: Case) -> Recipe:
    """Return plain SGD with shifts and flips."""
    return Recipe(
        lr=0.01,
        epochs=EPOCHS + 1,
        batch_size=case.batch,
        augment=("random_crop", "horizontal_flip"),
        precision=case.precision,
    )


def ours(case: Case, pictures: Pictures) -> float:
    """Return images a second of processor time by headstart."""
    marks: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        job = TuneJob(
            backbone=create_backbone(case.backbone, None, input_size=case.size)[0],
            strategy=Strategy("scratch"),
            recipe=recipe_of(case),
            images=pictures,
            labels=pictures.labels,
            classes=CLASSES,
            train=np.arange(len(pictures)),
            validation=np.zeros(0, np.int64),
            seed=0,
            folder=Path(folder) / "job",
            device="cpu",
            store=Store(Path(folder) / "store"),
            on_epoch=lambda row: marks.append(time.process_time()),
        )
        finetune(job)
    return EPOCHS * len(pictures) / (marks[-1] - marks[0])


def by_hand(case: Case, pictures: Pictures) -> float:
    """Return images a second of processor time by a plain loop."""
    backbone = create_backbone(case.backbone, None, input_size=case.size)[0]
    network = Network(backbone, LinearHead(backbone.feature_dim, CLASSES)).to(memory_format=torch.channels_last)
    network.train()
    recipe = recipe_of(case)
    optimizer = torch.optim.SGD(network.parameters(), recipe.lr, recipe.momentum, nesterov=True, fused=True)
    labels = torch.from_numpy(pictures.labels)
    rng = np.random.default_rng(0)
    marks = []
    for _ in range(EPOCHS + 1):
        for rows in np.array_split(rng.permutation(len(pictures)), -(-len(pictures) // case.batch)):
            inputs = shifted(pictures.pixels[rows], backbone.preprocessing, rng)
            with torch.autocast("cpu", torch.bfloat16, enabled=case.precision != "32"):
                loss = nn.functional.cross_entropy(network(inputs).float(), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            assert recipe.clip is not None
            nn.utils.clip_grad_norm_(network.parameters(), recipe.clip)
            optimizer.step()
        marks.append(time.process_time())
    return EPOCHS * len(pictures) / (marks[-1] - marks[0])


def shifted(pixels: npt.NDArray[np.uint8], preprocessing: Preprocessing, rng: np.random.Generator) -> torch.Tensor:
    """Return the network's input of pictures that are shifted by up to an eighth, and mirrored half of the time."""
    side = pixels.shape[1]
    pad = side // 8
    padded = np.pad(pixels, ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode="reflect")
    out = np.empty_like(pixels)
    for i in range(len(pixels)):
        top, left = rng.integers(0, 2 * pad + 1, 2)
        out[i] = padded[i, top : top + side, left : left + side]
        if rng.random() < 0.5:
            out[i] = out[i, :, ::-1]
    return normalise(torch.from_numpy(out).permute(0, 3, 1, 2), preprocessing)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=CASES, action="append")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.case or CASES:
        case = CASES[name]
        pictures = Pictures(case.images, case.size)
        rates = [(ours(case, pictures), by_hand(case, pictures)) for _ in range(arguments.rounds)]
        ratio = statistics.median(a / b for a, b in rates)
        mine, plain = (statistics.median(rate) for rate in zip(*rates, strict=True))
        print(
            f"{name:<24}{case.size:>4} px, batch {case.batch:>3}, {case.precision:<10}  headstart {mine:8.1f}  "
            f"plain {plain:8.1f} images/s  ratio {ratio:.2f}{'' if ratio >= BOUND else f'  below {BOUND}'}",
            flush=True,
        )


if __name__ == "__main__":
    main()
