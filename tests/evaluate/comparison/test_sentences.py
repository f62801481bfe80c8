from __future__ import annotations

from typing import Any

import pytest

from headstart.evaluate.comparison import sentences
from headstart.evaluate.comparison.verdict import Category, Matters, Needed


def needed(seeds: int | None = None, images: int | None = None, both: tuple[int, int] | None = None) -> Needed:
    return Needed(seeds=seeds, images=images, both=both)


def test_shares_are_percentages_and_losses_plain_numbers() -> None:
    assert sentences.figure(0.12345, True) == "12.3"
    assert sentences.figure(0.12345, True, "+") == "+12.3"
    assert sentences.figure(0.12345, False) == "0.123"
    assert sentences.size_of(0.02, -0.01, 0.05, True) == "+2.0 points (-1.0 to +5.0)"
    assert sentences.size_of(0.02, -0.01, 0.05, False) == "+0.02 (-0.01 to +0.05)"


@pytest.mark.parametrize(
    ("margin", "share", "words"),
    [(0.01, True, "1 point"), (0.005, True, "0.5 points"), (0.02, True, "2 points"), (0.01, False, "0.01")],
)
def test_a_margin_is_named_in_points_of_a_share(margin: float, share: bool, words: str) -> None:
    assert sentences.margin_words(margin, share) == words


@pytest.mark.parametrize(
    ("category", "matters", "words"),
    [
        ("better", "yes", "a is better than b: SIZE; more than 1 point, so it matters"),
        ("worse", "no", "a is worse than b: SIZE; less than 1 point, so it hardly matters"),
        ("better", "unclear", "a is better than b: SIZE; it may be less than 1 point"),
        ("tied", "no", "a and b are tied: SIZE; a difference of more than 1 point is unlikely"),
        ("cannot tell", "unclear", "cannot tell yet whether a is better than b: SIZE; about 7 seeds would settle it"),
    ],
)
def test_each_category_of_a_pair_has_its_sentence(category: Category, matters: Matters, words: str) -> None:
    assert sentences.pair_sentence("a", "b", "SIZE", category, matters, "1 point", needed(seeds=7), 100) == words


def test_what_would_settle_a_question_is_counted_in_the_unit_of_its_rows() -> None:
    said = sentences.pair_sentence("a", "b", "SIZE", "cannot tell", "unclear", "1 point", needed(seeds=7), 9, "repeat")
    assert said == "cannot tell yet whether a is better than b: SIZE; about 7 repeats would settle it"


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (None, ""),
        (needed(seeds=7), "; about 7 seeds would settle it"),
        (needed(seeds=7, images=12_000), "; about 7 seeds or 12,000 test images would settle it"),
        (needed(both=(9, 3000)), "; about 9 seeds and 3,000 test images together would settle it"),
        (needed(both=(9, 100)), "; about 9 seeds would settle it"),  # there are 100 test images already
        (needed(images=500, both=(9, 3000)), "; about 500 test images would settle it"),
        (needed(), "; to settle it would take more seeds and images than is practical"),
    ],
)
def test_what_would_settle_a_question_is_said(what: Needed | None, words: str) -> None:
    assert sentences.settled(what, 100) == words


@pytest.mark.parametrize(
    ("others", "tied", "open_", "words"),
    [
        (0, [], [], "net: 90 %; nothing to compare it with"),
        (1, [], [], "net is best: 90 %, better than the other"),
        (4, [], [], "net is best: 90 %, better than each of the 4 others"),
        (2, ["a"], [], "net leads: 90 %; tied with it: a"),
        (1, [], ["b"], "net leads: 90 %; cannot tell yet whether it is better than b: SIZE; MORE"),
        (
            6,
            ["a"],
            ["b", "c", "d", "e"],
            "net leads: 90 %; tied with it: a;"
            " cannot tell yet whether it is better than b, c, d and 1 more (b: SIZE; MORE)",
        ),
        (2, [], ["b", "c"], "net leads: 90 %; cannot tell yet whether it is better than b and c (b: SIZE; MORE)"),
    ],
)
def test_the_answer_names_the_best_and_what_is_not_behind_it(
    others: int, tied: list[str], open_: list[str], words: str
) -> None:
    assert sentences.answer("net", "90 %", others, tied, open_, "SIZE; MORE") == words


def test_runs_of_the_same_score_share_the_lead() -> None:
    said = sentences.answer("net", "90 %", 2, ["a"], ["b"], "SIZE", ["a"])
    assert said == (
        "net and a share the best score: 90 %; tied with net: a; cannot tell yet whether net is better than b: SIZE"
    )


@pytest.mark.parametrize(
    ("arguments", "beginnings"),
    [
        (([], [], [3, 3], False), []),
        ((["a"], [], [1, 3], True), ["one seed only (a): "]),
        (([], ["a", "b"], [3, 3], False), [f"{sentences.SAME_SEEDS} (a, b): "]),
        (([], [], [2, 5, 3], False), ["runs have between 2 and 5 seeds"]),
    ],
)
def test_notes_name_single_seeds_equal_seeds_and_unequal_numbers(arguments: Any, beginnings: list[str]) -> None:
    found = sentences.notes(*arguments)
    assert len(found) == len(beginnings)
    assert all(note.startswith(beginning) for note, beginning in zip(found, beginnings, strict=True))
