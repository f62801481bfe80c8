"""Whether drift is found where there is some and not where there is none, and what an accuracy without labels is worth.

    HEADSTART_DATA=/path/to/data python benchmarks/drift.py           everything: about half an hour on two cores
    python benchmarks/drift.py --small                                 groceries, few draws: does it run?
    python benchmarks/drift.py --data cifar10-small --simulations 100  one data set

EfficientNet-Lite0 with ImageNet weights and a logistic head. Of each data set 400 pictures are set aside and changed
(`drifted.py`). Half of the others train the head, the rest is held out, up to 1,000 of them in the model's file.

alarms    The held-out pictures and 200 new ones of the same kind are drawn from the rest at random, 1,000 times: the
          share of draws in which a difference is claimed. Of 199 divisions each; the level is exact for any number.
found     200 of the 400 changed pictures, in 50 draws: JPEG of quality 10, a Gaussian blur, the white balance of
          another camera; and 200 unchanged ones of all classes but one, 25 times the most frequent class, 25 times any
          other: the share of draws in which a difference is claimed, and the missing class named.
accuracy  True and estimated accuracy on all 400 changed pictures, with the bounds, or why it is not knowable. The rules
          were settled on the groceries and on the changes that are listed as `OTHERS`.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass, replace

import numpy as np
from drifted import CHANGES, OTHERS, Seen, seen
from scipy import special
from unsure import Logits, head_of

from headstart.evaluate.metrics.calibration import apply_temperature, fit_temperature
from headstart.evaluate.uncertainty.drift import MOST_COMPARED, Sketch, compare, projected, sketch_of
from headstart.evaluate.uncertainty.familiarity import (
    DEFAULT,
    MOST_REJECTED,
    familiar_share,
    familiarity,
    fit_reference,
)
from headstart.evaluate.uncertainty.selective import exact
from headstart.evaluate.uncertainty.unlabelled_accuracy import guess_accuracy

NEW, DRAWS, WITHIN = 200, 50, 0.05

Array = np.ndarray


@dataclass(frozen=True)
class Trained:
    """A head on half of the pictures, calibrated on the others."""

    logits: Logits
    temperature: float
    train: Array
    held: Array

    def probabilities(self, features: Array) -> Array:
        """Return calibrated probabilities."""
        raw = special.softmax(self.logits(features), axis=1).astype(np.float32)
        return np.asarray(apply_temperature(raw, self.temperature), dtype=np.float32)


def trained(found: Seen) -> Trained:
    """Return the head of a data set."""
    rest = np.random.default_rng(1).permutation(np.setdiff1d(np.arange(len(found.labels)), found.pool))
    train, held = np.split(rest, [len(rest) // 2])
    logits = head_of(found.features[train], found.labels[train])
    raw = special.softmax(logits(found.features[held]), axis=1).astype(np.float32)
    return Trained(logits, fit_temperature(found.labels[held], raw), train, held)


def drawn(base: Sketch, found: Seen, model: Trained, predicted: Array, rows: Array) -> Sketch:
    """Return the sketch of other held-out pictures, with the same directions."""
    embeddings = projected(base, found.features[rows])
    return replace(base, embeddings=embeddings, looks=found.looks[rows], predicted=predicted[rows])


def alarms(base: Sketch, found: Seen, model: Trained, predicted: Array, simulations: int) -> dict[str, float]:
    """Return how often a difference is claimed where there is none, of anything and of each thing."""
    generator, claims = np.random.default_rng(2), []
    for draw in range(simulations):
        order = generator.permutation(np.concatenate([model.held, found.pool]))
        held, new = order[NEW : NEW + min(MOST_COMPARED, len(model.held))], order[:NEW]
        own = drawn(base, found, model, predicted, held)
        result = compare(
            own, projected(base, found.features[new]), found.looks[new], predicted[new], permutations=199, seed=draw
        )
        claims.append([result.found, *(change.found for change in result.changes)])
    names = ["any", *(change.what for change in result.changes)]
    return {name: round(float(share), 4) for name, share in zip(names, np.mean(claims, axis=0), strict=True)}


def detected(base: Sketch, found: Seen, model: Trained, predicted: Array, draws: int) -> dict[str, object]:
    """Return how often a change is found, and by what."""
    generator, rates = np.random.default_rng(3), dict[str, object]()
    for change in list(CHANGES)[1:]:
        features, looks = found.changed[change]
        said = model.probabilities(features).argmax(1)
        embeddings = projected(base, features)
        hits = []
        for draw in range(draws):
            some = generator.permutation(len(features))[:NEW]
            result = compare(base, embeddings[some], looks[some], said[some], seed=draw)
            hits.append([result.found, *(each.found for each in result.changes)])
        names = ["any", *(each.what for each in result.changes)]
        rates[change] = {name: round(float(rate), 2) for name, rate in zip(names, np.mean(hits, axis=0), strict=True)}
    counts = np.bincount(found.labels)
    fresh = np.setdiff1d(np.concatenate([model.held, found.pool]), model.held[:MOST_COMPARED])
    fresh = fresh if len(fresh) > 2 * NEW else found.pool
    for which in ("the most frequent class missing", "another class missing"):
        hits, shares = [], []
        for draw in range(draws // 2):
            most = int(counts.argmax())
            others = np.setdiff1d(np.flatnonzero(counts), [most])
            gone = most if which.startswith("the") else int(generator.choice(others))
            rows = generator.permutation(fresh[found.labels[fresh] != gone])[:NEW]
            result = compare(base, projected(base, found.features[rows]), found.looks[rows], predicted[rows], seed=draw)
            hits.append([result.found, gone in [each.number for each in result.classes]])
            shares.append(counts[gone] / counts.sum())
        any_found, named = np.mean(hits, axis=0)
        rates[which] = {"any": float(any_found), "named": float(named), "its share": round(float(np.mean(shares)), 3)}
    return rates


def accuracies(base: Sketch, found: Seen, model: Trained) -> list[dict[str, object]]:
    """Return the true and the estimated accuracy on the changed pictures."""
    held_said = model.probabilities(found.features[model.held])
    confidence, correct = held_said.max(1), held_said.argmax(1) == found.labels[model.held]
    train = found.features[model.train]
    reference = fit_reference(train, found.labels[model.train], model.logits(train), score=DEFAULT)

    def score(features: Array) -> Array:
        return familiarity(DEFAULT, reference, features, model.logits(features))

    familiar, rows = score(found.features[model.held]), []
    for change, (features, _) in found.changed.items():
        said = model.probabilities(features)
        strange = familiar_share(score(features), familiar) <= MOST_REJECTED
        unfamiliar = exact(int(strange.sum()), len(strange))["low"] or 0.0
        guess = guess_accuracy(
            base, confidence, correct, said.max(1), said.argmax(1), projected(base, features), unfamiliar
        )
        true = float((said.argmax(1) == found.labels[found.pool]).mean())
        near = None if guess.value is None else bool(abs(guess.value - true) <= WITHIN)
        figures = {"true": true, "estimated": guess.value, "low": guess.low, "high": guess.high, **guess.estimates}
        rounded = {name: None if value is None else round(value, 3) for name, value in figures.items()}
        rows.append({"change": change, **rounded, "within 5 points": near, "not knowable": guess.why})
    return rows


def measured(name: str, simulations: int, draws: int) -> dict[str, object]:
    """Return all figures of a data set."""
    found = seen(name)
    model = trained(found)
    predicted = model.probabilities(found.features).argmax(1)
    some = model.held[:MOST_COMPARED]
    own = found.features[some], found.looks[some], predicted[some]
    base = sketch_of(found.features[model.train], found.labels[model.train], *own)
    started = time.process_time()
    compare(base, projected(base, found.features[found.pool]), found.looks[found.pool], predicted[found.pool])
    seconds = time.process_time() - started
    return {
        "pictures": {"train": len(model.train), "held out": len(model.held), "compared with": len(base)},
        "held-out accuracy": round(float((predicted[model.held] == found.labels[model.held]).mean()), 4),
        "accuracy": accuracies(base, found, model),
        "found": detected(base, found, model, predicted, draws),
        "false alarms": alarms(base, found, model, predicted, simulations) if simulations else None,
        "processor seconds of one comparison": round(seconds, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = ("groceries", "cifar10-small", "caltech101")
    parser.add_argument("--data", nargs="+", choices=known, default=known)
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--small", action="store_true", help="groceries, few draws: does it run?")
    asked = parser.parse_args()
    names = ("groceries",) if asked.small else asked.data
    simulations, draws = (20, 4) if asked.small else (asked.simulations, asked.draws)
    for name in names:
        print(name, json.dumps(measured(name, simulations, draws), indent=1), flush=True)
    print("the rules of the estimate were settled on:", ", ".join(OTHERS))


if __name__ == "__main__":
    main()
