from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from exported_models import pixels_for

from headstart.deploy.classifier import Classifier
from headstart.deploy.export.onnx_files import ANY_SIZE, MODEL, build, usage
from headstart.deploy.export.target import Parts


def test_both_files_answer_as_the_classifier_does(parts: Parts, tmp_path: Path) -> None:
    forms = build(parts, tmp_path)
    assert [(form.name, form.feed, form.exact, form.faithful) for form in forms] == [
        (MODEL, "pixels", True, True),
        (ANY_SIZE, "picture", False, True),
    ]
    pixels = pixels_for(parts.ensemble, 3)
    expected = Classifier(parts.ensemble).averaged(pixels)
    for form, name in zip(forms, ("pixels", "pictures"), strict=True):  # at the network's size nothing is resized
        found = onnxruntime.InferenceSession(str(form.path)).run(["probabilities"], {name: pixels[0]})[0]
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert form.size() == form.path.stat().st_size


def test_the_usage_names_files_and_sizes(parts: Parts) -> None:
    text = usage(parts)
    assert MODEL in text and ANY_SIZE in text and "`pixels` uint8 [n, 32, 32, 3]" in text and "int64 [n]" in text
