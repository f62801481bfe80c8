from __future__ import annotations

import re
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch

from headstart.errors import ModelError
from headstart.evaluate.uncertainty.answers import AnswerOptions, Uncertainty, held_out_of
from headstart.evaluate.uncertainty.costs import costs_of
from headstart.evaluate.uncertainty.drift import MOST_COMPARED, Sketch, sketch_of
from headstart.evaluate.uncertainty.familiarity import DEFAULT, SCORES, familiarity, fit_reference
from headstart.evaluate.uncertainty.stored import from_part, rounded, to_part
from headstart.models.uncertainty import UncertaintyPart
from tests.evaluate.uncertainty.test_conformal import honest
from tests.evaluate.uncertainty.test_familiarity import CLASSES, SOURCE, D, clouds, logits_of

NAMES = tuple("abcdefgh")


def known(score: str = DEFAULT, n: int = 60) -> Uncertainty:
    embeddings, labels = clouds(300, 0)
    held, _ = clouds(n, 1)
    reference = rounded(fit_reference(embeddings, labels, logits_of(embeddings), source=SOURCE), score)
    probabilities, right = honest(n, CLASSES, 2)
    return Uncertainty(
        CLASSES,
        held_out_of(probabilities.astype(np.float32), right),
        score,
        reference,
        familiarity(score, reference, held, logits_of(held)),
        costs_of(NAMES, {"a": {"b": 7}}, ask=0.5),
        {score: 0.9},
        ("a note",),
        sketch_of(embeddings, labels, held, np.ones((n, 6), np.float32), labels[:n]),
    )


@pytest.mark.parametrize("score", SCORES)
def test_what_is_stored_says_the_same_when_it_is_read(score: str) -> None:
    own = known(score)
    again = from_part(to_part(own), CLASSES, D)
    images, _ = clouds(40, 7)
    assert np.array_equal(again.shares(images, logits_of(images)), own.shares(images, logits_of(images)))
    for sets in ("lac", "aps", "raps"):
        asked = AnswerOptions(0.9, sets, by_class=True)
        assert np.array_equal(again.thresholds(asked).values, own.thresholds(asked).values)
    assert again.costs is not None and own.costs is not None
    assert np.array_equal(again.costs.matrix, own.costs.matrix) and again.costs.ask == 0.5
    assert (again.selection, again.notes, again.score) == (own.selection, own.notes, score)
    assert own.sketch is not None and again.sketch is not None
    for each in fields(Sketch):
        mine, its = getattr(own.sketch, each.name), getattr(again.sketch, each.name)
        assert np.array_equal(mine, its) and mine.dtype == its.dtype


@pytest.mark.parametrize("score", ["energy+neighbour", "energy+mahalanobis+source"])
def test_a_sum_that_is_no_longer_made_is_refused(score: str) -> None:
    part = to_part(known())
    with pytest.raises(ModelError, match=rf"no familiarity score '{re.escape(score)}'; run its study again"):
        from_part(UncertaintyPart({**part.facts, "score": score}, part.tensors), CLASSES, D)


@pytest.mark.parametrize("name", ["reference.location", "reference.spread"])
def test_parts_of_another_number_are_refused(name: str) -> None:
    part = to_part(known())
    part.tensors[name] = part.tensors[name][:4]  # type: ignore[index]
    with pytest.raises(ModelError, match="its familiarity score"):
        from_part(part, CLASSES, D)


def test_a_score_alters_little_by_rounding() -> None:
    embeddings, labels = clouds(300, 0)
    images, _ = clouds(40, 7)
    for score in SCORES:
        exact = fit_reference(embeddings, labels, logits_of(embeddings), source=SOURCE)
        both = [familiarity(score, each, images, logits_of(images)) for each in (exact, rounded(exact, score))]
        assert np.abs(both[0] - both[1]).max() < 0.02 * both[0].std()


def test_without_a_score_or_costs_there_are_sets_alone() -> None:
    plain = Uncertainty(CLASSES, known().held_out)
    part = to_part(plain)
    assert all(name.startswith("held_out.") for name in part.tensors)
    again = from_part(part, CLASSES, D)
    assert again.reference is None and again.costs is None and not again.score
    never = replace(plain, costs=costs_of(NAMES, {}))
    found = from_part(to_part(never), CLASSES, D).costs
    assert found is not None and found.ask == np.inf


def test_no_more_than_ten_thousand_held_out_images_are_stored() -> None:
    probabilities, labels = honest(12_000, 3, 0)
    part = to_part(Uncertainty(3, held_out_of(probabilities, labels)))
    assert len(part.tensors["held_out.labels"]) == 10_000


def test_a_file_from_before_drift_is_read_without_it() -> None:
    part = to_part(known())
    older = {name: each for name, each in part.tensors.items() if not name.startswith("sketch.")}
    again = from_part(UncertaintyPart(part.facts, older), CLASSES, D)
    assert again.sketch is None and again.score == DEFAULT


def test_a_sketch_that_is_not_whole_is_refused() -> None:
    part = to_part(known())
    rest = {name: each for name, each in part.tensors.items() if name != "sketch.predicted"}
    with pytest.raises(ModelError, match=r"uncertainty does not fit: 'sketch.predicted'"):
        from_part(UncertaintyPart(part.facts, rest), CLASSES, D)


def test_the_sketch_of_many_images_stays_below_a_megabyte() -> None:
    generator = np.random.default_rng(0)
    train, labels = generator.normal(0, 1, (1500, 2048)), np.arange(1500) % 7
    own = sketch_of(
        train, labels, train[:MOST_COMPARED], np.ones((MOST_COMPARED, 6), np.float32), labels[:MOST_COMPARED]
    )
    part = to_part(Uncertainty(7, known().held_out, sketch=own))
    sizes = [each.nbytes for name, each in part.tensors.items() if name.startswith("sketch.")]
    assert sum(sizes) < 600_000 and len(own.bank) == MOST_COMPARED


@pytest.mark.parametrize(
    ("tensors", "facts", "what"),
    [
        ({"held_out.rank": torch.zeros(3, dtype=torch.int64)}, {}, "its held-out images"),
        ({"held_out.labels": torch.full((60,), 8)}, {}, "the classes of its held-out images"),
        ({"familiar": torch.zeros(2)}, {}, "its familiar images"),
        ({"reference.spread": torch.zeros(3)}, {}, "its familiarity score"),
        ({"reference.bank": torch.zeros(0)}, {}, "its training images"),
        ({"costs": torch.zeros(2, 2)}, {}, "its costs"),
        ({"sketch.looks": torch.zeros(60, 5)}, {}, "its sketch of held-out images"),
        ({"sketch.bank_labels": torch.zeros(300)}, {}, "its sketch of held-out images"),
        ({"sketch.predicted": torch.full((60,), 8)}, {}, "the classes in its sketch"),
        ({"sketch.predicted": torch.ones(1001, dtype=torch.int64)}, {}, "its sketch"),
        ({"sketch.scales": torch.zeros(D)}, {}, "its sketch"),
        ({"sketch.scales": torch.ones(D, dtype=torch.float64)}, {}, "its sketch"),
        ({"sketch.centre": torch.full((D,), 1e30)}, {}, "its sketch"),
        ({}, {"score": "magic"}, "no familiarity score 'magic'; run its study again"),
        ({}, {"notes": 3}, "not iterable"),
        ({}, {"selection": {"a": "b"}}, "could not convert"),
        ({}, {"notes": 3, "score": "two\nlines"}, r"familiarity score 'two\\nlines'"),
        ({}, {"ask": -1.0}, "its costs"),
        ({"costs": torch.ones(CLASSES, CLASSES, dtype=torch.float64)}, {}, "its costs"),
        ({"held_out.rank": torch.zeros(60, dtype=torch.int64)}, {}, "the ranks of its held-out images"),
        ({"held_out.right": torch.full((60,), 1.5)}, {}, "the probabilities of its held-out images"),
        ({"held_out.confidence": torch.full((60,), -0.1)}, {}, "the probabilities of its held-out images"),
        ({"reference.spread": torch.zeros(4)}, {}, "its familiarity score"),
        ({"reference.bank": torch.ones(5, D + 1)}, {}, "its training images"),
        ({"reference.bank": torch.ones(D)}, {}, "its training images"),
    ],
)
def test_what_does_not_fit_is_refused(tensors: dict[str, Any], facts: dict[str, Any], what: str) -> None:
    part = to_part(known())
    with pytest.raises(ModelError, match=rf"uncertainty does not fit: .*{what}"):
        from_part(UncertaintyPart({**part.facts, **facts}, {**part.tensors, **tensors}), CLASSES, D)
