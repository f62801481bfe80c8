from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from headstart.deploy.classifier import BATCH, Classifier
from headstart.errors import ImageTypeError
from headstart.models.bundle import Bundle, Origin
from headstart.models.create import create_backbone
from headstart.models.heads import LinearHead
from headstart.models.network import Network

PIXELS = np.random.default_rng(1).integers(0, 256, (40, 30, 3), dtype=np.uint8)
RED = np.full((40, 30, 3), [200, 10, 10], dtype=np.uint8)


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    """Return an untrained network whose probabilities depend on where in the image something is."""
    backbone, _ = create_backbone("lenet5", None, seed=3)
    torch.manual_seed(0)
    head = LinearHead(backbone.feature_dim, 3)
    torch.nn.init.normal_(head.weight)
    return Classifier(Bundle(Network(backbone, head).eval(), Origin("lenet5", seed=3), ("ant", "bee", "cat")))


@pytest.fixture
def turned(tmp_path: Path) -> Path:
    """Return a photograph that a phone stored lying."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PIXELS).save(tmp_path / "turned.png", exif=exif.tobytes())
    return tmp_path / "turned.png"


def test_the_same_picture_has_the_same_probabilities_through_every_way_in(classifier: Classifier, turned: Path) -> None:
    upright = np.ascontiguousarray(np.rot90(PIXELS, -1))
    tensor = torch.from_numpy(upright).permute(2, 0, 1)
    expected = classifier.predict(turned)[0].probabilities
    with Image.open(turned) as opened, turned.open("rb") as file:
        ways: dict[str, Any] = {
            "text": str(turned),
            "PIL": opened,
            "file": file,
            "bytes": turned.read_bytes(),
            "in memory": io.BytesIO(turned.read_bytes()),
            "array": upright,
            "floats": upright.astype(np.float32) / 255,
            "tensor": tensor,
            "float tensor": tensor / 255,
        }
        for way, picture in ways.items():
            (alone,) = classifier.predict(picture)
            first, again = classifier.predict([picture, picture])
            for found in (alone, first, again):
                assert found.error is None
                np.testing.assert_allclose(found.probabilities, expected, atol=1e-6, err_msg=way)
    assert abs(classifier.predict(PIXELS)[0].probabilities - expected).max() > 0.01


def test_batches_have_a_prediction_for_each_image(classifier: Classifier) -> None:
    stack = np.stack([PIXELS, RED])
    expected = np.stack([p.probabilities for p in classifier.predict([PIXELS, RED])])
    tensor = torch.from_numpy(stack).permute(0, 3, 1, 2)
    for batch in (stack, tensor, tensor / 255, (PIXELS, RED), iter([PIXELS, RED])):
        found = np.stack([p.probabilities for p in classifier.predict(batch)])
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_an_image_that_cannot_be_read_does_not_cost_the_others(classifier: Classifier, turned: Path) -> None:
    found = classifier.predict([b"text", turned, turned.read_bytes()[:100], np.zeros((0, 3, 3), np.uint8)])
    assert [p.error is None for p in found] == [False, True, False, False]
    assert found[0].error == "is not an image" and np.isnan(found[0].probability)
    assert [p.name for p in found] == ["0", str(turned), "2", "3"]


def test_what_is_no_image_is_one_type_error(classifier: Classifier) -> None:
    for wrong in (7, {"a": PIXELS}, [PIXELS, None], np.zeros((2, 2, 2, 2, 3))):
        with pytest.raises(ImageTypeError, match="an image is a path, encoded bytes, a file opened in binary mode"):
            classifier.predict(wrong)


def test_a_path_that_is_no_image_is_a_prediction_with_its_error(
    classifier: Classifier, turned: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    places = ["https://example.org/a.jpg", str(tmp_path / "absent"), tmp_path / "empty", turned]
    found = classifier.predict(places)
    assert [p.error for p in found] == [
        "is an address; download the image and give the file's path",
        "no such file or folder",
        "no image in it",
        None,
    ]
    assert [p.name for p in found] == list(map(str, places))


def test_a_path_may_stand_for_many_images(classifier: Classifier, turned: Path, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    shutil.copy(turned, tmp_path / "more" / "one.png")
    (tmp_path / "list.csv").write_text("path\nmore/one.png\nturned.png\n")
    one, other = str(tmp_path / "more" / "one.png"), str(turned)
    for place, names in (
        (tmp_path, [one, other]),
        (str(tmp_path / "*.png"), [other]),
        (tmp_path / "list.csv", [one, other]),
        ([tmp_path / "more", turned, PIXELS], [one, other, "2"]),
    ):
        assert [p.name for p in classifier.predict(place)] == names


def test_predictions_come_one_batch_at_a_time(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []
    batch = classifier._batch

    def noted(inputs: Any) -> Any:
        decoded.append(len(inputs))
        return batch(inputs)

    monkeypatch.setattr(classifier, "_batch", noted)
    predictions = classifier.stream([RED] * (BATCH + 1))
    assert next(predictions).error is None and decoded == [BATCH]
    assert len(list(predictions)) == BATCH and decoded == [BATCH, 1]
