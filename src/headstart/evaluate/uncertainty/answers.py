"""What a model answers for an image: one class, one of a few, or that it does not know; and the data behind it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int

from headstart.errors import DataError, SpecError, choose
from headstart.evaluate.uncertainty.conformal import (
    FREE_RANKS,
    LEVEL,
    PENALTY,
    SCORES,
    Thresholds,
    calibrate,
    cumulative,
    needed,
    prediction_sets,
    scores_in_sets,
)
from headstart.evaluate.uncertainty.costs import Costs, least_cost
from headstart.evaluate.uncertainty.drift import Sketch
from headstart.evaluate.uncertainty.familiarity import (
    MOST_REJECTED,
    Reference,
    familiar_share,
    familiarity,
    rejection,
)
from headstart.evaluate.uncertainty.selective import Guarantee, fewest, guarantee, most_accurate
from headstart.threads import one_blas_thread
from headstart.units import percent

SURE, ONE_OF, UNKNOWN = "sure", "one of", "don't know"
MOST_NAMED = 10  # classes in "one of"
MOST_HELD_OUT = 10_000  # images


@dataclass(frozen=True)
class HeldOut:
    """What a model said of images that it had not learned from: all that sets and guarantees are calibrated on.

    Args:
        labels: int64 [n], the right class.
        right: float32 [n], its probability.
        above: float64 [n], the probability of all classes at least as probable as it.
        rank: int64 [n], its rank, from 1.
        confidence: float32 [n], the largest probability.
    """

    labels: Int[np.ndarray, " n"]
    right: Float[np.ndarray, " n"]
    above: Float[np.ndarray, " n"]
    rank: Int[np.ndarray, " n"]
    confidence: Float[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def correct(self) -> Bool[np.ndarray, " n"]:
        """Return for which images the most probable class is the right one."""
        return np.asarray(self.rank == 1)

    @property
    def drawn(self) -> Float[np.ndarray, " n"]:
        """The probability of all classes at least as probable as the right one, but for a random part of its own.

        That is the score of APS. Without the random part, an image that the model is sure of would have a score near
        one, as one has that it is wrong about, and sets would hold most classes.
        """
        part = np.random.default_rng(0).random(len(self))  # the same each time
        return np.asarray(self.above - part * self.right)


def held_out_of(probabilities: Float[np.ndarray, "n c"], labels: Int[np.ndarray, " n"]) -> HeldOut:
    """Return what is kept of calibrated probabilities of labelled images.

    Raises:
        DataError: there are none.
    """
    if not len(labels):
        raise DataError("nothing can be guaranteed without held-out images: keep some for validation")
    rows = np.arange(len(labels))
    above, ranks = cumulative(probabilities, None)
    return HeldOut(
        labels.astype(np.int64),
        probabilities[rows, labels],
        above[rows, labels],
        ranks[rows, labels],
        probabilities.max(1),
    )


_RIGHT: dict[str, Callable[[HeldOut], np.ndarray]] = {  # randomised scores of the right class, as `nonconformity` has
    "lac": lambda held: 1.0 - held.right.astype(np.float64),
    "aps": lambda held: held.drawn,
    "raps": lambda held: held.drawn + PENALTY * np.maximum(0, held.rank - FREE_RANKS),
}
assert _RIGHT.keys() == SCORES.keys()


@dataclass(frozen=True)
class AnswerOptions:
    """What is asked of the answers.

    Args:
        level: the coverage of the sets: how often they contain the right class.
        sets: the kind of prediction set, a name in SCORES.
        by_class: the level holds for the images of each class.
        at_least: the accuracy to guarantee for the answers that are kept; the others are left for review. None keeps
            all.
    """

    level: float = LEVEL
    sets: str = "lac"
    by_class: bool = False
    at_least: float | None = None


@dataclass(frozen=True)
class Answer:
    """What may be answered of one image.

    Args:
        kind: SURE, ONE_OF or UNKNOWN.
        inside: the numbers of the classes in its set, the most probable first.
        familiarity: which share of familiar images is no more familiar; None where the model cannot tell.
        withheld: left for review, since the accuracy asked for cannot be guaranteed for it.
        decision: the class of least expected cost, or ASK; None without costs.
    """

    kind: str
    inside: tuple[int, ...]
    familiarity: float | None
    withheld: bool
    decision: int | None


@dataclass(frozen=True)
class Uncertainty:
    """How sure a model is, calibrated on held-out images.

    Args:
        classes: C.
        held_out: what it said of them.
        score: the name of its familiarity score, or "" without one.
        reference: what that score compares with, or None.
        familiar: the scores of the held-out images, in their order; empty without a score.
        costs: what answers cost, or None.
        selection: the AUROC of each score on classes that were left out.
        notes: what a reader must know.
        sketch: what new images are compared with, or None.
    """

    classes: int
    held_out: HeldOut
    score: str = ""
    reference: Reference | None = None
    familiar: Float[np.ndarray, " m"] = field(default_factory=lambda: np.zeros(0))
    costs: Costs | None = None
    selection: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    sketch: Sketch | None = None

    def thresholds(self, asked: AnswerOptions) -> Thresholds:
        """Return the thresholds of the sets that are asked for.

        Raises:
            SpecError: an unknown kind of set, or a level that is none.
        """
        held, scores = self.held_out, choose("kind of prediction set", asked.sets, _RIGHT)(self.held_out)
        try:
            return calibrate(scores, held.labels, self.classes, asked.level, by_class=asked.by_class)
        except DataError as error:
            raise SpecError(str(error)) from None

    def guarantee(self, at_least: float) -> Guarantee:
        """Return the confidence above which familiar images are answered `at_least` so often correctly.

        Raises:
            SpecError: the held-out images do not suffice to guarantee this.
        """
        confidence = self.held_out.confidence.astype(np.float64)
        if len(self.familiar):
            confidence = np.where(self.familiar < rejection(self.familiar).below, -1.0, confidence)
        try:
            found = guarantee(confidence, self.held_out.correct, at_least)
        except DataError as error:
            raise SpecError(str(error)) from None
        if found is not None:
            return found
        n = len(self.held_out)
        if n < fewest(at_least):
            reason = f"that takes {fewest(at_least)} held-out images without a mistake"
            best = f"; {n} {'suffices' if n == 1 else 'images suffice'} for {most_accurate(n):.3f} at most"
        else:
            reason, best = "it makes too many mistakes on the images that it is most certain of", ""
        images = "image" if n == 1 else "images"
        raise SpecError(f"an accuracy of {at_least:g} cannot be guaranteed from {n} held-out {images}: {reason}{best}")

    def shares(self, embeddings: Float[np.ndarray, "n d"], logits: Float[np.ndarray, "n c"]) -> Float[np.ndarray, " n"]:
        """Return which share of familiar images is no more familiar than each image."""
        assert self.reference is not None
        return familiar_share(familiarity(self.score, self.reference, embeddings, logits), self.familiar)


class Judge:
    """Answers as they are asked for: thresholds and guarantee are computed once.

    Args:
        uncertainty: of the model.
        asked: of the answers.

    Raises:
        SpecError: what is asked cannot be guaranteed.
    """

    def __init__(self, uncertainty: Uncertainty, asked: AnswerOptions) -> None:
        self.uncertainty, self.asked = uncertainty, asked
        self.thresholds = uncertainty.thresholds(asked)
        self.guaranteed = None if asked.at_least is None else uncertainty.guarantee(asked.at_least)

    @property
    def shortfall(self) -> str:
        """What the held-out images are too few to guarantee, in words; "" if the level asked for is kept."""
        own, level, least = self.uncertainty, self.asked.level, float(self.thresholds.guaranteed.min())
        count, said = len(own.held_out), ""
        if self.asked.by_class and least < level:
            short = int((self.thresholds.guaranteed < level).sum())
            said = f"{short:,} of {own.classes:,} classes have too few held-out images for sets of {percent(level)}"
            said += f" ({needed(level):,} each): the lowest level of a class is {percent(least)}"
        elif least < level:
            said = f"{_few(count)} too few for sets of {percent(level)}: they contain the right class in"
            said += f" {percent(least)} of cases; {needed(level):,} are needed"
        if own.score and count < (enough := needed(1 - MOST_REJECTED)):
            said += f"{'; ' if said else ''}no image is called unfamiliar: that takes {enough:,} held-out images"
        return said

    def answers(
        self,
        probabilities: Float[np.ndarray, "n c"],
        embeddings: Float[np.ndarray, "n d"],
        logits: Float[np.ndarray, "n k"],
    ) -> list[Answer]:
        """Return what may be answered of each image.

        Args:
            probabilities: calibrated.
            embeddings, logits: of the first network.
        """
        own = self.uncertainty
        if not own.score:
            return self.judged(probabilities, None)
        with one_blas_thread():  # passes of a network come before and after
            shares = own.shares(embeddings, logits)
        return self.judged(probabilities, shares)

    def judged(self, probabilities: Float[np.ndarray, "n c"], familiar: Float[np.ndarray, " n"] | None) -> list[Answer]:
        """Return what may be answered of each image, where it is known how familiar they are, or nothing is."""
        own = self.uncertainty
        shares = np.full(len(probabilities), np.nan) if familiar is None else familiar
        scores = scores_in_sets(self.asked.sets, probabilities)
        inside = prediction_sets(scores, self.thresholds, never_empty=True)
        order = np.argsort(-probabilities, axis=1, kind="stable")
        strange = shares <= MOST_REJECTED
        certain = probabilities.max(1) > (-math.inf if self.guaranteed is None else self.guaranteed.above)
        decided = None if own.costs is None else least_cost(probabilities, own.costs, unfamiliar=strange)[0]
        return [
            Answer(
                kind=kind_of(int(inside[row].sum()), own.classes, unfamiliar=bool(strange[row])),
                inside=tuple(int(each) for each in order[row] if inside[row, each]),
                familiarity=None if familiar is None else float(shares[row]),
                withheld=self.guaranteed is not None and bool(strange[row] or not certain[row]),
                decision=None if decided is None else int(decided[row]),
            )
            for row in range(len(probabilities))
        ]


def kind_of(count: int, classes: int, *, unfamiliar: bool = False) -> str:
    """Return what an answer is worth whose set holds `count` of the classes.

    An unfamiliar image is not answered; nor is one whose set holds all classes, or more than ten.
    """
    if unfamiliar or count > MOST_NAMED or (count == classes and classes > 1):
        return UNKNOWN
    return SURE if count == 1 else ONE_OF


def _few(count: int) -> str:
    return "1 held-out image is" if count == 1 else f"{count:,} held-out images are"
