"""How far do seeds spread? Many small models, 12 seeds each, and the seeds' standard deviation in probits.

    python benchmarks/seed_spread.py [--images FILE.npz] [--seeds 12]

The digits of scikit-learn are always used. FILE.npz may hold `train`, `train_labels`, `test`, `test_labels` (uint8
images [n, 32, 32, 3]) for convolutional networks. The figures are those of docs/statistics.md; the prior of
`headstart.evaluate.comparison.seed_spread` is taken from them.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from scipy import special
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler


def seed_sd(correct: np.ndarray) -> tuple[float, float, float]:
    """Return accuracy, the sd of the seeds' accuracies, and the seeds' own sd in probits (0 where noise explains all).

    What chance adds to each seed's accuracy on a finite set of images is taken out.
    """
    scores = correct.astype(float)
    seeds, n = scores.shape
    means = scores.mean(1)
    rest = scores - scores.mean(0) - means[:, None] + scores.mean()
    noise = (rest**2).sum() / ((seeds - 1) * (n - 1)) / n
    p = (scores.mean() * n + 0.5) / (n + 1)
    slope = np.exp(-(special.ndtri(p) ** 2) / 2) / np.sqrt(2 * np.pi)
    return float(scores.mean()), float(means.std(ddof=1)), float(np.sqrt(max(0.0, means.var(ddof=1) - noise)) / slope)


def digits(seeds: int) -> Iterator[tuple[str, np.ndarray]]:
    data = load_digits()
    pool, test, pool_labels, labels = train_test_split(data.data, data.target, test_size=797, random_state=0)
    makers: dict[str, Callable[[int], object]] = {
        "perceptron, 32 hidden": lambda s: MLPClassifier(32, max_iter=60, random_state=s),
        "perceptron, 128 hidden, early stop": lambda s: MLPClassifier(128, early_stopping=True, random_state=s),
        "perceptron, 64 + 64 hidden, sgd": lambda s: MLPClassifier((64, 64), solver="sgd", max_iter=60, random_state=s),
        "linear head, log loss, sgd 5 epochs": lambda s: SGDClassifier(
            loss="log_loss", max_iter=5, tol=None, random_state=s
        ),
        "linear head, hinge, sgd 30 epochs": lambda s: SGDClassifier(max_iter=30, tol=None, random_state=s),
        "random forest, 30 trees": lambda s: RandomForestClassifier(30, random_state=s),
    }
    for size in (50, 200, 1000):
        scaler = StandardScaler().fit(pool[:size])
        x, y = scaler.transform(pool[:size]), pool_labels[:size]
        for name, make in makers.items():
            if "early" in name and size == 50:
                continue
            yield (
                f"digits, {size} train: {name}",
                np.stack(
                    [make(s).fit(x, y).predict(scaler.transform(test)) == labels for s in range(seeds)]  # type: ignore[attr-defined]
                ),
            )


def small_cnn(width: int) -> torch.nn.Module:
    nn = torch.nn
    layers: list[torch.nn.Module] = []
    channels = 3
    for wide in (width, 2 * width, 4 * width):
        layers += [nn.Conv2d(channels, wide, 3, padding=1), nn.BatchNorm2d(wide), nn.ReLU(), nn.MaxPool2d(2)]
        channels = wide
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


def train(
    net: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, seed: int, epochs: int, rate: float, schedule: bool
) -> None:
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(net.parameters(), rate, weight_decay=1e-3)
    steps = epochs * max(1, len(x) // 64)
    plan = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps) if schedule else None
    net.train()
    for _ in range(epochs):
        order = torch.randperm(len(x), generator=generator)
        for rows in order[: max(64, len(x) // 64 * 64)].split(64):
            batch = x[rows.to(x.device)]
            batch = batch.flip(3) if torch.rand((), generator=generator) < 0.5 else batch
            loss = torch.nn.functional.cross_entropy(net(batch), y[rows.to(x.device)])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            if plan is not None:
                plan.step()


def networks(file: Path, seeds: int) -> Iterator[tuple[str, np.ndarray]]:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    data = np.load(file)
    x, test = (torch.from_numpy(data[k]).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1 for k in ("train", "test"))
    y, labels = (torch.from_numpy(data[k]).long().to(device) for k in ("train_labels", "test_labels"))
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0)).to(device)
    for size in (500, 2000):
        for width, epochs, rate, schedule in (
            (16, 5, 3e-3, True),
            (32, 15, 3e-3, True),
            (32, 15, 1e-3, False),
            (32, 10, 2e-2, False),
        ):
            rows, right = order[:size], []
            for seed in range(seeds):
                torch.manual_seed(seed)
                net = small_cnn(width).to(device)
                train(net, x[rows], y[rows], seed, epochs, rate, schedule)
                net.eval()
                with torch.no_grad():
                    right.append((net(test).argmax(1) == labels).cpu().numpy())
            kind = "one-cycle" if schedule else "constant rate"
            yield f"CIFAR-10, {size} train: CNN width {width}, {epochs} epochs, {kind} {rate:g}", np.stack(right)


def main() -> None:
    warnings.simplefilter("ignore")
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--images", type=Path)
    options.add_argument("--seeds", type=int, default=12)
    chosen = options.parse_args()
    spreads = []
    sources = [digits(chosen.seeds)] + ([networks(chosen.images, chosen.seeds)] if chosen.images else [])
    for source in sources:
        for name, correct in source:
            accuracy, sd, probits = seed_sd(correct)
            spreads.append(probits)
            print(f"{name} | {100 * accuracy:.1f} % | {100 * sd:.2f} points | {probits:.3f} probits", flush=True)
    log = np.log(np.maximum(spreads, 0.005))
    print(
        f"{len(log)} models: median {np.exp(np.median(log)):.3f} probits, 10 % to 90 %:"
        f" {np.exp(np.quantile(log, 0.1)):.3f} to {np.exp(np.quantile(log, 0.9)):.3f},"
        f" sd of the logarithm {log.std():.2f}"
    )


if __name__ == "__main__":
    main()
