from __future__ import annotations

import numpy as np

from headstart.labelling.review.look_alikes import look_alikes, outliers


def scene() -> tuple[np.ndarray, np.ndarray]:
    """Return vectors and labels: 200 images in two classes, of which 0-2 and 100-101 are bursts."""
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1], 100)
    vectors = generator.standard_normal((200, 32)) + 2 * np.eye(2, 32)[labels]
    for first, others in ((0, (1, 2)), (100, (101,))):
        for row in others:
            vectors[row] = vectors[first] + 0.1 * generator.standard_normal(32)
    return vectors.astype(np.float32), labels


def test_bursts_are_found_the_most_alike_first_and_nothing_else() -> None:
    vectors, labels = scene()
    found = look_alikes(vectors, labels, np.arange(200), seed=0)
    assert sorted(rows for rows, _ in found) == [[0, 1, 2], [100, 101]]
    assert [cosine for _, cosine in found] == sorted((cosine for _, cosine in found), reverse=True)
    assert all(cosine > 0.95 for _, cosine in found)


def test_copies_of_one_photograph_and_images_of_two_classes_are_no_group() -> None:
    vectors, labels = scene()
    same = np.arange(200)
    same[101] = 100
    labels[1:3] = 1
    assert look_alikes(vectors, labels, same, seed=0) == [([1, 2], look_alikes(vectors, labels, same, seed=0)[0][1])]


def test_an_image_far_from_all_others_is_an_outlier() -> None:
    generator = np.random.default_rng(1)
    centres = np.repeat(generator.standard_normal((5, 16)), 40, axis=0)
    vectors = (centres + 0.2 * generator.standard_normal((200, 16))).astype(np.float32)
    vectors[7] = 3 * generator.standard_normal(16)
    found = outliers(vectors, seed=0)
    assert found[0][0] == 7 and len(found) < 8 and "% alike; usual are" in found[0][1]
    assert outliers(vectors[:20], seed=0) == []
