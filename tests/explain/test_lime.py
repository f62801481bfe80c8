from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import nn

from headstart.errors import DataError, SpecError
from headstart.evaluate.correlation import rank_correlation
from headstart.explain.explainers import explain
from headstart.explain.lime import (
    LimeOptions,
    compose,
    expected_agreement,
    explain_pixels,
    local_ridge,
    mean_colours,
)
from headstart.explain.superpixels import squares


def picture(seed: int = 0, side: int = 24) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def logistic_predict(batch: np.ndarray) -> np.ndarray:
    """Three classes by fixed random weights on the pixels."""
    weights = np.random.default_rng(9).standard_normal((batch[0].size, 3)) / 40
    logits = batch.reshape(len(batch), -1).astype(np.float64) / 255 @ weights
    odds = np.exp(logits - logits.max(1, keepdims=True))
    return odds / odds.sum(1, keepdims=True)


@pytest.mark.filterwarnings("ignore::tqdm.TqdmExperimentalWarning", "ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:IProgress")
def test_the_same_samples_give_the_lime_package_s_weights() -> None:
    lime_image = pytest.importorskip("lime.lime_image")
    image, segments = picture(), squares(24, 24, 6)
    seen: dict[str, np.ndarray] = {}
    peer = lime_image.LimeImageExplainer(random_state=3)
    original = peer.data_labels

    def record(*args: object, **kwargs: object) -> tuple[np.ndarray, np.ndarray]:
        seen["data"], seen["labels"] = original(*args, **kwargs)
        return seen["data"], seen["labels"]

    peer.data_labels = record
    theirs = peer.explain_instance(
        image, logistic_predict, labels=(1,), top_labels=None, num_samples=120, segmentation_fn=lambda _: segments
    )
    (ours,) = explain_pixels(logistic_predict, image[None], [1], [segments], shown=[seen["data"].astype(bool)])
    expected = np.zeros(16)
    for piece, weight in theirs.local_exp[1]:
        expected[piece] = weight
    np.testing.assert_allclose(ours.weights, expected, rtol=1e-9, atol=1e-12)
    assert ours.intercept == pytest.approx(theirs.intercept[1])
    assert ours.fit == pytest.approx(theirs.score)
    assert ours.probability == pytest.approx(seen["labels"][0, 1])


def test_weights_are_those_of_scikit_learn_s_weighted_ridge() -> None:
    rng = np.random.default_rng(0)
    shown, values = rng.random((80, 7)) < 0.5, rng.random(80)
    shown[0] = True
    shown[1] = False
    weights, intercept, fit = local_ridge(shown, values, width=0.4, ridge=2.0)
    distance = 1 - np.sqrt(shown.mean(1))
    oracle_weights = np.sqrt(np.exp(-(distance**2) / 0.4**2))
    oracle = Ridge(alpha=2.0).fit(shown, values, sample_weight=oracle_weights)
    np.testing.assert_allclose(weights, oracle.coef_, rtol=1e-9)
    assert intercept == pytest.approx(oracle.intercept_)
    assert fit == pytest.approx(oracle.score(shown, values, sample_weight=oracle_weights))


def test_a_prediction_that_is_linear_in_the_pieces_is_found_exactly() -> None:
    image, segments = picture(), squares(24, 24, 8)
    hidden = mean_colours(image, segments)
    truth = np.array([0.3, 0.0, -0.2, 0.0, 0.1, 0.0, 0.0, 0.05, 0.0])

    def predict(batch: np.ndarray) -> np.ndarray:
        visible = np.stack([(batch == image)[:, segments == piece].mean((1, 2)) for piece in range(9)], axis=1)
        hides = np.array([(hidden == image)[segments == piece].mean() for piece in range(9)])
        return np.stack([1 - visible @ truth, 0.4 + (visible - hides) / (1 - hides) @ truth], axis=1)

    (found,) = explain_pixels(predict, image[None], [1], [segments], LimeOptions(300, ridge=1e-9))
    np.testing.assert_allclose(found.weights, truth, atol=1e-6)
    assert found.intercept == pytest.approx(0.4, abs=1e-6)
    assert found.fit == pytest.approx(1.0)
    assert found.top(2) == [0, 4]
    assert found.map()[1, 1] == pytest.approx(0.3, abs=1e-6)


def test_hidden_pieces_take_their_mean_colour_and_shown_ones_stay() -> None:
    image, segments = picture(side=4), squares(4, 4, 2)
    hidden = mean_colours(image, segments)
    shown = np.array([[True, True, True, True], [False, True, True, False]])
    whole, partly = compose(image, hidden, segments, shown)
    assert (whole == image).all()
    assert (partly[:2, 2:] == image[:2, 2:]).all()
    assert (partly[:2, :2] == image[:2, :2].reshape(-1, 3).mean(0).astype(np.uint8)).all()


def test_the_result_does_not_depend_on_the_batch_but_on_the_seed() -> None:
    images, cut = np.stack([picture(1), picture(2)]), [squares(24, 24, 6)] * 2
    one = explain_pixels(logistic_predict, images, [0, 2], cut, LimeOptions(50, 50, batch=7))
    two = explain_pixels(logistic_predict, images, [0, 2], cut, LimeOptions(50, 50, batch=64))
    other = explain_pixels(logistic_predict, images, [0, 2], cut, LimeOptions(50, 50, seed=1))
    np.testing.assert_allclose(one[1].weights, two[1].weights)
    assert not np.allclose(one[1].weights, other[1].weights)


def test_bad_input_is_refused_in_one_line() -> None:
    with pytest.raises(SpecError, match="1 samples"):
        LimeOptions(samples=1)
    with pytest.raises(SpecError, match="most_samples 10 is less than samples 20"):
        LimeOptions(samples=20, most_samples=10)
    with pytest.raises(DataError, match="2 targets"):
        explain_pixels(logistic_predict, picture()[None], [0, 1])


def noisy_predict(noise: float) -> Callable[[np.ndarray], np.ndarray]:
    """A prediction that is linear in the pixels, and an error that depends on nothing but the picture."""
    weights = np.random.default_rng(9).standard_normal(24 * 24 * 3) / 200

    def predict(batch: np.ndarray) -> np.ndarray:
        flat = batch.reshape(len(batch), -1).astype(np.float64) / 255
        jitter = np.sin(1e4 * (flat @ np.arange(flat.shape[1])))
        one = 0.5 + flat @ weights + noise * jitter
        return np.stack([1 - one, one], axis=1)

    return predict


@pytest.mark.parametrize("noise", [0.02, 0.05, 0.1])
def test_the_expected_agreement_is_what_independent_runs_show(noise: float) -> None:
    images, cut = picture()[None], [squares(24, 24, 4)]
    runs = [
        explain_pixels(noisy_predict(noise), images, [1], cut, LimeOptions(300, 300, seed=seed))[0]
        for seed in range(12)
    ]
    shown = np.mean([rank_correlation(a.weights, b.weights) for a, b in itertools.combinations(runs, 2)])
    assert 0.1 < shown < 0.99
    assert np.mean([run.agreement for run in runs]) == pytest.approx(shown, abs=0.08)


def test_samples_are_doubled_until_two_runs_agree_and_the_first_ones_are_kept() -> None:
    images, cut = picture()[None], [squares(24, 24, 4)]
    predict = noisy_predict(0.1)
    (few,) = explain_pixels(predict, images, [1], cut, LimeOptions(100, 100))
    (more,) = explain_pixels(predict, images, [1], cut, LimeOptions(100, 6400, agreement=0.7))
    assert few.agreement < 0.7 <= more.agreement
    assert few.samples == 100
    assert more.samples in (200, 400, 800, 1600, 3200, 6400)
    (same,) = explain_pixels(predict, images, [1], cut, LimeOptions(more.samples, more.samples))
    (half,) = explain_pixels(predict, images, [1], cut, LimeOptions(100, more.samples // 2, agreement=0.7))
    assert half.samples == more.samples // 2 and half.agreement < 0.7
    assert rank_correlation(same.weights, more.weights) > 0.5  # other samples, the same answer


def test_progress_counts_the_samples_as_more_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[tuple[int, int]] = []
    monkeypatch.setattr("headstart.explain.lime.Ticker.advance", lambda ticker, n: counted.append((n, ticker.total)))
    images, cut = np.stack([picture(), picture(1)]), [squares(24, 24, 4)] * 2
    found = explain_pixels(noisy_predict(0.1), images, [1, 1], cut, LimeOptions(100, 400, agreement=1.0))
    assert [one.samples for one in found] == [400, 400]
    assert counted[0] == (32, 200) and counted[-1][1] == 800 and sum(n for n, _ in counted) == 800


def test_a_prediction_that_depends_on_nothing_has_no_agreement_and_a_linear_one_has_all() -> None:
    masks = np.random.default_rng(0).random((200, 10)) < 0.5
    assert expected_agreement(masks, np.full(200, 0.3)) == 0.0
    assert expected_agreement(masks, masks @ np.arange(10.0), ridge=1e-6) == pytest.approx(1.0)
    assert expected_agreement(masks[:4], np.arange(4.0)) == 0.0


class Flicker(nn.Module):
    """Its answer has nothing to do with the pieces."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        odds = torch.sin(1e4 * images.sum((1, 2, 3)))
        return torch.stack([odds, -odds], dim=1)


def test_an_unstable_explanation_is_announced_once(capsys: pytest.CaptureFixture[str]) -> None:
    images = torch.randn(2, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    explain(Flicker(), images, torch.tensor([0, 1]), "lime", samples=50, most_samples=200, pieces=16)
    said = capsys.readouterr().err
    assert "LIME: 2 of 2 images reached the limit of 200 samples" in said
    assert "0.8 is asked for" in said
