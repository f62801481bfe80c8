"""What correcting labels with `headstart review` brings: wrong labels are planted, an oracle decides what is proposed.

    python benchmarks/review_loop.py [FOLDER] [--seeds 5]

5 % of the labels of Caltech-101 are changed, to any other class (`uniform`) or to one of the three most similar ones
(`confusable`, the nearest most often). The labels that look wrong (`find_label_errors`, as on the page) are compared
with cleanlab's `find_label_issues` on the same out-of-fold probabilities: precision and recall among the first k, for k
= half of the planted errors, all of them, and one and a half times as many. Then the oracle sees what the page shows,
in its order and all of it: a wrong label gets its right class, a right one is kept. A ridge head (its penalty chosen by
leave-one-out) is fitted to the training images with the wrong labels, with the corrected ones, and with the true ones.
It is tested on the test images of the common split with their true labels; the seeds draw the errors. Differences are
paired over images and seeds (`compare_runs`). Needs cleanlab: pip install 'headstart[test]'.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
from label_errors import cleanlab, plant

from headstart.audit.label_errors import out_of_fold, rank_labels
from headstart.evaluate.comparison.compare import compare_runs
from headstart.evaluate.comparison.tables import seen_from
from headstart.labelling.embeddings import embed
from headstart.transfer.heads.fit import HeadJob, fit_heads, probabilities

KINDS = ("uniform", "confusable")
TIMES = (0.5, 1.0, 1.5)  # k, in planted errors
AS_PLANTED, CORRECTED, TRUE = "as planted", "corrected", "true labels"


def right_answers(
    vectors: np.ndarray, labels: np.ndarray, truth: np.ndarray, train: np.ndarray, test: np.ndarray
) -> np.ndarray:
    """Return which test images a head has right that learned these labels."""
    classes = int(truth.max()) + 1
    none = np.zeros(0, dtype=np.int64)
    job = HeadJob("ridge", train, none, classes, {"leave_one_out": True, "normalise": ["l2-centre"]}, refit=False)
    (fit,) = fit_heads(vectors, labels, [job])
    return np.asarray(probabilities(fit.head, vectors, test).argmax(axis=1) == truth[test])


def one_seed(
    vectors: np.ndarray, truth: np.ndarray, test: np.ndarray, kind: str, seed: int
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Return precision and recall of both rankings, and the right answers of the three heads."""
    generator = np.random.default_rng([seed, KINDS.index(kind)])
    train = np.setdiff1d(np.arange(len(truth)), test)
    known, features = truth[train], vectors[train]
    noisy, wrong = plant(features, known, kind, generator)
    judged = out_of_fold(features, noisy, int(truth.max()) + 1, seed=seed)
    ours, proposed = rank_labels(judged, noisy, least=5)
    found: dict[str, float] = {"planted": len(wrong), "listed": len(ours), "wrong": np.isin(ours, wrong).mean()}
    found["recall of the list"] = np.isin(wrong, ours).mean()
    found["proposal right"] = (proposed == known[ours])[np.isin(ours, wrong)].mean()
    theirs = cleanlab(judged, noisy)
    found["cleanlab lists"] = len(theirs)
    for times in TIMES:
        k = round(times * len(wrong))
        for name, ranking in (("headstart", ours), ("cleanlab", theirs)):
            hits = np.isin(ranking[:k], wrong).sum()
            found[f"{name} precision at {times:g}"] = hits / max(1, len(ranking[:k]))
            found[f"{name} recall at {times:g}"] = hits / len(wrong)
    corrected = noisy.copy()
    corrected[ours] = known[ours]
    right = {}
    for name, labels in ((AS_PLANTED, noisy), (CORRECTED, corrected), (TRUE, known)):
        whole = truth.copy()
        whole[train] = labels
        right[name] = right_answers(vectors, whole, truth, train, test)
    return found, right


def main() -> None:
    """Plant, propose, correct and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    found = embed(arguments.source or Path(os.environ["HEADSTART_DATA"]) / "caltech101")
    vectors, truth, given = np.asarray(found.vectors), found.dataset.labels, found.dataset.given_split
    fifth = np.sort(np.random.default_rng(0).permutation(len(truth))[: len(truth) // 5])
    test = fifth if given is None else np.flatnonzero(given == "test")
    for kind in KINDS:
        tables, answers = [], []
        for seed in range(arguments.seeds):
            table, right = one_seed(vectors, truth, test, kind, seed)
            tables.append(table)
            answers.append(right)
        print(f"{found.dataset.name}, {kind}, {arguments.seeds} seeds")
        for key in tables[0]:
            print(f"  {key}: {np.mean([table[key] for table in tables]):.3f}")
        for name in answers[0]:
            print(f"  accuracy, {name}: {np.mean([right[name].mean() for right in answers]):.4f}")
        for former, now in ((AS_PLANTED, CORRECTED), (CORRECTED, TRUE)):
            runs = {name: np.stack([right[name] for right in answers]) for name in (former, now)}
            (pair,) = compare_runs(runs)["pairwise"]
            points, low, high = (100 * value for value in seen_from(now, pair))
            print(f"  {now} less {former}: {points:+.2f} points ({low:.2f} to {high:.2f})", flush=True)


if __name__ == "__main__":
    main()
