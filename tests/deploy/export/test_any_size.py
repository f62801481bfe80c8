from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from headstart.data.decoding.decode import View, decode
from headstart.deploy.export.any_size import resizing
from headstart.errors import ModelError

SHAPES = ((300, 200), (201, 300), (64, 64), (57, 400), (1, 1), (1200, 5), (5, 1200), (65, 64))


def smooth(height: int, width: int, seed: int) -> np.ndarray:
    """Return a picture with edges and gradients."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    waves = [
        np.sin(rows * generator.uniform(0.02, 0.3)) + np.cos(columns * generator.uniform(0.02, 0.3)) for _ in range(3)
    ]
    return np.clip(128 + 60 * np.stack(waves, -1), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("view", [View(64, 56, "bicubic"), View(64, 57, "bilinear"), View(40, 64, "bilinear")])
def test_the_graph_resizes_and_crops_as_the_decoder_does(view: View) -> None:
    session = onnxruntime.InferenceSession(resizing([("pixels", view)]).SerializeToString())
    differ = []
    for seed, shape in enumerate(SHAPES):
        picture = smooth(*shape, seed)
        expected = decode(picture, view)
        (found,) = session.run(None, {"pictures": np.stack([picture, picture])})
        assert found.shape == (2, *expected.shape)
        difference = np.abs(found[0].astype(int) - expected)
        assert difference.max() <= 2, shape
        differ.append(float((difference > 0).mean()))
    assert np.mean(differ) < 0.01


def test_a_picture_of_another_offset_is_another_result() -> None:
    view = View(64, 56, "bicubic")
    session = onnxruntime.InferenceSession(resizing([("pixels", view)]).SerializeToString())
    picture = smooth(300, 200, 0)
    (found,) = session.run(None, {"pictures": picture[None, 4:]})
    assert np.abs(found[0].astype(int) - decode(picture, view)).max() > 10


def test_an_interpolation_that_onnx_lacks_is_refused() -> None:
    with pytest.raises(ModelError, match="resizing by lanczos cannot be expressed in ONNX; use bilinear or bicubic"):
        resizing([("pixels", View(64, 64, "lanczos"))])
