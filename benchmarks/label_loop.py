"""Labels that `headstart label` saves: an oracle labels what is suggested, beside labels at random, over seeds.

    python benchmarks/label_loop.py [groceries FOLDER …] [--seeds 10] [--budget 600] [--backbone NAME] [--weights FILE]
    python benchmarks/label_loop.py groceries --budget 300 --seeds 40 --coverage
    python benchmarks/label_loop.py --timing 50000 [--labels 500 2000] [--classes 20]

Of each data set 30 % are new images, drawn at random for each seed, which no label is asked of: they measure. The rest
is the folder to label. Both ways fit the same ridge head (`Fitter.fit`) after every `--step` labels; of the suggested
images a quarter is of the random sample, as on the page. Printed: labels until 90 % of the accuracy that all labels
give, with 95 % intervals over seeds; and how often the interval that the page shows covers the accuracy on the new
images. With --coverage: only the latter, with an interval over seeds. With --timing: the time of a refit and the next
twelve suggestions on random vectors of 1,280 numbers, wall and processor.

The accuracy on a few hundred new images is itself uncertain by one or two points, so that a perfect interval covers it
less often than the true accuracy. "Allowing for their number": whether the interval of the difference of the two
accuracies (Newcombe 1998) contains 0, which is so in 95 % of cases if the interval shown is right.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from headstart.evaluate.comparison.compare import over_seeds
from headstart.evaluate.metrics.intervals import independent_difference, proportion
from headstart.labelling.classifier_so_far import ClassifierSoFar, Fitter
from headstart.labelling.embeddings import embed
from headstart.labelling.suggest import RANDOM, Suggester

GOAL = 0.9  # of the accuracy with all labels


def accuracy(fitted: ClassifierSoFar | None, rows: np.ndarray, truth: np.ndarray) -> float:
    """Return the accuracy on some rows; 0 without a classifier."""
    return 0.0 if fitted is None else float((fitted.probabilities[rows].argmax(axis=1) == truth[rows]).mean())


def at_random(
    vectors: np.ndarray, truth: np.ndarray, new: np.ndarray, seed: int, step: int, budget: int
) -> list[float]:
    """Return the accuracy on the new images after every `step` labels of random images."""
    order = np.random.default_rng([seed, 1]).permutation(np.setdiff1d(np.arange(len(truth)), new))
    found, fitter = [], Fitter(vectors)
    for count in range(step, min(budget, len(order)) + 1, step):
        labels = np.full(len(truth), -1)
        labels[order[:count]] = truth[order[:count]]
        fitted = fitter.fit(labels, np.zeros(len(truth), bool), names(truth), margins=False)
        found.append(accuracy(fitted, new, truth))
    return found


def suggested(
    vectors: np.ndarray, truth: np.ndarray, new: np.ndarray, seed: int, step: int, budget: int, share: float
) -> tuple[list[float], list[tuple[bool, bool]]]:
    """Return the same for suggested images, and whether the interval shown covers the accuracy on the new images.

    The latter look by look, for that accuracy as it is, and allowing for the number of the new images.
    """
    pool = np.setdiff1d(np.arange(len(truth)), new)
    suggester = Suggester(vectors[pool], seed=seed, share=share)
    labels, sample = np.full(len(truth), -1), np.zeros(len(truth), bool)
    fitter, fitted, found, covered = Fitter(vectors), None, [], []
    while (labels >= 0).sum() + step <= min(budget, len(pool)):
        margins = None if fitted is None or fitted.margins is None else fitted.margins[pool]
        for each in suggester.next(labels[pool] >= 0, step, margins=margins):
            row = pool[each.row]
            labels[row], sample[row] = truth[row], each.how == RANDOM
        fitted = fitter.fit(labels, sample, names(truth))
        found.append(accuracy(fitted, new, truth))
        shown = None if fitted is None else fitted.accuracy
        if shown is not None and shown["low"] is not None and shown["n"] >= 20:
            apart = independent_difference(shown, proportion(round(found[-1] * len(new)), len(new)))
            assert apart is not None
            covered.append((shown["low"] <= found[-1] <= shown["high"], apart.low <= 0 <= apart.high))  # type: ignore[operator]
    return found, covered


def names(truth: np.ndarray) -> tuple[str, ...]:
    """Return names for the classes."""
    return tuple(str(code) for code in range(int(truth.max()) + 1))


def labels_until(curve: list[float], goal: float, step: int) -> float:
    """Return the first number of labels from which on the goal is reached; the next step beyond if never."""
    reached = [place for place, value in enumerate(curve) if value >= goal]
    return float(step * (reached[0] + 1 if reached else len(curve) + 1))


def study(source: str, arguments: argparse.Namespace) -> None:
    """Print the figures of one data set."""
    found = embed(source, backbone=arguments.backbone, weights=arguments.weights)
    vectors, truth, step = np.asarray(found.vectors), found.dataset.labels, arguments.step
    ratios, random_labels, chosen_labels, covered, final = [], [], [], [], []
    for seed in range(arguments.seeds):
        began = time.perf_counter()
        new = np.sort(np.random.default_rng([seed, 0]).permutation(len(truth))[: int(0.3 * len(truth))])
        rest = np.setdiff1d(np.arange(len(truth)), new)
        everything = np.full(len(truth), -1)
        everything[rest] = truth[rest]
        whole = Fitter(vectors).fit(everything, np.zeros(len(truth), bool), names(truth), margins=False)
        best = accuracy(whole, new, truth)
        chance = at_random(vectors, truth, new, seed, step, arguments.budget)
        chosen, inside = suggested(vectors, truth, new, seed, step, arguments.budget, arguments.share)
        until = [labels_until(curve, GOAL * best, step) for curve in (chance, chosen)]
        random_labels.append(until[0])
        chosen_labels.append(until[1])
        ratios.append(until[1] / until[0])
        covered += inside
        final.append(best)
        print(
            f"  seed {seed}: {until[0]:.0f} at random, {until[1]:.0f} suggested", f"{time.perf_counter() - began:.0f} s"
        )
    low, high = interval(ratios)
    print(f"{source}: {len(truth):,} images, {len(found.dataset.classes)} classes, all labels {np.mean(final):.3f}")
    print(
        f"  labels to {GOAL:.0%} of it: {np.mean(random_labels):.0f} at random, {np.mean(chosen_labels):.0f} suggested:"
    )
    print(f"  ratio {np.mean(ratios):.2f} ({low:.2f} to {high:.2f})")
    plain, allowing = np.mean(covered, axis=0)
    print(
        f"  the interval shown covers in {plain:.1%} of {len(covered)} looks; allowing for their number {allowing:.1%}"
    )


def coverage(source: str, arguments: argparse.Namespace) -> None:
    """Print how often the interval shown covers the accuracy on new images, seed by seed, whose looks are alike."""
    found = embed(source, backbone=arguments.backbone, weights=arguments.weights)
    vectors, truth = np.asarray(found.vectors), found.dataset.labels
    shares = []
    for seed in range(arguments.seeds):
        new = np.sort(np.random.default_rng([seed, 0]).permutation(len(truth))[: int(0.3 * len(truth))])
        _, inside = suggested(vectors, truth, new, seed, arguments.step, arguments.budget, arguments.share)
        shares.append(np.mean(inside, axis=0))
    print(f"{source}, {len(shares)} seeds: the interval shown covers the accuracy on the new images in")
    for how, values in zip(("as it is", "allowing for their number"), np.transpose(shares).tolist(), strict=True):
        low, high = interval(values)
        print(f"  {np.mean(values):.1%} ({low:.1%} to {high:.1%}), {how}")


def timing(images: int, labelled: int, classes: int, width: int = 1280) -> None:
    """Print how long a refit and the next suggestions take: wall time and processor time."""
    generator = np.random.default_rng(0)
    truth = generator.integers(classes, size=images)
    vectors = generator.standard_normal((images, width), dtype=np.float32)
    centres = generator.standard_normal((classes, width), dtype=np.float32)
    vectors += 16 * centres[truth] / np.sqrt(np.float32(width))
    suggester, fitter = Suggester(vectors), Fitter(vectors)
    labels, sample = np.full(images, -1), np.zeros(images, bool)
    rows = np.concatenate([suggester.sample[: labelled // 4], generator.permutation(images)[:labelled]])[:labelled]
    rows = np.unique(rows)
    labels[rows] = truth[rows]
    sample[np.intersect1d(rows, suggester.sample)] = True
    walls, processors = [], []
    for _ in range(5):
        wall, processor = time.perf_counter(), time.process_time()
        fitted = fitter.fit(labels, sample, names(truth))
        assert fitted is not None
        suggester.next(labels >= 0, 12, margins=fitted.margins)
        walls.append(time.perf_counter() - wall)
        processors.append(time.process_time() - processor)
    took = f"{np.median(walls):.2f} s, {np.median(processors):.2f} s of processor time (medians of 5)"
    print(f"{images:,} images × {width:,}, {len(rows):,} labels, {classes} classes: refit and 12 suggestions {took}")


def interval(values: list[float]) -> tuple[float, float]:
    """Return the 95 % interval of a mean over seeds."""
    estimate = over_seeds(values)
    assert estimate["low"] is not None and estimate["high"] is not None
    return estimate["low"], estimate["high"]


def main() -> None:
    """Run on each data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="*", default=["groceries"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--step", type=int, default=20)
    parser.add_argument("--budget", type=int, default=600)
    parser.add_argument("--share", type=float, default=0.25)
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--weights", default="imagenet")
    parser.add_argument("--coverage", action="store_true")
    parser.add_argument("--timing", type=int, metavar="IMAGES")
    parser.add_argument("--labels", type=int, nargs="+", default=[500, 2000])
    parser.add_argument("--classes", type=int, default=20)
    arguments = parser.parse_args()
    if arguments.timing:
        for labelled in arguments.labels:
            timing(arguments.timing, labelled, arguments.classes)
        return
    for source in arguments.sources:
        (coverage if arguments.coverage else study)(source, arguments)


if __name__ == "__main__":
    main()
