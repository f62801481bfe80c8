"""Features of a few noisy classes, their parts, and a head fitted to them."""

from __future__ import annotations

import numpy as np
import torch

from headstart.transfer.heads.fit import HeadFit, HeadJob, fit_heads

CLASSES = 4


def data(n: int = 160, d: int = 12, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    labels = draw.integers(CLASSES, size=n)
    features = draw.normal(size=(CLASSES, d))[labels] + 1.5 * draw.normal(size=(n, d)) + 3
    return (features * np.geomspace(0.5, 2, d)).astype(np.float32), labels.astype(np.int64)


def parts(n: int) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(0, n * 3 // 4), np.arange(n * 3 // 4, n)


def fit(
    kind: str, features: np.ndarray, labels: np.ndarray, refit: bool = False, by: str = "accuracy", **options: object
) -> HeadFit:
    """Fit a head; the metric `by` decides what is chosen on validation rows."""
    train, validation = parts(len(features))
    classes = labels.shape[1] if labels.ndim == 2 else CLASSES
    job = HeadJob(kind, train, validation, classes, options, 0, refit, by)
    return fit_heads(features, labels, [job])[0]


def scores(found: HeadFit, features: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        logits: np.ndarray = found.head(torch.from_numpy(features)).numpy()
    return logits
