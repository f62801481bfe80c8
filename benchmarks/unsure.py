"""Whether answers are as sure as they say: coverage of sets, unfamiliar images, guaranteed accuracies.

    HEADSTART_DATA=/path/to/data python benchmarks/unsure.py            everything: about half an hour on two cores
    python benchmarks/unsure.py --small                                 digits, few divisions: does it run?
    python benchmarks/unsure.py --only sets --data cifar10-small        one part, one data set
    python benchmarks/unsure.py --only unknown --data caltech101 --foreign cifar10-small groceries       beside others
    python benchmarks/unsure.py --only unknown --peers                   beside the detectors of pytorch-ood

Features are those of EfficientNet-Lite0 with ImageNet weights, which the store keeps; the head is logistic.

sets      A head is fitted on 40 % of the images. The rest is divided a thousand times into halves for calibration and
          test: mean coverage of 95 % sets and its spread, the least class-conditional coverage of a class that always
          has 50 calibration images, coverage and size of the sets as `predict` makes them (never empty, and with APS
          and RAPS as large as any draw makes them), mean size beside the smallest that the same probabilities allow
          (the threshold on 1 - p at which exactly 95 % of the test images are covered), and how often a guaranteed
          accuracy of 95 % was not kept by calibration and test images together. In the first hundred divisions the
          temperature is fitted on the calibration images too, as a study does.
unknown   Classes held out at random, twenty times, and the head fitted on the others: AUROC of each score and its false
          positive rate where 95 % of familiar images are accepted; of the score chosen without foreign images too, and
          the share of familiar images that its threshold rejects. Foreign: the held-out classes, the other data sets,
          noise and blank pictures. With --peers (pip install pytorch-ood==0.4.0) its detectors too, see `ood_peers.py`,
          and the difference of each to the chosen score in AUROC, paired over the draws, with 95 % intervals (t).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from calibration import DATA
from scipy import special, stats
from torch import nn

from headstart.evaluate.metrics.auc import roc_area
from headstart.evaluate.metrics.calibration import apply_temperature, fit_temperature
from headstart.evaluate.uncertainty.conformal import SCORES as SETS
from headstart.evaluate.uncertainty.conformal import calibrate, nonconformity, prediction_sets, scores_in_sets
from headstart.evaluate.uncertainty.familiarity import (
    SCORES,
    WITH_SOURCE,
    Compared,
    SourceHead,
    fit_reference,
    rejection,
    unit_length,
)
from headstart.evaluate.uncertainty.score_choice import choose_score
from headstart.evaluate.uncertainty.selective import guarantee
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
Peers = Callable[[Array, Array, nn.Module], dict[str, Callable[[Array], Array]]]
PEER = "pytorch-ood "


def fitted_head(features: Array, labels: Array) -> nn.Module:
    """Return a logistic head fitted on all rows."""
    rows = np.arange(len(labels))
    job = HeadJob("logistic", rows, rows[:0], int(labels.max()) + 1, PENALTY, 0, refit=False)
    return fit_heads(features, labels, [job])[0].head


def logits_of(head: nn.Module) -> Logits:
    """Return a head as a function of arrays."""

    def logits(others: Array) -> Array:
        with torch.inference_mode():
            found: Array = head(torch.from_numpy(np.ascontiguousarray(others))).numpy()
        return found

    return logits


def head_of(features: Array, labels: Array) -> Logits:
    """Return the logits of a logistic head fitted on all rows."""
    return logits_of(fitted_head(features, labels))


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
    drawn = np.random.default_rng(1).random(n)
    exact = {kind: nonconformity(kind, raw, drawn) for kind in SETS}
    predicted = {kind: scores_in_sets(kind, raw) for kind in SETS}
    confidence, correct = raw.max(1), raw.argmax(1) == own
    for division in range(divisions):
        order = generator.permutation(n)
        cal, test = order[:half], order[half:]
        counts.append(np.bincount(own[cal], minlength=classes))
        for kind, scores in exact.items():
            right = scores[np.arange(n), own]
            for name, conditional in ((kind, False), (f"{kind} by class", True)):
                limits = calibrate(right[cal], own[cal], classes, LEVEL, by_class=conditional)
                inside = prediction_sets(scores[test], limits)
                covered = inside[np.arange(len(test)), own[test]]
                found.setdefault(name, []).append(covered.mean())
                found.setdefault(f"{name} size", []).append(inside.sum(1).mean())
                said = prediction_sets(predicted[kind][test], limits, never_empty=True)
                found.setdefault(f"{name}, as predicted", []).append(said[np.arange(len(test)), own[test]].mean())
                found.setdefault(f"{name} size, as predicted", []).append(said.sum(1).mean())
                if conditional:
                    held = np.bincount(own[test], minlength=classes)
                    hits = np.bincount(own[test], covered, minlength=classes)
                    by_class[name].append(np.where(held > 0, hits / np.maximum(held, 1), np.nan))
        wanted = np.sort(exact["lac"][test, own[test]])[int(np.ceil(LEVEL * len(test))) - 1]
        found.setdefault("smallest possible size", []).append(float((exact["lac"][test] <= wanted).sum(1).mean()))
        if division < CALIBRATED:
            scores = nonconformity("lac", apply_temperature(raw, fit_temperature(own[cal], raw[cal])))
            right = scores[np.arange(n), own]
            limits = calibrate(right[cal], own[cal], classes, LEVEL)
            found.setdefault("lac, temperature fitted on calibration", []).append(
                (right[test] <= limits.values[0]).mean()
            )
        kept = guarantee(confidence[cal], correct[cal], LEVEL)
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
        "0.95 guaranteed": len(broken) / divisions,
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
    name: str,
    features: Array,
    labels: Array,
    others: list[Foreign],
    draws: int,
    source: SourceHead | None,
    peers: Peers | None = None,
    fixed: bool = False,
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
        head = fitted_head(features[train], codes)
        fit = logits_of(head)
        reference = fit_reference(features[train], codes, fit(features[train]), source=source)
        best = WITH_SOURCE if fixed else choose_score(features[train], codes, head_of, source=source)[0]
        chosen.append(best)
        strange = [Foreign("held-out classes", features[np.isin(labels, gone)]), *others]
        parts = [features[held], features[test], *(each.features for each in strange)]
        images, ends = np.concatenate(parts), np.cumsum([len(each) for each in parts])[:-1]
        seen = Compared(reference, unit_length(images), fit(images))
        values = {score_name: score(seen) for score_name, score in scores.items()}
        values["chosen"] = values[best]
        if peers is not None:
            theirs = peers(features[train], codes, head)
            values |= {f"{PEER}{peer}": familiar(images) for peer, familiar in theirs.items()}
        for score_name, value in values.items():
            calibration, familiar, *foreign = np.split(value, ends)
            if score_name == "chosen":
                rejected.append(float((familiar < rejection(calibration).below).mean()))
            limit = np.quantile(familiar, 0.05)
            for each, its in zip(strange, foreign, strict=True):
                both = np.concatenate([familiar, its])
                area, _ = roc_area(both, np.arange(len(both)) < len(familiar))
                aurocs.setdefault(each.name, {}).setdefault(score_name, []).append(area)
                accepted.setdefault(each.name, {}).setdefault(score_name, []).append(float((its >= limit).mean()))
        own = {score_name: f"{values[-1]:.4f}" for score_name, values in aurocs["held-out classes"].items()}
        print(name, draw, best, own, file=sys.stderr, flush=True)
    gain = np.subtract(aurocs["held-out classes"]["chosen"], aurocs["held-out classes"]["softmax"])
    found: dict[str, object] = {
        "AUROC": {place: {k: round(float(np.mean(v)), 4) for k, v in each.items()} for place, each in aurocs.items()},
        "FPR95": {place: {k: round(float(np.mean(v)), 4) for k, v in each.items()} for place, each in accepted.items()},
        "gain over softmax, standard error": [
            round(float(np.mean(gain)), 4),
            round(float(np.std(gain) / len(gain) ** 0.5), 4),
        ],
        "chosen": {each: chosen.count(each) for each in sorted(set(chosen))},
        "familiar images rejected": round(float(np.mean(rejected)), 4),
    }
    if peers is not None:
        found["beside"] = {place: beside(each) for place, each in aurocs.items()}
    return found


def beside(aurocs: dict[str, list[float]]) -> dict[str, str]:
    """Return the AUROC of each peer, the best first, and what the chosen score gains: mean and 95 % interval."""
    peers = sorted((name for name in aurocs if name.startswith(PEER)), key=lambda name: -np.mean(aurocs[name]))
    found = {}
    for name in peers:
        gains = np.subtract(aurocs["chosen"], aurocs[name])
        mean, half = gains.mean(), stats.t.ppf(0.975, len(gains) - 1) * gains.std(ddof=1) / len(gains) ** 0.5
        found[name] = f"{np.mean(aurocs[name]):.4f}, gain {mean:+.4f} [{mean - half:+.4f}, {mean + half:+.4f}]"
    return found


def known_peers() -> Peers:
    """Return what fits the detectors of pytorch-ood; ends where it is not installed."""
    try:
        from ood_peers import peers
    except ModuleNotFoundError as error:
        raise SystemExit(f"--peers needs pytorch-ood: pip install pytorch-ood==0.4.0 ({error})") from None
    return peers


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
    parser.add_argument(
        "--foreign", nargs="+", choices=sorted(DATA), default=[], help="data sets that are only foreign"
    )
    parser.add_argument(
        "--fixed", action="store_true", help="the sum with the source, without a choice: a third of the time"
    )
    parser.add_argument("--only", choices=("sets", "unknown"))
    parser.add_argument("--divisions", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--peers", action="store_true", help="also the detectors of pytorch-ood")
    asked = parser.parse_args()
    if asked.small and asked.fixed:
        parser.error("--small has no source, which --fixed asks for")
    peers = known_peers() if asked.peers else None
    names = ["digits"] if asked.small else asked.data
    divisions, draws = (20, 2) if asked.small else (asked.divisions, asked.draws)
    loaded = {name: DATA[name]() for name in dict.fromkeys((*names, *asked.foreign))}
    source = None if asked.small else imagenet_head()
    extra = [] if asked.small or asked.only == "sets" else made_up()
    for name in names:
        features, labels = loaded[name]
        if asked.only != "unknown":
            print(name, "sets", json.dumps(sets(features, labels, divisions), indent=1), flush=True)
        if asked.only != "sets":
            others = [Foreign(other, loaded[other][0][:1000]) for other in loaded if other != name]
            print(
                name,
                "unknown",
                json.dumps(
                    unknown(name, features, labels, [*others, *extra], draws, source, peers, asked.fixed), indent=1
                ),
                flush=True,
            )


if __name__ == "__main__":
    main()
