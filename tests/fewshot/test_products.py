from __future__ import annotations

import numpy as np
import pytest
import torch

from headstart.errors import DataError
from headstart.fewshot.products import make_products

GENERATOR = np.random.default_rng(0)
X = GENERATOR.standard_normal((60, 7)).astype(np.float32)
ROWS = np.arange(5, 60)[::-1].copy()
LEFT = torch.from_numpy(GENERATOR.integers(5, 60, (4, 6)))
RIGHT = torch.from_numpy(GENERATOR.integers(5, 60, (4, 9)))


@pytest.mark.parametrize("gram_bytes", [0, 1 << 20], ids=["as needed", "gram"])
def test_products_equal_those_of_the_features(gram_bytes: int) -> None:
    products = make_products(X, ROWS, gram_bytes=gram_bytes)
    assert (products.gram is None) == (gram_bytes == 0)
    expected = np.einsum("brd,bsd->brs", X[LEFT], X[RIGHT])
    np.testing.assert_allclose(products.between(LEFT, RIGHT).numpy(), expected, atol=1e-5)
    means = X[LEFT].reshape(4, 2, 3, 7).mean(axis=2)
    expected = np.einsum("bgd,bsd->bgs", means, X[RIGHT])
    np.testing.assert_allclose(products.group_means(LEFT, RIGHT, 3).numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(products.norms[RIGHT].numpy(), (X**2).sum(axis=1)[RIGHT], rtol=1e-5)


def test_few_reads_make_no_gram_matrix() -> None:
    assert make_products(X, ROWS, reads=10).gram is None
    assert make_products(X, ROWS, reads=100_000).gram is not None


def test_gram_matrix_spans_several_blocks() -> None:
    x = GENERATOR.standard_normal((2100, 3)).astype(np.float32)
    gram = make_products(x, np.arange(2100)).gram
    assert gram is not None
    np.testing.assert_allclose(gram.numpy(), x @ x.T, atol=1e-4)


@pytest.mark.parametrize("gram_bytes", [0, 1 << 20])
def test_a_feature_that_is_not_finite_is_refused(gram_bytes: int) -> None:
    x = X.copy()
    x[17, 2] = np.nan
    with pytest.raises(DataError, match="row 17"):
        make_products(x, ROWS, gram_bytes=gram_bytes)
