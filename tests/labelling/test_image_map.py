from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reviewed_folder import draw_classes, embedded_classes

import headstart
from headstart.deploy.classifier import Prediction
from headstart.labelling import image_map as module
from headstart.labelling.image_map import map_of


class Always:
    """A classifier that says "blue" of everything."""

    def predict(self, images: Any) -> list[Prediction]:
        assert [each.read() for each in images]
        return [Prediction(each.name, "blue", 1.0, np.ones(1, np.float32)) for each in images]


def data_of(page: Path) -> dict[str, Any]:
    text = page.read_text(encoding="utf-8")
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    return dict(json.loads(found))


def codes(data: dict[str, Any], name: str) -> tuple[list[str], list[int]]:
    (found,) = (each for each in data["colours"] if each["name"] == name)
    return found["labels"], np.frombuffer(base64.b64decode(found["codes"]), "<u2").tolist()


def test_the_page_holds_every_image_with_its_class_and_the_prediction(tmp_path: Path) -> None:
    embeddings = embedded_classes(draw_classes(tmp_path / "photos"))
    found = map_of(embeddings, method="pca", classifier=Always())  # type: ignore[arg-type]
    assert found.positions.shape == (24, 2)
    data = data_of(found.save(tmp_path / "deep" / "map.html", thumbnails=10))
    assert data["names"] == embeddings.names and len(base64.b64decode(data["positions"])) == 24 * 4
    assert codes(data, "class") == (["blue", "green", "red"], [0] * 8 + [1] * 8 + [2] * 8)
    assert codes(data, "predicted") == (["blue"], [0] * 24)
    assert codes(data, "mistakes") == (["right", "wrong"], [0] * 8 + [1] * 16)
    assert len(base64.b64decode(data["sheets"]["rows"])) == 10 * 4
    assert [row[:2] for row in data["table"]] == [["blue", 8], ["green", 8], ["red", 8]]
    assert data["table"][0][2] == 1.0  # the images most similar to each are the others of its class
    page = (tmp_path / "deep" / "map.html").read_text(encoding="utf-8")
    assert "10 of 24 images, chosen at random, have a picture in this page." in page
    assert found.projection.words[0] in page


def test_images_without_labels_have_a_map_too(tmp_path: Path) -> None:
    folder = draw_classes(tmp_path / "photos", 3) / "red"
    found = headstart.map_images(folder, backbone="lenet5", weights="none", method="pca")
    assert [each.name for each in found.colourings] == [] and found.table() == []
    again = headstart.map_images(folder, backbone="lenet5", weights="none", method="pca")
    assert np.array_equal(found.positions, again.positions)
    assert data_of(found.save(tmp_path / "m.html", thumbnails=0))["sheets"] is None


def test_a_method_that_is_unknown_is_refused_before_anything_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "embed", lambda *given, **named: pytest.fail("computed"))
    with pytest.raises(headstart.HeadstartError, match="unknown method 'umap'"):
        headstart.map_images(tmp_path, method="umap")
