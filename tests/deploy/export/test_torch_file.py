from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from exported_models import pixels_for

from headstart.deploy.classifier import Classifier
from headstart.deploy.export.target import Parts
from headstart.deploy.export.torch_file import PROGRAM, build, usage


def test_the_program_answers_as_the_classifier_does_and_says_what_it_is(parts: Parts, tmp_path: Path) -> None:
    (form,) = build(parts, tmp_path)
    assert (form.path, form.kind, form.feed) == (tmp_path / PROGRAM, "torch", "pixels")
    extra = {"headstart.json": ""}
    module = torch.export.load(form.path, extra_files=extra).module()
    assert json.loads(extra["headstart.json"])["classes"] == ["ant", "bee", "cat"]
    for count in (1, 3):
        pixels = pixels_for(parts.ensemble, count)
        with torch.inference_mode():
            probabilities, labels = module(torch.from_numpy(pixels[0]))
        expected = Classifier(parts.ensemble).averaged(pixels)
        np.testing.assert_allclose(probabilities.numpy(), expected, atol=1e-6)
        np.testing.assert_array_equal(labels.numpy(), expected.argmax(1))


def test_the_usage_runs_as_it_is(parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(parts, tmp_path)
    monkeypatch.chdir(tmp_path)
    code = re.search(r"```python\n(.*?)```", usage(parts), re.DOTALL)
    assert code is not None
    names: dict[str, object] = {}
    exec(code[1], names)
    assert names["classes"] == ["ant", "bee", "cat"]
    assert tuple(names["probabilities"].shape) == (1, 3)  # type: ignore[attr-defined]
