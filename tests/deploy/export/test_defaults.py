from __future__ import annotations

import inspect
import math
from pathlib import Path

import pytest

from headstart import export
from headstart.cli import model_verbs
from headstart.deploy.export.defaults import EXPORTS, FORMATS, MARGIN, check_options
from headstart.deploy.export.export import TARGETS
from headstart.errors import SpecError


def test_the_command_line_and_python_have_the_same_defaults() -> None:
    typed = inspect.signature(model_verbs.export).parameters
    called = inspect.signature(export).parameters
    assert typed["margin"].default == called["margin"].default == MARGIN
    assert typed["out"].default == Path(called["out"].default) == Path(EXPORTS)


@pytest.mark.parametrize(
    ("targets", "margin", "check", "words"),
    [
        (["onxx"], 0.5, None, "unknown export format 'onxx'; did you mean 'onnx'"),
        ([], 0.5, None, "no export format is named"),
        (["onnx"], math.nan, None, "margin = nan points of accuracy: it must be 0 or more"),
        (["onnx"], 0.5, 0, "check = 0 pictures: it must be at least 1"),
    ],
)
def test_what_no_model_can_be_exported_with_is_refused(
    targets: list[str], margin: float, check: int | None, words: str
) -> None:
    with pytest.raises(SpecError, match=words):
        check_options(targets, margin, check)
    assert tuple(TARGETS) == FORMATS and check_options(FORMATS, 0.0, 1) is None  # type: ignore[func-returns-value]
