from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from headstart.errors import DataError, SpecError
from headstart.explain.lime import compose, explain_pixels, local_ridge, mean_colours
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

    (found,) = explain_pixels(predict, image[None], [1], [segments], samples=300, ridge=1e-9)
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
    one = explain_pixels(logistic_predict, images, [0, 2], cut, samples=50, batch=7)
    two = explain_pixels(logistic_predict, images, [0, 2], cut, samples=50, batch=64)
    other = explain_pixels(logistic_predict, images, [0, 2], cut, samples=50, seed=1)
    np.testing.assert_allclose(one[1].weights, two[1].weights)
    assert not np.allclose(one[1].weights, other[1].weights)


def test_bad_input_is_refused_in_one_line() -> None:
    with pytest.raises(SpecError, match="1 samples"):
        explain_pixels(logistic_predict, picture()[None], [0], samples=1)
    with pytest.raises(DataError, match="2 targets"):
        explain_pixels(logistic_predict, picture()[None], [0, 1])
