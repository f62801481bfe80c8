"""Do the wider intervals cover what other training images give? Heads on drawn features, of known truth.

    python benchmarks/training_images.py [--studies 200] [--seconds 170]

Features are 20 normal numbers around the mean of one of 5 classes; heads are written in numpy, so that many fits cost
little. The truth is the mean accuracy over training samples and all images of the population. Each study draws training
and test images, fits a head, fits it again on 20 bootstrap samples, and asks whether the narrow interval (other test
images) and the wider one (other training images, too) hold the truth. Cross-validation: 5 folds, the wider interval
from the spread over the folds; the truth is that of four fifths of the images.
"""

from __future__ import annotations

import argparse
import time
from types import SimpleNamespace

import numpy as np

from headstart.evaluate.comparison.compare import compare_runs
from headstart.evaluate.comparison.training_images import over_splits, with_training_images
from headstart.study.analysis.training_images import correction_of, sampled_rows

CLASSES, DIMENSIONS, DISTANCE, SAMPLES, FOLDS = 5, 20, 1.8, 20, 5
HEADS = ("ridge", "prototypes")
PENALTY = 0.1


def draw(generator: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw features and labels, equally many of each class."""
    labels = np.arange(n) % CLASSES
    features = generator.normal(size=(n, DIMENSIONS))
    features[np.arange(n), labels] += DISTANCE
    return features.astype(np.float32), labels


def right(kind: str, train: tuple, rows: list[np.ndarray], tests: list[tuple]) -> list[np.ndarray]:
    """Return which test images a head gets right that learned from these rows, one array for each list of rows."""
    features, targets = train[0].astype(np.float64), np.eye(CLASSES)[train[1]]
    found = []
    for own, test in zip(rows, tests, strict=True):
        x, y = features[own], targets[own]
        if kind == "ridge":
            middle = x.mean(axis=0)
            centred = x - middle
            gram = centred.T @ centred / len(x) + PENALTY * np.eye(DIMENSIONS)
            weight = np.linalg.solve(gram, centred.T @ (y - y.mean(axis=0)) / len(x))
            scores = (test[0] - middle) @ weight + y.mean(axis=0)
        else:
            means = y.T @ x / y.sum(axis=0)[:, None]
            scores = test[0] @ means.T - 0.5 * (means**2).sum(axis=1)
        found.append(scores.argmax(axis=1) == test[1])
    return found


def truth(kind: str, n: int) -> float:
    population = draw(np.random.default_rng(1), 10_000)
    samples = [draw(np.random.default_rng([7, each]), n) for each in range(60)]
    return float(np.mean([right(kind, sample, [np.arange(n)], [population])[0].mean() for sample in samples]))


def bootstrap(kind: str, n: int, images: int, each: int) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the narrow and the wider interval of one study."""
    generator = np.random.default_rng([3, each])
    test, train = draw(generator, images), draw(generator, n)
    data = SimpleNamespace(groups=None, multi_label=False, labels=train[1])
    rows = [np.arange(n), *(sampled_rows(np.arange(n), data, sample) for sample in range(SAMPLES))]
    table = np.stack(right(kind, train, rows, [test] * len(rows)))
    row = compare_runs({"a": table[:1]}, deterministic=["a"], draws=50)["ranking"][0]
    found = with_training_images(table[0].mean(), table[1:], correction=correction_of(rows[0], data))
    return (row["low"], row["high"]), (min(row["low"], found["low"]), max(row["high"], found["high"]))


def cross_validated(kind: str, n: int, repeats: int, each: int) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the narrow and the wider interval of one cross-validation."""
    generator = np.random.default_rng([3, each])
    data = draw(generator, n)
    table, means = np.zeros((repeats, n), dtype=bool), []
    for repeat in range(repeats):
        fold = np.empty(n, dtype=np.int64)
        for label in range(CLASSES):
            own = generator.permutation(np.flatnonzero(data[1] == label))
            fold[own] = (np.arange(len(own)) + label) % FOLDS
        parts = [np.flatnonzero(fold == k) for k in range(FOLDS)]
        tests = [(data[0][part], data[1][part]) for part in parts]
        for part, found in zip(
            parts, right(kind, data, [np.setdiff1d(np.arange(n), part) for part in parts], tests), strict=True
        ):
            table[repeat, part] = found
            means.append(float(found.mean()))
    row = compare_runs({"a": table}, pair_seeds=True, draws=50)["ranking"][0]
    split = over_splits(means, 1 / (FOLDS - 1))
    return (row["low"], row["high"]), (min(row["low"], split["low"]), max(row["high"], split["high"]))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--studies", type=int, default=200)
    options.add_argument("--seconds", type=float, default=170)
    chosen, began = options.parse_args(), time.monotonic()
    cells = [("bootstrap", kind, n, images) for kind in HEADS for n in (25, 50, 200) for images in (100, 1000)]
    cells += [("5 folds", kind, n, repeats) for kind in HEADS for n in (40, 100) for repeats in (1, 3)]
    print("how, head, training images, test images or repeats: accuracy; covered by narrow, wider; mean widths")
    for how, kind, n, more in cells:
        if time.monotonic() - began > chosen.seconds:
            print("the time is over; the remaining cells were not run")
            break
        study = bootstrap if how == "bootstrap" else cross_validated
        real = truth(kind, n if how == "bootstrap" else n * (FOLDS - 1) // FOLDS)
        found = np.array([study(kind, n, more, each) for each in range(chosen.studies)])
        held = ((found[:, :, 0] <= real) & (real <= found[:, :, 1])).mean(axis=0)
        width = (found[:, :, 1] - found[:, :, 0]).mean(axis=0)
        line = f"{100 * real:.1f} %; {100 * held[0]:.1f} %, {100 * held[1]:.1f} %"
        print(f"{how}, {kind}, {n}, {more}: {line}; {100 * width[0]:.1f}, {100 * width[1]:.1f} points", flush=True)


if __name__ == "__main__":
    main()
