from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from headstart.errors import DataError, SpecError
from headstart.fewshot.episodes import classes_with, sample_episodes

SIZES = (31, 40, 55, 80, 120, 33, 35)
LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(len(SIZES)), SIZES))
NAMES = ["ant", "bee", "cow", "dog", "elk", "fox", "gnu"]


def test_support_and_query_are_distinct_images_of_the_right_classes() -> None:
    episodes = sample_episodes(LABELS, 5, 5, 15, 300, seed=1)
    assert episodes.support.shape == (300, 25)
    assert episodes.query.shape == (300, 75)
    everything = np.concatenate([episodes.support, episodes.query], axis=1)
    assert all(len(set(row)) == 100 for row in everything.tolist())
    assert all(len(set(row)) == 5 for row in episodes.classes.tolist())
    ways = np.arange(5)
    np.testing.assert_array_equal(LABELS[episodes.support], episodes.classes[:, np.repeat(ways, 5)])
    np.testing.assert_array_equal(LABELS[episodes.query], np.take_along_axis(episodes.classes, episodes.query_ways, 1))


def test_same_seed_gives_same_episodes_however_they_are_read() -> None:
    few = sample_episodes(LABELS, 5, 5, 15, 100, seed=3)
    many = sample_episodes(LABELS, 5, 5, 15, 5000, seed=3)
    other = sample_episodes(LABELS, 5, 5, 15, 100, seed=4)
    np.testing.assert_array_equal(few.support, many.support[:100])
    np.testing.assert_array_equal(few.query, np.concatenate([batch.query for batch in few.batches(7)]))
    assert [batch.first for batch in many.batches(1500)] == [0, 1500, 3000, 4096]
    assert (few.support != other.support).any()


def test_every_class_and_every_image_is_drawn_equally_often() -> None:
    episodes = sample_episodes(LABELS, 3, 2, 4, 20_000, seed=5)
    per_class = np.bincount(episodes.classes.ravel(), minlength=7)
    expected = 20_000 * 3 / 7
    assert np.abs(per_class - expected).max() < 4.5 * np.sqrt(expected)
    for rows, each in ((episodes.support, 2), (episodes.query, 4)):
        counts = np.bincount(rows.ravel(), minlength=len(LABELS))
        share = per_class[LABELS] * each / np.array(SIZES)[LABELS]
        assert np.abs(counts - share).max() < 5 * np.sqrt(share.max())


def test_every_ordered_draw_is_equally_likely() -> None:
    labels = np.repeat([0, 1], 4)
    episodes = sample_episodes(labels, 2, 1, 2, 24_000, seed=0)
    first = np.where(episodes.classes[:, :1] == 0, episodes.query[:, :2], episodes.query[:, 2:])
    support = np.where(episodes.classes[:, 0] == 0, episodes.support[:, 0], episodes.support[:, 1])
    codes = support * 16 + first[:, 0] * 4 + first[:, 1]
    counts = np.unique(codes, return_counts=True)[1]
    assert len(counts) == 24  # 4 · 3 · 2 ordered draws
    assert np.abs(counts - 1000).max() < 150


def test_a_class_can_be_used_up() -> None:
    labels = np.repeat([0, 1], 20)
    episodes = sample_episodes(labels, 2, 5, 15, 10, seed=0)
    assert all(
        sorted(s + q) == list(range(40))
        for s, q in zip(episodes.support.tolist(), episodes.query.tolist(), strict=True)
    )


def test_many_draws_from_a_class_are_distinct_too() -> None:
    labels = np.repeat([0, 1, 2], (90, 100, 300))
    episodes = sample_episodes(labels, 2, 50, 40, 20, seed=0)
    everything = np.concatenate([episodes.support, episodes.query], axis=1)
    assert all(len(set(row)) == 180 for row in everything.tolist())


def test_only_novel_classes_are_drawn() -> None:
    episodes = sample_episodes(LABELS, 2, 1, 5, 100, seed=0, classes=[6, 2, 4])
    assert set(episodes.classes.ravel().tolist()) == {2, 4, 6}
    assert set(LABELS[episodes.rows].tolist()) == {2, 4, 6}


def test_dirichlet_queries_keep_their_number_and_lose_their_balance() -> None:
    labels = np.repeat(np.arange(6), 60)
    episodes = sample_episodes(labels, 5, 5, 10, 4000, seed=0, dirichlet=2.0)
    counts = np.stack([(episodes.query_ways == way).sum(axis=1) for way in range(5)], axis=1)
    assert episodes.query.shape == (4000, 50)
    assert (counts.sum(axis=1) == 50).all()
    np.testing.assert_allclose(counts.mean(axis=0), 10, atol=0.4)
    # of a symmetric Dirichlet(2) over 5: variance of a share = 0.2 · 0.8 / 11
    np.testing.assert_allclose((counts / 50).var(axis=0), 0.16 / 11, rtol=0.1)
    np.testing.assert_array_equal(labels[episodes.query], np.take_along_axis(episodes.classes, episodes.query_ways, 1))


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ((8, 1, 5, 10), SpecError, "8 ways were asked for, but there are 7 classes"),
        ((5, 5, 0, 10), SpecError, "queries: 0"),
        ((5, 0, 5, 10), SpecError, "shots: 0"),
        ((5, 5, 5, 0), SpecError, "episodes: 0"),
        ((1, 5, 5, 10), SpecError, "at least 2"),
        (
            (5, 20, 15, 10),
            DataError,
            r"class 'ant' has 31 images, but 20 shots \+ 15 queries = 35 are needed \(2 classes",
        ),
    ],
)
def test_impossible_requests_are_refused_with_the_numbers(
    asked: tuple[int, int, int, int], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        sample_episodes(LABELS, *asked, seed=0, class_names=NAMES)


def test_uneven_queries_need_more_images() -> None:
    with pytest.raises(DataError, match=r"up to 75 queries \(uneven proportions\) = 80"):
        sample_episodes(LABELS, 5, 5, 15, 10, seed=0, dirichlet=2.0, class_names=NAMES)
    with pytest.raises(SpecError, match="dirichlet"):
        sample_episodes(LABELS, 5, 5, 15, 10, seed=0, dirichlet=0.0)


def test_classes_with_enough_images() -> None:
    assert classes_with(LABELS, 40) == [1, 2, 3, 4]


def test_small_integers_as_labels_are_widened() -> None:
    labels = np.repeat(np.arange(6), 20).astype(np.int16)
    narrow, wide = (sample_episodes(given, 3, 2, 4, 5, seed=0) for given in (labels, labels.astype(np.int64)))
    assert narrow.labels.dtype == narrow.classes.dtype == np.int64
    np.testing.assert_array_equal(narrow.query, wide.query)


def test_a_seed_draws_the_same_episodes_in_every_version() -> None:
    # results are stored under the seed: other episodes under the same seed would mix two experiments
    episodes = sample_episodes(LABELS, 2, 1, 2, 3, seed=1)
    assert episodes.classes.tolist() == [[3, 4], [6, 0], [1, 3]]
    assert episodes.support.tolist() == [[134, 255], [362, 152], [43, 102]]
    assert episodes.query.tolist() == [[125, 82, 120, 186], [31, 7, 245, 15], [62, 117, 58, 258]]
    assert episodes.query_ways.tolist() == [[0, 0, 1, 1]] * 3
    many = sample_episodes(np.repeat([0, 1], (90, 100)), 2, 50, 20, 1, seed=1)  # drawn by sorting keys
    assert many.support[0, :4].tolist() == [149, 127, 176, 111] and many.query[0, -4:].tolist() == [31, 40, 63, 29]
    uneven = sample_episodes(np.repeat(np.arange(3), 20), 2, 1, 3, 2, seed=1, dirichlet=0.5)
    assert uneven.query.tolist() == [[27, 23, 37, 38, 28, 30], [41, 51, 40, 14, 7, 11]]
    assert uneven.query_ways.tolist() == [[0, 0, 0, 0, 0, 0], [0, 0, 0, 1, 1, 1]]


def test_one_generator_draws_4096_episodes_or_about_a_million_images() -> None:
    labels = np.repeat(np.arange(20), 350)
    assert sample_episodes(labels, 5, 5, 15, 1, seed=0).per_draw == 4096
    assert sample_episodes(labels, 20, 50, 250, 1, seed=0).per_draw == 2**20 // (20 * 300)
    assert sample_episodes(labels, 20, 5, 15, 1, seed=0, dirichlet=2.0).per_draw == 2**20 // (20 * 305)


def test_a_part_of_a_batch_knows_its_first_episode() -> None:
    episodes = sample_episodes(LABELS, 2, 1, 2, 10, seed=1)
    (whole,) = episodes.batches(10)
    part = whole[4:7]
    assert (part.first, len(part), len(episodes), len(whole)) == (4, 3, 10, 10)
    for name in ("classes", "support", "query", "query_ways"):
        np.testing.assert_array_equal(getattr(part, name), getattr(episodes, name)[4:7])


@pytest.mark.parametrize(
    ("asked", "options", "message"),
    [
        ((8, 1, 5, 10), {}, "8 ways were asked for, but there are 7 classes; ask for 7 or fewer"),
        ((0, 1, 5, 10), {}, "ways: 0 was asked for; it must be at least 1"),
        ((5, 0, 5, 10), {}, "shots: 0 was asked for; it must be at least 1"),
        (
            (1, 1, 5, 10),
            {},
            "ways: 1 was asked for; with one class there is nothing to classify; ask for at least 2",
        ),
        (
            (5, 20, 12, 10),
            {"class_names": NAMES},
            "class 'ant' has 31 images, but 20 shots + 12 queries = 32 are needed;"
            " ask for fewer shots or queries, or leave such classes out",
        ),
        (
            (5, 1, 40, 10),
            {"class_names": NAMES},
            "class 'ant' has 31 images, but 1 shot + 40 queries = 41 are needed (4 classes have too few);"
            " ask for fewer shots or queries, or leave such classes out",
        ),
        (
            (5, 20, 15, 10),
            {},
            "class 0 has 31 images, but 20 shots + 15 queries = 35 are needed (2 classes have too few);"
            " ask for fewer shots or queries, or leave such classes out",
        ),
        (
            (2, 30, 12, 10),
            {"classes": [1, 5, 6]},
            "class 5 has 33 images, but 30 shots + 12 queries = 42 are needed (3 classes have too few);"
            " ask for fewer shots or queries, or leave such classes out",
        ),
        (
            (5, 5, 15, 10),
            {"dirichlet": 0.0},
            "dirichlet: 0.0 was asked for; the concentration must be above 0 (2 is usual)",
        ),
        (
            (2, 30, 10, 10),
            {"classes": [3, 6, 5, 2]},
            "class 5 has 33 images, but 30 shots + 10 queries = 40 are needed (2 classes have too few);"
            " ask for fewer shots or queries, or leave such classes out",
        ),
    ],
)
def test_refusals_say_the_numbers_and_what_to_do(
    asked: tuple[int, int, int, int], options: dict[str, Any], message: str
) -> None:
    with pytest.raises((SpecError, DataError)) as caught:
        sample_episodes(LABELS, *asked, seed=0, **options)
    assert str(caught.value) == message


def test_a_pool_with_just_enough_classes_and_images_is_used() -> None:
    episodes = sample_episodes(LABELS, 2, 30, 1, 4, seed=0, classes=[0, 5])
    assert {tuple(sorted(row)) for row in episodes.classes.tolist()} == {(0, 5)}
    assert classes_with(LABELS, 31) == list(range(7))
