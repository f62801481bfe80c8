"""How many planted label errors are among the first k images: by margin, by self-confidence, and by cleanlab.

    python benchmarks/label_errors.py                     5 % of the labels of three sets are changed, 5 times
    python benchmarks/label_errors.py --repeats 2 --logistic

The sets are Caltech-101 and CIFAR-10 (6,000 images) from $HEADSTART_DATA, on features of EfficientNet-Lite0, and
scikit-learn's digits, on pixels. `uniform` errors are drawn from all other classes, `confusable` ones from the three
most similar classes, the nearest most often. k is the number of planted errors. cleanlab's `find_label_issues` gets
the same out-of-fold probabilities; with --logistic also those of scikit-learn's cross-validated logistic regression,
as in its documentation (slow). Needs cleanlab: pip install 'headstart[test]'.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from cleanlab.filter import find_label_issues
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.preprocessing import StandardScaler

from headstart.audit.label_errors import out_of_fold
from headstart.data.decoding.image_store import decode_images
from headstart.data.sources.load import load_dataset
from headstart.models.create import create_backbone
from headstart.transfer.frozen.features import extract, features_key
from headstart.transfer.frozen.views import view_of

SHARE = 0.05
NEAREST = (0.6, 0.25, 0.15)  # how often an error is drawn from the nearest class, the next, the third
Ranking = Callable[[np.ndarray, np.ndarray], np.ndarray]


def sets() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield name, features and labels."""
    backbone, _ = create_backbone("efficientnet_lite0", "imagenet")
    needs = backbone.preprocessing
    for name in ("caltech101", "cifar10-small"):
        dataset = load_dataset(Path(os.environ["HEADSTART_DATA"]) / name)
        images = decode_images(dataset, view_of(needs))
        key = features_key(images.key, backbone.stages, needs, "cpu")
        features = np.asarray(extract(images, backbone.stages, needs, key=key))
        yield name, features.reshape(len(dataset), -1), dataset.labels
    digits = load_digits()
    yield "digits", digits.data.astype(np.float32), digits.target.astype(np.int64)


def plant(
    features: np.ndarray, labels: np.ndarray, kind: str, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return labels with errors, and the rows that have one."""
    classes = int(labels.max()) + 1
    rows = generator.permutation(len(labels))[: round(SHARE * len(labels))]
    noisy = labels.copy()
    if kind == "uniform":
        noisy[rows] = (labels[rows] + generator.integers(1, classes, len(rows))) % classes
        return noisy, rows
    unit = features - features.mean(axis=0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    centres = np.stack([unit[labels == each].mean(axis=0) for each in range(classes)])
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    alike = centres @ centres.T - 2 * np.eye(classes)
    nearest = np.argsort(-alike, axis=1)
    noisy[rows] = nearest[labels[rows], generator.choice(3, len(rows), p=NEAREST)]
    return noisy, rows


def margin(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Rank by the probability of the label less that of the likeliest other class."""
    own = probabilities[np.arange(len(labels)), labels]
    others = probabilities.copy()
    others[np.arange(len(labels)), labels] = -1
    return np.argsort(own - others.max(axis=1), kind="stable")


def self_confidence(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Rank by the probability of the label."""
    return np.argsort(probabilities[np.arange(len(labels)), labels], kind="stable")


def cleanlab(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the label issues that cleanlab finds, in its order."""
    return np.asarray(find_label_issues(labels, probabilities, return_indices_ranked_by="self_confidence"))


RANKINGS: dict[str, Ranking] = {"margin": margin, "self-confidence": self_confidence, "cleanlab": cleanlab}


def logistic(features: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    """Return out-of-fold probabilities of scikit-learn's logistic regression."""
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    head = LogisticRegression(C=0.01, max_iter=200)
    scaled = StandardScaler().fit_transform(features)
    return np.asarray(cross_val_predict(head, scaled, labels, cv=folds, method="predict_proba"))


def main() -> None:
    """Plant errors, rank and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--logistic", action="store_true")
    arguments = parser.parse_args()
    for name, features, labels in sets():
        for kind in ("uniform", "confusable"):
            found: dict[str, list[float]] = {}
            for seed in range(arguments.repeats):
                noisy, rows = plant(features, labels, kind, np.random.default_rng(seed))
                probabilities = out_of_fold(features, noisy, int(labels.max()) + 1, seed=seed)
                for ranking, rank in RANKINGS.items():
                    first = rank(probabilities, noisy)[: len(rows)]
                    found.setdefault(ranking, []).append(float(np.isin(first, rows).sum() / len(rows)))
                if arguments.logistic:
                    first = cleanlab(logistic(features, noisy, seed), noisy)[: len(rows)]
                    found.setdefault("cleanlab, logistic", []).append(float(np.isin(first, rows).sum() / len(rows)))
            means = {ranking: round(float(np.mean(values)), 3) for ranking, values in found.items()}
            print(json.dumps({"set": name, "errors": kind, "k": len(rows), "precision at k": means}), flush=True)


if __name__ == "__main__":
    main()
