from __future__ import annotations

import numpy as np
import pytest

from headstart.audit.threshold import FEWEST, least_score


def different(n: int, start: float, rate: float, seed: int = 0) -> np.ndarray:
    """Draw scores of different images: an exponential tail on the Fisher scale."""
    return np.tanh(start + np.random.default_rng(seed).exponential(1 / rate, n))


def scores_of(alike: int, apart: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores = np.concatenate([np.linspace(0.9, 0.99, alike), apart])
    return scores, np.repeat([False, True], [alike, len(apart)])


def test_where_different_images_are_far_below_the_floor_holds() -> None:
    assert least_score(*scores_of(1000, different(5000, 0.2, 12)), 0.88) == 0.88


def test_where_look_alikes_abound_the_threshold_is_where_half_a_pair_is_expected() -> None:
    # 10,000 pairs of different classes, exponential with rate 8 from 0.8: n exp(-8 (x - 0.8)) = 0.5
    x = 0.8 + np.log(10_000 / 0.5) / 8
    found = least_score(*scores_of(400, different(10_000, 0.8, 8)), 0.88)
    assert np.arctanh(found) == pytest.approx(x, abs=0.12)
    assert found > 0.95


def test_of_many_pairs_reported_one_in_2000_may_be_of_different_classes() -> None:
    # half a pair of 1,000; 5 of 10,000: the threshold for the second is lower by log(10) / 8 on the Fisher scale
    apart = different(10_000, 0.8, 8)
    many = np.concatenate([np.full(20_000, 0.994), apart])
    low = least_score(many, np.repeat([False, True], [20_000, 10_000]), 0.88)
    high = least_score(*scores_of(10, apart), 0.88)
    few = np.arctanh(
        least_score(np.concatenate([np.full(900, 0.994), apart]), np.repeat([False, True], [900, 10_000]), 0.88)
    )
    assert few - np.arctanh(low) == pytest.approx(np.log(20_000 * 0.0005 / 0.5) / 8, abs=0.1)
    assert np.arctanh(high) >= few - 0.02


def test_true_copies_with_contradicting_labels_do_not_raise_it() -> None:
    apart = different(5000, 0.2, 12)
    contradicting = np.linspace(0.93, 0.99, 40)
    scores = np.concatenate([apart, contradicting])
    assert least_score(scores, np.ones(len(scores), dtype=bool), 0.88) < 0.9


def test_with_few_pairs_of_different_classes_the_floor_holds() -> None:
    apart = different(FEWEST - 1, 1.2, 4)
    assert least_score(*scores_of(10, apart), 0.88) == 0.88
    apart = different(FEWEST, 1.2, 4)
    assert least_score(*scores_of(10, apart), 0.88) > 0.88


def test_it_never_exceeds_995_thousandths_nor_fails_where_all_scores_are_equal() -> None:
    assert least_score(*scores_of(100, different(5000, 2, 3)), 0.88) == 0.995
    assert least_score(np.full(500, 0.5), np.ones(500, dtype=bool), 0.88) >= 0.88
    assert least_score(np.zeros(0), np.zeros(0, dtype=bool), 0.88) == 0.88
