from __future__ import annotations

import numpy as np
import pytest

from headstart.labelling.suggest import (
    RANDOM,
    TYPICAL,
    UNCERTAIN,
    Suggester,
    can_judge,
    margins_of,
    project,
    representatives,
    spread,
)


def blobs(sizes: tuple[int, ...], seed: int = 0, dimensions: int = 10) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    centres = 4 * np.eye(len(sizes), dimensions)
    return (centres[labels] + 0.3 * generator.standard_normal((len(labels), dimensions))).astype(np.float32), labels


def test_the_first_typical_images_show_every_group_largest_first() -> None:
    vectors, labels = blobs((300, 200, 100, 60, 40))
    suggester = Suggester(vectors, share=0.0)
    found = suggester.next(np.zeros(len(vectors), dtype=bool), 5)
    assert {each.how for each in found} == {TYPICAL}
    assert sorted(labels[[each.row for each in found]].tolist()) == [0, 1, 2, 3, 4]
    assert labels[found[0].row] == 0
    covered = np.zeros(len(vectors), dtype=bool)
    covered[[each.row for each in found[:3]]] = True
    next_ones = suggester.next(covered, 2)
    assert set(labels[[each.row for each in next_ones]].tolist()) == set(
        labels[[each.row for each in found[3:]]].tolist()
    )


def test_a_quarter_of_the_labels_is_of_the_random_sample_in_its_order_and_nothing_else_is() -> None:
    vectors, _ = blobs((80, 80))
    suggester = Suggester(vectors, seed=3)
    assert len(suggester.sample) == 48  # 30 % of 160
    labelled = np.zeros(160, dtype=bool)
    at_random = []
    for _ in range(10):
        batch = suggester.next(labelled, 8)
        assert len({each.row for each in batch}) == 8 and not labelled[[each.row for each in batch]].any()
        at_random += [each.row for each in batch if each.how == RANDOM]
        assert all((each.row in suggester.sample) == (each.how == RANDOM) for each in batch)
        labelled[[each.row for each in batch]] = True
    assert at_random == suggester.sample[:20].tolist()


def test_the_sample_is_drawn_at_random_from_all_images() -> None:
    vectors, _ = blobs((50, 50))
    times = np.zeros(100)
    for seed in range(400):
        times[Suggester(vectors, seed=seed).sample] += 1
    assert times.sum() == 400 * 30 and abs(times - 120).max() < 5 * np.sqrt(400 * 0.3 * 0.7)


def test_uncertain_images_are_those_of_smallest_margin_unless_they_are_alike() -> None:
    vectors, _ = blobs((30, 30))
    suggester = Suggester(vectors, share=0.0)
    others = np.setdiff1d(np.arange(60), suggester.sample)
    margins = np.ones(60, dtype=np.float32)
    margins[others[:4]] = [0.3, 0.1, 0.2, 0.0]
    found = suggester.next(np.zeros(60, dtype=bool), 1, margins=margins)
    assert [(each.row, each.how) for each in found] == [(int(others[3]), UNCERTAIN)]
    short = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)
    assert spread(short, np.array([0.0, 0.1, 0.5], dtype=np.float32), 2).tolist() == [0, 2]  # 0.1 + 1 > 0.5 + 0
    assert spread(short, np.array([0.0, 0.1, 0.5], dtype=np.float32), 9).tolist() == [0, 2, 1]


def test_busy_images_are_passed_over_and_the_last_image_is_reached() -> None:
    vectors, _ = blobs((10, 10))
    suggester = Suggester(vectors)
    labelled, busy = np.zeros(20, dtype=bool), np.zeros(20, dtype=bool)
    busy[:5] = True
    assert not {each.row for each in suggester.next(labelled, 20, busy=busy)} & set(range(5))
    seen: set[int] = set()
    while batch := suggester.next(labelled, 6):
        seen |= {each.row for each in batch}
        labelled[[each.row for each in batch]] = True
    assert seen == set(range(20))


def test_same_vectors_and_seed_suggest_the_same() -> None:
    vectors, _ = blobs((40, 40))
    none = np.zeros(80, dtype=bool)
    assert Suggester(vectors, seed=1).next(none, 10) == Suggester(vectors, seed=1).next(none, 10)
    assert Suggester(vectors, seed=1).next(none, 10) != Suggester(vectors, seed=2).next(none, 10)


def test_projection_keeps_cosines_of_centred_vectors() -> None:
    vectors, _ = blobs((40, 40, 40))
    short = project(vectors, np.random.default_rng(0))
    centred = vectors - vectors.mean(axis=0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    assert np.allclose(short @ short.T, unit @ unit.T, atol=1e-4)  # all ten directions are kept


def test_representatives_stand_for_all_rows() -> None:
    vectors, labels = blobs((120, 60, 30))
    short, rows = project(vectors, np.random.default_rng(0)), np.arange(10, 210)
    chosen, weights = representatives(short, rows, 12, np.random.default_rng(0))
    assert weights.sum() == 200 and len(chosen) <= 12 and set(chosen) <= set(rows)
    assert set(labels[chosen]) == {0, 1, 2}
    few, ones = representatives(short, rows[:5], 12, np.random.default_rng(0))
    assert few.tolist() == rows[:5].tolist() and ones.tolist() == [1] * 5


def test_margins_and_when_they_count() -> None:
    assert margins_of(np.array([[0.2, 0.5, 0.3], [1, 0, 0]])) == pytest.approx([0.2, 1.0])
    assert margins_of(np.array([[1.0]])).tolist() == [1.0]
    assert not can_judge(100, 1) and not can_judge(9, 3) and can_judge(10, 3)
    assert not can_judge(19, 10) and can_judge(20, 10)
