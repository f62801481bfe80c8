from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import nn

from headstart.errors import DataError
from headstart.evaluate.similarity import StreamedCKA, compare_stages, frechet_distance, linear_cka
from headstart.models.backbone import Backbone


def normal(n: int, d: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d))


def mixed(n: int, d: int, seed: int) -> np.ndarray:
    return normal(n, d, seed) @ normal(d, d, seed + 100) + normal(1, d, seed + 200)


@pytest.mark.parametrize(("n", "m"), [(200, 150), (200, 8), (9, 7)])
def test_frechet_distance_agrees_with_the_matrix_square_root(n: int, m: int) -> None:
    a, b = mixed(n, 10, 1), mixed(m, 10, 2)
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    values = np.linalg.eigvals(cov_a @ cov_b).real  # the root's trace is the sum of their roots
    root = np.sqrt(np.maximum(values, 0)).sum()
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * root
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)
    if min(n, m) > 10:
        root = np.trace(sqrtm(cov_a @ cov_b)).real
        expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * root
        assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)


def test_frechet_distance_of_a_shift_is_its_squared_length() -> None:
    a = mixed(300, 20, 3)
    assert frechet_distance(a, a + 2.0) == pytest.approx(20 * 4.0)
    assert frechet_distance(a, a.copy()) == pytest.approx(0.0, abs=1e-9 * np.trace(np.cov(a, rowvar=False)))


def test_frechet_distance_of_a_scaling_is_the_closed_form() -> None:
    a = mixed(300, 20, 4)
    a -= a.mean(0)
    assert frechet_distance(a, 3 * a) == pytest.approx(4 * np.trace(np.cov(a, rowvar=False)))


def test_frechet_distance_is_steady_where_most_directions_are_empty() -> None:
    wide = np.zeros((60, 400), dtype=np.float32)
    wide[:, :3] = normal(60, 3, 5)
    other = np.zeros((500, 400), dtype=np.float32)
    other[:, :3] = normal(500, 3, 6)
    assert frechet_distance(wide, other) == pytest.approx(frechet_distance(wide[:, :3], other[:, :3]), rel=1e-5)


def plain_cka(a: np.ndarray, b: np.ndarray) -> float:
    h = np.eye(len(a)) - 1 / len(a)
    k, lin = h @ a @ a.T @ h, h @ b @ b.T @ h
    return float((k * lin).sum() / np.linalg.norm(k) / np.linalg.norm(lin))


def plain_hsic1(a: np.ndarray, b: np.ndarray) -> float:
    n = len(a)
    k, lin = a @ a.T, b @ b.T
    np.fill_diagonal(k, 0.0)
    np.fill_diagonal(lin, 0.0)
    one = np.ones(n)
    middle = (one @ k @ one) * (one @ lin @ one) / ((n - 1) * (n - 2))
    return float((np.trace(k @ lin) + middle - 2 / (n - 2) * (one @ k @ lin @ one)) / (n * (n - 3)))


@pytest.mark.parametrize(("d1", "d2"), [(5, 9), (60, 90), (5, 90)])
def test_linear_cka_agrees_with_its_definition_by_gram_matrices(d1: int, d2: int) -> None:
    a = mixed(40, d1, 1)
    b = a[:, :3] @ normal(3, d2, 2) + normal(40, d2, 3)
    assert linear_cka(a, b) == pytest.approx(plain_cka(a, b))
    expected = plain_hsic1(a, b) / np.sqrt(plain_hsic1(a, a) * plain_hsic1(b, b))
    assert linear_cka(a, b, unbiased=True) == pytest.approx(expected)


def test_cka_does_not_see_rotation_scale_or_shift() -> None:
    a = mixed(50, 8, 1)
    rotation = np.linalg.qr(normal(8, 8, 2))[0]
    for unbiased in (False, True):
        assert linear_cka(a, 7 * a @ rotation + 3, unbiased=unbiased) == pytest.approx(1.0)


def test_unbiased_cka_of_unrelated_views_is_about_zero_where_the_plain_one_is_not() -> None:
    pairs = [(normal(30, 200, s), normal(30, 200, 500 + s)) for s in range(20)]
    assert np.mean([linear_cka(a, b) for a, b in pairs]) > 0.8
    assert abs(np.mean([linear_cka(a, b, unbiased=True) for a, b in pairs])) < 0.02


def test_streamed_cka_of_one_batch_is_the_whole_and_of_many_close_to_it() -> None:
    a = mixed(2000, 8, 1)
    b = a[:, :4] @ normal(4, 6, 2) + 2 * normal(2000, 6, 3)
    whole, batches = StreamedCKA(), StreamedCKA()
    whole.add([a], [b])
    assert whole.result()[0, 0] == pytest.approx(linear_cka(a, b, unbiased=True))
    for start in range(0, 2000, 50):
        batches.add([a[start : start + 50]], [b[start : start + 50]])
    assert batches.result()[0, 0] == pytest.approx(whole.result()[0, 0], abs=0.02)
    assert batches.n == 2000


def tiny(seed: int) -> Backbone:
    torch.manual_seed(seed)
    stages = OrderedDict(
        stage1=nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU()),
        stage2=nn.Sequential(nn.Conv2d(6, 8, 3), nn.ReLU()),
        pool=nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    )
    reduce = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return Backbone("tiny", stages, feature_dim=8, reduce=reduce).eval()


def test_stages_of_a_network_are_the_same_as_its_own_and_less_like_another_s() -> None:
    images = torch.randn(24, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    images *= torch.linspace(0.2, 2, 24)[:, None, None, None]
    pairs = [(images[:12], images[:12]), (images[12:], images[12:]), (images[:2], images[:2])]
    own = compare_stages(tiny(0), tiny(0), pairs)
    other = compare_stages(tiny(0), tiny(1), pairs)
    assert own.n == 24
    assert own.first == own.second == ("stage1", "stage2", "pool")
    np.testing.assert_allclose(np.diag(own.cka), 1.0)
    np.testing.assert_allclose(own.cka[1], own.cka[2])  # pooling is how stage2 becomes a vector
    assert (np.diag(other.cka) < 0.999).all()


def test_bad_input_is_refused_in_one_line() -> None:
    with pytest.raises(DataError, match="same images"):
        linear_cka(normal(5, 2, 0), normal(6, 2, 0)[:, :2])
    with pytest.raises(DataError, match="at least 4"):
        linear_cka(normal(3, 2, 0), normal(3, 2, 1), unbiased=True)
    with pytest.raises(DataError, match="at least 2 images"):
        frechet_distance(normal(1, 2, 0), normal(9, 2, 1))
    with pytest.raises(DataError, match="no images"):
        StreamedCKA().result()
    broken = normal(5, 2, 0)
    broken[3, 0] = np.inf
    with pytest.raises(DataError, match="image 3"):
        frechet_distance(broken, normal(9, 2, 1))
