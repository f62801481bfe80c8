"""The views of an image whose probabilities are averaged."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from headstart.models.test_time_augmentation import TTA, mean_probabilities


def images(size: int = 64) -> torch.Tensor:
    return torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("name", "count"), [("none", 1), ("flip", 2), ("flip_translate", 6)])
def test_the_first_view_is_the_image_and_all_have_its_size(name: str, count: int) -> None:
    views = TTA[name](images())
    assert len(views) == count and torch.equal(views[0], images())
    assert all(view.shape == images().shape for view in views)


def test_every_second_view_is_the_mirror_image_of_the_one_before() -> None:
    for name in ("flip", "flip_translate"):
        views = TTA[name](images())
        for straight, mirrored in zip(views[::2], views[1::2], strict=True):
            assert torch.equal(straight.flip(-1), mirrored)


@pytest.mark.parametrize(("size", "shift"), [(64, 2), (32, 1), (8, 1)])
def test_shifted_views_move_by_a_thirtysecond_along_the_diagonal(size: int, shift: int) -> None:
    _, _, first, _, second, _ = TTA["flip_translate"](images(size))
    inner = slice(shift, None), slice(None, -shift)
    assert torch.equal(first[..., inner[0], inner[0]], images(size)[..., inner[1], inner[1]])
    assert torch.equal(second[..., inner[1], inner[1]], images(size)[..., inner[0], inner[0]])
    reflected = images(size)[..., shift, shift]
    assert torch.equal(first[..., 0, 0], reflected)  # the border is a reflection


def test_probabilities_are_averaged_not_logits() -> None:
    logits = [torch.tensor([[0.0, np.log(3.0)]]), torch.tensor([[np.log(9.0), 0.0]])]
    found = mean_probabilities([each.float() for each in logits], multi_label=False)
    np.testing.assert_allclose(found, [[(0.25 + 0.9) / 2, (0.75 + 0.1) / 2]], atol=1e-6)


def test_with_several_labels_each_class_has_a_sigmoid_of_its_own() -> None:
    found = mean_probabilities([torch.tensor([[0.0, 0.0]]), torch.tensor([[np.log(3.0), 0.0]])], multi_label=True)
    np.testing.assert_allclose(found, [[0.625, 0.5]], atol=1e-6)
