"""How far do seeds spread? Many small models, 12 seeds each, and the seeds' standard deviation in probits.

    python benchmarks/seed_spread.py [--images FILE.npz] [--seeds 12]
    python benchmarks/seed_spread.py --folds 5 [--seeds 12]    repeats of a cross-validation in place of seeds

The digits of scikit-learn are always used. FILE.npz may hold `train`, `train_labels`, `test`, `test_labels` (uint8
images [n, 32, 32, 3]) for convolutional networks. With --folds the differences between models that share their folds
are measured too. The figures are those of docs/statistics.md; the priors of
`headstart.evaluate.comparison.seed_spread` are taken from them.
"""

from __future__ import annotations

import argparse
import itertools
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import RidgeClassifier, SGDClassifier
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from headstart.evaluate.comparison.seed_spread import probit_slope

Model = Any  # a classifier of scikit-learn


def own_sd(scores: np.ndarray) -> float:
    """Return the sd of the seeds (rows), without what chance adds to each on a finite set of images (columns)."""
    seeds, n = scores.shape
    means = scores.mean(1)
    rest = scores - scores.mean(0) - means[:, None] + scores.mean()
    noise = (rest**2).sum() / ((seeds - 1) * (n - 1)) / n
    return float(np.sqrt(max(0.0, means.var(ddof=1) - noise)))


def seed_sd(correct: np.ndarray) -> tuple[float, float, float]:
    """Return accuracy, the sd of the seeds' accuracies, and their own sd in probits (0 where noise explains all)."""
    scores = correct.astype(float)
    accuracy = float(scores.mean())
    return accuracy, float(scores.mean(1).std(ddof=1)), own_sd(scores) / probit_slope(accuracy, scores.shape[1])


def difference_sd(first: np.ndarray, second: np.ndarray) -> float:
    """Return the sd between repeats of the difference of two models that share their folds, in probits."""
    slopes = [probit_slope(float(each.mean()), each.shape[1]) for each in (first, second)]
    return own_sd(first.astype(float) - second) / float(np.hypot(*slopes))


def models(size: int) -> dict[str, Callable[[int], Model]]:
    """Return the models that so many images can train; each is made for a seed."""
    makers: dict[str, Callable[[int], Model]] = {
        "perceptron, 32 hidden": lambda s: MLPClassifier(32, max_iter=60, random_state=s),
        "perceptron, 128 hidden, early stop": lambda s: MLPClassifier(128, early_stopping=True, random_state=s),
        "perceptron, 64 + 64 hidden, sgd": lambda s: MLPClassifier((64, 64), solver="sgd", max_iter=60, random_state=s),
        "linear head, log loss, sgd 5 epochs": lambda s: SGDClassifier(
            loss="log_loss", max_iter=5, tol=None, random_state=s
        ),
        "linear head, hinge, sgd 30 epochs": lambda s: SGDClassifier(max_iter=30, tol=None, random_state=s),
        "random forest, 30 trees": lambda s: RandomForestClassifier(30, random_state=s),
    }
    return {name: make for name, make in makers.items() if "early" not in name or size > 60}


def digits(seeds: int) -> Iterator[tuple[str, np.ndarray]]:
    data = load_digits()
    pool, test, pool_labels, labels = train_test_split(data.data, data.target, test_size=797, random_state=0)
    for size in (50, 200, 1000):
        scaler = StandardScaler().fit(pool[:size])
        x, y = scaler.transform(pool[:size]), pool_labels[:size]
        for name, make in models(size).items():
            right = [make(seed).fit(x, y).predict(scaler.transform(test)) == labels for seed in range(seeds)]
            yield f"digits, {size} train: {name}", np.stack(right)


def folded(repeats: int, folds: int) -> Iterator[dict[str, np.ndarray]]:
    """Yield, for each number of images, what each model had right in each repeat of a cross-validation."""
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.data))
    fixed: dict[str, Callable[[int], Model]] = {  # nothing is random but the folds
        "ridge": lambda seed: RidgeClassifier(),
        "nearest neighbour": lambda seed: KNeighborsClassifier(1),
    }
    for size in (60, 250, 1250):
        x, y = data.data[order[:size]], data.target[order[:size]]
        found = {}
        for name, make in {**models(size), **fixed}.items():
            right = np.zeros((repeats, size), dtype=bool)
            for repeat in range(repeats):
                for train, test in StratifiedKFold(folds, shuffle=True, random_state=repeat).split(x, y):
                    model = make_pipeline(StandardScaler(), make(repeat)).fit(x[train], y[train])
                    right[repeat, test] = model.predict(x[test]) == y[test]
            found[f"digits, {size} images in {folds} folds: {name}"] = right
        yield found


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


def summary(what: str, spreads: list[float]) -> str:
    log = np.log(np.maximum(spreads, 0.005))
    return (
        f"{len(log)} {what}: median {np.exp(np.median(log)):.3f} probits, 10 % to 90 %:"
        f" {np.exp(np.quantile(log, 0.1)):.3f} to {np.exp(np.quantile(log, 0.9)):.3f},"
        f" sd of the logarithm {log.std():.2f}"
    )


def main() -> None:
    warnings.simplefilter("ignore")
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--images", type=Path)
    options.add_argument("--seeds", type=int, default=12)
    options.add_argument("--folds", type=int, default=0)
    chosen = options.parse_args()
    sources: list[Iterator[dict[str, np.ndarray]]] = [({n: c} for n, c in digits(chosen.seeds))]
    if chosen.images:
        sources.append({n: c} for n, c in networks(chosen.images, chosen.seeds))
    if chosen.folds:
        sources = [folded(chosen.seeds, chosen.folds)]
    spreads, differences = [], []
    for together in itertools.chain.from_iterable(sources):
        for name, correct in together.items():
            accuracy, sd, probits = seed_sd(correct)
            spreads.append(probits)
            print(f"{name} | {100 * accuracy:.1f} % | {100 * sd:.2f} points | {probits:.3f} probits", flush=True)
        differences += [difference_sd(*pair) for pair in itertools.combinations(together.values(), 2)]
    print(summary("models", spreads))
    if differences:
        print(summary("differences", differences))


if __name__ == "__main__":
    main()
