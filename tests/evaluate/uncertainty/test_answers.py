from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headstart.errors import DataError, SpecError
from headstart.evaluate.uncertainty.answers import (
    ONE_OF,
    SURE,
    UNKNOWN,
    AnswerOptions,
    Judge,
    Uncertainty,
    held_out_of,
    kind_of,
)
from headstart.evaluate.uncertainty.conformal import SCORES, calibrate, nonconformity
from headstart.evaluate.uncertainty.costs import ASK, costs_of
from tests.evaluate.uncertainty.test_conformal import honest, own


def calibrated(n: int = 500, classes: int = 4, sharp: float = 1.0) -> Uncertainty:
    probabilities, labels = honest(n, classes, 0)
    return Uncertainty(classes, held_out_of(probabilities.astype(np.float32), labels))


@pytest.mark.parametrize("sets", SCORES)
@pytest.mark.parametrize("by_class", [False, True])
def test_thresholds_are_those_of_the_probabilities_themselves(sets: str, by_class: bool) -> None:
    probabilities, labels = honest(300, 8, 3)
    kept = Uncertainty(8, held_out_of(probabilities, labels))
    found = kept.thresholds(AnswerOptions(0.9, sets, by_class))
    scores = nonconformity(sets, probabilities, np.random.default_rng(0).random(300))
    expected = calibrate(own(scores, labels), labels, 8, 0.9, by_class=by_class)
    assert found.values == pytest.approx(expected.values) and found.guaranteed.tolist() == expected.guaranteed.tolist()


def test_what_an_answer_is_worth() -> None:
    assert [kind_of(count, 20) for count in (1, 2, 10, 11)] == [SURE, ONE_OF, ONE_OF, UNKNOWN]
    assert [kind_of(2, 2), kind_of(2, 3), kind_of(3, 3)] == [UNKNOWN, ONE_OF, UNKNOWN]
    assert kind_of(1, 20, unfamiliar=True) == UNKNOWN


def test_answers_name_the_most_probable_first_and_leave_strange_images_to_a_person() -> None:
    judge = Judge(calibrated(), AnswerOptions(level=0.8))
    rows = np.array([[0.01, 0.97, 0.01, 0.01], [0.1, 0.4, 0.45, 0.05], [0.01, 0.97, 0.01, 0.01]], np.float32)
    found = judge.judged(rows, np.array([0.5, 0.5, 0.05]))
    assert [each.kind for each in found] == [SURE, ONE_OF, UNKNOWN]
    assert [each.inside for each in found] == [(1,), (2, 1), (1,)]
    assert [each.familiarity for each in found] == [0.5, 0.5, 0.05]
    assert not any(each.withheld for each in found) and {each.decision for each in found} == {None}
    assert judge.judged(rows, None)[2].kind == SURE
    assert judge.answers(rows, np.zeros((3, 2)), np.zeros((3, 4)))[2].familiarity is None


def test_what_is_not_certain_enough_is_withheld() -> None:
    generator = np.random.default_rng(0)
    confidence = generator.uniform(0.5, 1, 1000)
    labels = np.where(generator.random(1000) < np.where(confidence > 0.7, 0.001, 0.5), 1, 0)
    known = Uncertainty(2, held_out_of(np.stack([confidence, 1 - confidence], 1), labels))
    judge = Judge(known, AnswerOptions(at_least=0.97))
    assert judge.guaranteed is not None and 0.65 < judge.guaranteed.above < 0.72
    found = judge.judged(np.array([[0.9, 0.1], [0.6, 0.4], [0.05, 0.95]]), np.array([0.9, 0.9, 0.01]))
    assert [each.withheld for each in found] == [False, True, True]


def test_the_guarantee_is_of_familiar_images_only() -> None:
    """All mistakes are among the images that are rejected as unfamiliar."""
    n = 400
    probabilities = np.tile([[0.9, 0.1]], (n, 1))
    labels = np.zeros(n, int)
    labels[:12] = 1
    familiar = np.arange(n, dtype=float)
    plain = Uncertainty(2, held_out_of(probabilities, labels))
    with pytest.raises(SpecError, match="too many mistakes"):
        plain.guarantee(0.99)
    found = replace(plain, familiar=familiar).guarantee(0.99)
    assert (found.kept, found.wrong) == (n - 19, 0)  # rank 20 of 400 is the lowest that is kept


def test_a_decision_is_the_one_of_least_cost() -> None:
    own_costs = costs_of(("a", "b", "c", "d"), {"a": {"b": 100}}, ask=0.5)
    judge = Judge(replace(calibrated(), costs=own_costs), AnswerOptions())
    found = judge.judged(np.array([[0.05, 0.9, 0.03, 0.02], [0.9, 0.05, 0.03, 0.02]]), None)
    assert [each.decision for each in found] == [ASK, 0]


def test_an_unfamiliar_image_is_asked_about_however_sure_its_class_seems() -> None:
    sure, shares = np.array([[0.97, 0.01, 0.01, 0.01]] * 2), np.array([0.05, 0.06])
    for ask, expected in ((0.5, [ASK, 0]), (None, [0, 0])):  # without a price there is nobody to ask
        own = replace(calibrated(), costs=costs_of(("a", "b", "c", "d"), {}, ask=ask))
        assert [each.decision for each in Judge(own, AnswerOptions()).judged(sure, shares)] == expected


def test_what_cannot_be_guaranteed_says_how_much_can() -> None:
    few = calibrated(100)
    with pytest.raises(SpecError, match=r"takes 299 held-out images .* 100 images suffice for 0\.970 at most"):
        Judge(few, AnswerOptions(at_least=0.99))
    with pytest.raises(SpecError, match=r"level of coverage must be above 0 and below 1"):
        Judge(few, AnswerOptions(level=95.0))
    with pytest.raises(SpecError, match="raps"):
        Judge(few, AnswerOptions(sets="rap"))
    with pytest.raises(SpecError, match="a guaranteed accuracy must be"):
        few.guarantee(1.0)
    with pytest.raises(DataError, match="keep some for validation"):
        held_out_of(np.zeros((0, 2)), np.zeros(0, int))


def test_too_few_held_out_images_are_said_to_be_too_few() -> None:
    assert Judge(calibrated(100), AnswerOptions()).shortfall == ""
    few = Judge(calibrated(5), AnswerOptions()).shortfall
    assert few == (
        "5 held-out images are too few for sets of 95.0 %: they contain the right class in 83.3 % of cases; 19 are"
        " needed"
    )
    assert Judge(calibrated(1), AnswerOptions()).shortfall.startswith("1 held-out image is too few for sets of 95.0 %")
    with pytest.raises(SpecError, match=r"from 1 held-out image: that takes 29 .* mistake; 1 suffices for 0\.050"):
        calibrated(1).guarantee(0.9)
    score = replace(calibrated(5), score="energy", familiar=np.zeros(5))
    assert Judge(score, AnswerOptions(level=0.5)).shortfall == (
        "no image is called unfamiliar: that takes 19 held-out images"
    )
    own = calibrated(100)
    counts = np.bincount(own.held_out.labels, minlength=4)
    level = (counts.min() + 1) / (counts.min() + 2)  # one image more than the rarest class has
    short = int((counts / (counts + 1) < level).sum())
    by_class = Judge(own, AnswerOptions(level=level, by_class=True)).shortfall
    assert by_class.startswith(f"{short} of 4 classes have too few held-out images for sets of {100 * level:.1f} %")
    assert by_class.endswith(f"the lowest level of a class is {100 * counts.min() / (counts.min() + 1):.1f} %")
