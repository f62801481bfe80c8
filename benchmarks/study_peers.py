"""The sections of benchmarks/study.py that put the same question to scikit-learn and to fastai."""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np
import torch
from study_heads import SEEDS, Material
from torch import nn

RUNS = 96 * SEEDS
ONE_CYCLE = np.geomspace(1e-3, 3e-2, 5).tolist()  # fastai's learning rates
STRENGTHS = np.geomspace(1e-4, 1e2, 96)  # scikit-learn's C


def sklearn(material: Material, results: dict[str, Any]) -> dict[str, Any]:
    """Fit scikit-learn's LogisticRegression over 96 strengths x 3 seeds: a sample of them, scaled, or all."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    sample = STRENGTHS if material.options.full else STRENGTHS[:: 48 if material.options.small else 12]
    seeds = range(SEEDS if material.options.full else 1)
    seconds, tops, late = [], [], 0
    for seed in seeds:
        train, held = material.parts(seed)
        x, y = np.asarray(material.features[train]), material.labels[train]
        scaler = StandardScaler().fit(x)
        x, inputs = scaler.transform(x), scaler.transform(np.asarray(material.features[held]))
        found = []
        for strength in sample:
            started = time.perf_counter()
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", ConvergenceWarning)
                head = LogisticRegression(C=strength).fit(x, y)
            seconds.append(time.perf_counter() - started)
            late += bool(caught)
            found.append(float((head.predict(inputs) == material.labels[held]).mean()))
        tops.append(max(found))
    return {
        "runs measured": len(seconds),
        "seconds a run": float(np.mean(seconds)),
        "scaled seconds": float(np.mean(seconds)) * RUNS,
        "scaled to runs": RUNS,
        "best validation accuracy": float(np.mean(tops)),
        "stopped before convergence (max_iter 100)": late,
    }


def fastai(material: Material, results: dict[str, Any]) -> dict[str, Any]:
    """Time fastai's training of a head on a frozen backbone over images, and scale to the runs and epochs.

    Its validation accuracy is that of the same head trained by fastai on the stored features, the best of
    several learning rates: a frozen backbone gives the head these features.
    """
    try:
        import fastai.vision.all as fast
    except ImportError as error:
        return {"left out": f"fastai is not installed ({error}): pip install '.[bench]'"}
    if material.images is None:
        return {"left out": "features were given as a file; the images are not at hand"}
    train, held = material.parts(0)
    batch, count = 64, 2 if material.options.small else 12
    each = _seconds_a_batch(fast, material, train[: batch * (count + 2)], batch)
    epoch = each * len(train) / batch
    tops = [_accuracy(fast, material, train, held, lr) for lr in ONE_CYCLE]
    return {
        "batches measured": count,
        "images a batch": batch,
        "images/s": batch / each,
        "seconds an epoch, scaled": epoch,
        "epochs": material.epochs,
        "scaled to runs": RUNS,
        "scaled seconds": epoch * material.epochs * RUNS,
        "best validation accuracy": max(tops),
        "learning rates tried for it": len(tops),
    }


def _seconds_a_batch(fast: Any, material: Material, rows: np.ndarray, batch: int) -> float:
    """Return the median seconds of a training step on a frozen EfficientNet-Lite0; images are decoded already."""
    import timm

    pixels, labels = material.images, material.labels
    mean = torch.tensor([0.5, 0.5, 0.5])[:, None, None]

    class Pictures(torch.utils.data.Dataset):
        def __init__(self, chosen: np.ndarray) -> None:
            self.chosen = chosen

        def __len__(self) -> int:
            return len(self.chosen)

        def __getitem__(self, place: int) -> tuple[torch.Tensor, int]:
            row = int(self.chosen[place])
            image = torch.from_numpy(np.ascontiguousarray(pixels[row])).permute(2, 0, 1)
            return (image.float() / 255 - mean) / mean, int(labels[row])

    body = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=0)
    network = nn.Sequential(body, nn.Linear(body.num_features, material.classes))
    sets = Pictures(rows), Pictures(rows[:2])
    loaders = fast.DataLoaders.from_dsets(*sets, bs=batch, device="cpu", num_workers=0)
    stamps: list[float] = []

    class Clock(fast.Callback):
        def after_batch(self) -> None:
            if self.training:
                stamps.append(time.perf_counter())

    learner = fast.Learner(
        loaders,
        network,
        loss_func=nn.CrossEntropyLoss(),
        splitter=lambda model: [fast.params(model[0]), fast.params(model[1])],
        cbs=Clock(),
        path=".",
    )
    learner.freeze()
    with learner.no_bar(), learner.no_logging():
        learner.fit(1, 1e-3)
    return float(np.median(np.diff(stamps)))


def _accuracy(fast: Any, material: Material, train: np.ndarray, held: np.ndarray, lr: float) -> float:
    x = torch.from_numpy(np.ascontiguousarray(material.features[train]))
    mean, scale = x.mean(0), x.std(0).clamp(min=1e-6)
    inputs = torch.from_numpy(np.ascontiguousarray(material.features[held]))
    sets = [
        torch.utils.data.TensorDataset((part - mean) / scale, torch.from_numpy(material.labels[rows]))
        for part, rows in ((x, train), (inputs, held))
    ]
    loaders = fast.DataLoaders.from_dsets(*sets, bs=256, device="cpu", num_workers=0)
    fast.set_seed(0)
    learner = fast.Learner(
        loaders,
        nn.Linear(x.shape[1], material.classes),
        loss_func=nn.CrossEntropyLoss(),
        metrics=fast.accuracy,
        path=".",
    )
    with learner.no_bar(), learner.no_logging():
        learner.fit_one_cycle(material.epochs, lr)
        return float(learner.validate()[1])
