from __future__ import annotations

import pytest

from headstart.models.refitted import REFITTED, Refitted, refitted_of, words

FOUND = Refitted(
    images=8677, run="lite0", seed=2, metric="balanced_accuracy", value=0.9431, low=0.934, high=0.9512, n_test=2893
)


def test_the_facts_are_read_from_a_provenance_that_has_them() -> None:
    assert refitted_of({"study": "flowers", REFITTED: dict(FOUND)}) == FOUND
    assert refitted_of({"study": "flowers"}) is None


@pytest.mark.parametrize("other", ["all", {"images": 3}, {**FOUND, "more": 1}, None])
def test_facts_in_another_form_are_passed_over(other: object) -> None:
    assert refitted_of({REFITTED: other}) is None


def test_the_words_say_that_it_is_not_tested_and_what_the_tested_one_scored() -> None:
    assert words(FOUND) == (
        "It was refitted on all 8,677 labelled images, test images included, so this model itself is not tested. The"
        " model that it was refitted from (lite0, seed 2) has balanced accuracy 0.9431 (95 % interval 0.9340 to 0.9512)"
        " on 2,893 test images."
    )
