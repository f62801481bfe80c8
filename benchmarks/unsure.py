"""Whether answers are as sure as they say: coverage of sets, unfamiliar images, promised accuracies.

    HEADSTART_DATA=/path/to/data python benchmarks/unsure.py            everything: about half an hour on two cores
    python benchmarks/unsure.py --small                                 digits, few divisions: does it run?
    python benchmarks/unsure.py --only sets --data cifar10-small        one part, one data set

Features are those of EfficientNet-Lite0 with ImageNet weights, which the store keeps; the head is logistic.

sets      A head is fitted on 40 % of the images. The rest is divided a thousand times into halves for calibration and
          test: mean coverage of 95 % sets and its spread, the least class-conditional coverage of a class that always
          has 50 calibration images, mean size beside the smallest that the same probabilities allow (the threshold
          on 1 - p at which exactly 95 % of the test images are covered), and how often a promised accuracy of 95 % was
          not kept by calibration and test images together. In the first hundred divisions the temperature is fitted
          on the calibration images too, as a study does.
unknown   Classes held out at random, twenty times, and the head fitted on the others: AUROC of each score and its false
          positive rate where 95 % of familiar images are accepted; of the score chosen without foreign images too, and
          the share of familiar images that its threshold rejects. Foreign: the held-out classes, the other data sets,
          noise and blank pictures.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from calibration import DATA
from scipy import special

from headstart.evaluate.metrics.auc import roc_area
from headstart.evaluate.metrics.calibration import apply_temperature, fit_temperature
from headstart.evaluate.uncertainty.conformal import SCORES as SETS
from headstart.evaluate.uncertainty.conformal import calibrate, nonconformity, prediction_sets
from headstart.evaluate.uncertainty.familiarity import SCORES, SourceHead, fit_reference, rejection, unit_length
from headstart.evaluate.uncertainty.score_choice import choose_score
from headstart.evaluate.uncertainty.selective import promise
from headstart.models.create import create_backbone
from headstart.study.analysis.uncertainty import source_head
from headstart.study.resources import Loaded
from headstart.transfer.frozen.engine import Engine
from headstart.transfer.heads.fit import HeadJob, fit_heads

LEVEL, ENOUGH, CALIBRATED = 0.95, 50, 100
PENALTY = {"penalty": 0.001, "normalise": "standardise"}  # what is chosen on all three
HELD_OUT = {"caltech101": 10, "cifar10-small": 3, "groceries": 8, "digits": 2}

Array = np.ndarray
Logits = Callable[[Array], Array]


def head_of(features: Array, labels: Array) -> Logits:
    """Return the logits of a logistic head fitted on all rows."""
    rows = np.arange(len(labels))
    job = HeadJob("logistic", rows, rows[:0], int(labels.max()) + 1, PENALTY, 0, refit=False)
    head = fit_heads(features, labels, [job])[0].head

    def logits(others: Array) -> Array:
        with torch.inference_mode():
            found: Array = head(torch.from_numpy(np.ascontiguousarray(others))).numpy()
        return found

    return logits


def sets(features: Array, labels: Array, divisions: int) -> dict[str, object]:
    """Return coverage and sizes over random divisions."""
    generator = np.random.default_rng(0)
    rows = generator.permutation(len(labels))
    first = int(0.4 * len(rows))
    rest = rows[first:]
    logits = head_of(features[rows[:first]], labels[rows[:first]])(features[rest])
    raw, own = special.softmax(logits, axis=1).astype(np.float32), labels[rest]
    classes, n, half = raw.shape[1], len(rest), len(rest) // 2
    found: dict[str, list[float]] = {}
    by_class: dict[str, list[Array]] = {f"{kind} by class": [] for kind in SETS}
    counts, broken, left = [], [], []
    plain = {kind: nonconformity(kind, raw) for kind in SETS}
    confidence, correct = raw.max(1), raw.argmax(1) == own
    for division in range(divisions):
        order = generator.permutation(n)
        cal, test = order[:half], order[half:]
        counts.append(np.bincount(own[cal], minlength=classes))
        for kind, scores in plain.items():
            right = scores[np.arange(n), own]
            for name, conditional in ((kind, False), (f"{kind} by class", True)):
                limits = calibrate(right[cal], own[cal], classes, LEVEL, by_class=conditional)
                inside = prediction_sets(scores[test], limits)
                covered = inside[np.arange(len(test)), own[test]]
                found.setdefault(name, []).append(covered.mean())
                found.setdefault(f"{name} size", []).append(inside.sum(1).mean())
                if conditional:
                    held = np.bincount(own[test], minlength=classes)
                    hits = np.bincount(own[test], covered, minlength=classes)
                    by_class[name].append(np.where(held > 0, hits / np.maximum(held, 1), np.nan))
        wanted = np.sort(plain["lac"][test, own[test]])[int(np.ceil(LEVEL * len(test))) - 1]
        found.setdefault("smallest possible size", []).append(float((plain["lac"][test] <= wanted).sum(1).mean()))
        if division < CALIBRATED:
            scores = nonconformity("lac", apply_temperature(raw, fit_temperature(own[cal], raw[cal])))
            right = scores[np.arange(n), own]
            limits = calibrate(right[cal], own[cal], classes, LEVEL)
            found.setdefault("lac, temperature fitted on calibration", []).append(
                (right[test] <= limits.values[0]).mean()
            )
        kept = promise(confidence[cal], correct[cal], LEVEL)
        if kept is not None:
            left.append(kept.left["value"] or 0.0)
            broken.append(bool(correct[confidence > kept.above].mean() < LEVEL))
    enough = np.array(counts).min(0) >= ENOUGH
    least = {
        name: float(np.nanmean(each, axis=0)[enough].min()) if enough.any() else None for name, each in by_class.items()
    }
    return {
        "images": {"head": first, "calibration": half, "test": n - half},
        "accuracy": float((raw.argmax(1) == own).mean()),
        "mean": {name: round(float(np.mean(each)), 4) for name, each in found.items()},
        "spread of coverage": {name: round(float(np.std(found[name])), 4) for name in SETS},
        f"least coverage of {int(enough.sum())} classes with {ENOUGH} calibration images": least,
        "0.95 promised": len(broken) / divisions,
        "lower on calibration and test together": float(np.mean(broken)) if broken else None,
        "left to a person": float(np.mean(left)) if left else None,
    }


@dataclass(frozen=True)
class Foreign:
    """Images that are of no class of the data set."""

    name: str
    features: Array


def imagenet_head() -> SourceHead | None:
    """Return the head that EfficientNet-Lite0 was pretrained with, as a study takes it."""
    backbone, weights = create_backbone("efficientnet_lite0", "imagenet")
    return source_head(Loaded(backbone, weights, ""), backbone.feature_dim)


def unknown(
    name: str, features: Array, labels: Array, others: list[Foreign], draws: int, source: SourceHead | None
) -> dict[str, object]:
    """Return how well each score finds images of held-out classes, and others."""
    scores = {each: score for each, score in SCORES.items() if source is not None or "source" not in each}
    aurocs: dict[str, dict[str, list[float]]] = {}
    accepted: dict[str, dict[str, list[float]]] = {}
    chosen, rejected = [], []
    for draw in range(draws):
        generator = np.random.default_rng(draw)
        gone = generator.choice(np.unique(labels), HELD_OUT[name], replace=False)
        rows = generator.permutation(np.flatnonzero(~np.isin(labels, gone)))
        train, held, test = np.split(rows, [len(rows) // 2, 3 * len(rows) // 4])
        codes = np.unique(labels[rows], return_inverse=True)[1][: len(train)]
        fit = head_of(features[train], codes)
        reference = fit_reference(features[train], codes, fit(features[train]), source=source)
        best, _ = choose_score(features[train], codes, head_of, source=source)
        chosen.append(best)
        strange = [Foreign("held-out classes", features[np.isin(labels, gone)]), *others]
        said = {
            part: (unit_length(each), fit(each))
            for part, each in {
                "held": features[held],
                "test": features[test],
                **{f.name: f.features for f in strange},
            }.items()
        }
        for score_name, score in {**scores, "chosen": SCORES[best]}.items():
            values = {part: score(reference, *each) for part, each in said.items()}
            if score_name == "chosen":
                rejected.append(float((values["test"] < rejection(values["held"]).below).mean()))
            limit = np.quantile(values["test"], 0.05)
            for each in strange:
                both = np.concatenate([values["test"], values[each.name]])
                area, _ = roc_area(both, np.arange(len(both)) < len(values["test"]))
                aurocs.setdefault(each.name, {}).setdefault(score_name, []).append(area)
                accepted.setdefault(each.name, {}).setdefault(score_name, []).append(
                    float((values[each.name] >= limit).mean())
                )
    return {
        "AUROC": {place: {k: round(float(np.mean(v)), 4) for k, v in each.items()} for place, each in aurocs.items()},
        "FPR95": {place: {k: round(float(np.mean(v)), 4) for k, v in each.items()} for place, each in accepted.items()},
        "gain over softmax, standard error": [
            round(float(np.mean(gain)), 4) if which == "mean" else round(float(np.std(gain) / len(gain) ** 0.5), 4)
            for gain in [np.subtract(aurocs["held-out classes"]["chosen"], aurocs["held-out classes"]["softmax"])]
            for which in ("mean", "error")
        ],
        "chosen": {each: chosen.count(each) for each in sorted(set(chosen))},
        "familiar images rejected": round(float(np.mean(rejected)), 4),
    }


def made_up(count: int = 100) -> list[Foreign]:
    """Return the features of noise and of blank pictures."""
    backbone, _ = create_backbone("efficientnet_lite0", "imagenet")
    engine, side = Engine(backbone, backbone.preprocessing), backbone.preprocessing.size
    generator = np.random.default_rng(0)
    noise = generator.integers(0, 256, (count, side, side, 3), np.uint8)
    blank = np.broadcast_to(generator.integers(0, 256, (count, 1, 1, 3), np.uint8), noise.shape)
    parts = {"noise": noise, "blank": np.ascontiguousarray(blank)}
    return [
        Foreign(name, np.concatenate([engine(each[k : k + 20]) for k in range(0, count, 20)]).reshape(count, -1))
        for name, each in parts.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", choices=sorted(DATA), default=["caltech101", "cifar10-small", "groceries"])
    parser.add_argument("--only", choices=("sets", "unknown"))
    parser.add_argument("--divisions", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--small", action="store_true")
    asked = parser.parse_args()
    names = ["digits"] if asked.small else asked.data
    divisions, draws = (20, 2) if asked.small else (asked.divisions, asked.draws)
    loaded = {name: DATA[name]() for name in names}
    source = None if asked.small else imagenet_head()
    extra = [] if asked.small or asked.only == "sets" else made_up()
    for name, (features, labels) in loaded.items():
        if asked.only != "unknown":
            print(name, "sets", json.dumps(sets(features, labels, divisions), indent=1), flush=True)
        if asked.only != "sets":
            others = [Foreign(other, loaded[other][0][:1000]) for other in names if other != name]
            print(
                name,
                "unknown",
                json.dumps(unknown(name, features, labels, [*others, *extra], draws, source), indent=1),
                flush=True,
            )


if __name__ == "__main__":
    main()
