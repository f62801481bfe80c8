from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from exported_models import linear
from PIL import Image
from sound_html import text_of

from headstart.deploy.classifier import Classifier, Prediction, Predictions
from headstart.explain.compare import Explained, Subject
from headstart.report.render.notebook import predictions as module
from headstart.report.render.notebook.predictions import explained_html, prediction_html, predictions_html


def asked(tmp_path: Path) -> Predictions:
    Image.new("RGB", (90, 60), (200, 40, 40)).save(tmp_path / "red.jpg")
    return Classifier(linear()).predict([tmp_path / "red.jpg", "absent.jpg"])


def test_a_prediction_has_its_picture_its_answer_and_the_most_probable_classes(tmp_path: Path) -> None:
    first, absent = asked(tmp_path)
    judged = replace(first, answer="one of", set=("bee", "<ant>"), familiarity=0.04, withheld=True, decision="ask")
    html = str(prediction_html(judged))
    text = text_of(html)
    assert html.count("<img") == 1 and 'height: 168px"' in html
    assert (
        "One of bee and <ant>; 4 % of familiar images are no more familiar; left for review;"
        " least expected cost: ask." in text
    )
    order = np.argsort(-first.probabilities)
    shown = [f"{first.classes[k]} {100 * first.probabilities[k]:.1f} %" for k in order]
    assert " ".join(shown) in text and "<b>bee</b>" in html
    plain = text_of(str(prediction_html(first)))
    assert f"{100 * first.probability:.1f} % sure of it." in plain
    assert text_of(str(prediction_html(absent))) == "absent.jpg no such file or folder"


def test_a_picture_that_is_gone_costs_the_picture_alone(tmp_path: Path) -> None:
    first = asked(tmp_path)[0]
    (tmp_path / "red.jpg").unlink()
    for each in (first, replace(first, image=None)):
        html = str(prediction_html(each))
        assert "<img" not in html and first.label in text_of(html)


def test_a_batch_is_a_strip_of_pictures(tmp_path: Path) -> None:
    both = asked(tmp_path)
    text = text_of(str(predictions_html(both)))
    assert text.startswith("2 predictions") and "absent.jpg no such file or folder" in text
    many = Predictions([both[0]] * (module.BATCH + 3))
    html = str(predictions_html(many))
    assert html.count("<img") == module.BATCH and "and 3 more" in text_of(html)
    assert text_of(str(predictions_html(Predictions([both[0]])))).startswith("1 prediction ")


def test_an_explanation_is_beside_its_picture_with_a_key_of_the_colours() -> None:
    bundle = linear()
    pixels = np.full((10, 32, 32, 3), 120, np.uint8)
    subject = Subject("<model>", bundle.network, bundle.classes)
    heat = np.zeros((10, 32, 32))
    heat[:, :8, :8] = 1
    targets = torch.tensor([1] * 10)
    maps = {"grad_cam": heat, "occlusion": -heat}
    chances = np.tile(np.array([[0.1, 0.8, 0.1]]), (10, 1))
    html = str(explained_html(Explained(subject, pixels, torch.zeros(10, 3, 32, 32), targets, chances, maps)))
    assert html.count("<img") == 3 * module.EXPLAINED
    text = text_of(html)
    assert text.startswith("<model> bee 0.80 Grad-CAM Occlusion") and "and 2 more" in text
    assert (
        "From violet to yellow: how strongly a region supports the class; orange supports the class, blue opposes it."
        in text
    )


def test_a_prediction_of_pixels_shows_itself_too() -> None:
    bare = Prediction("0", "bee", 0.8, np.array([0.2, 0.8], np.float32), labels=("bee",), classes=("ant", "bee"))
    assert "bee 80.0 % ant 20.0 %" in text_of(str(bare._repr_html_()))
