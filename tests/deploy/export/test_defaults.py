from __future__ import annotations

import inspect
from pathlib import Path

from headstart import export
from headstart.cli import model_verbs
from headstart.deploy.export.defaults import EXPORTS, MARGIN


def test_the_command_line_and_python_have_the_same_defaults() -> None:
    typed = inspect.signature(model_verbs.export).parameters
    called = inspect.signature(export).parameters
    assert typed["margin"].default == called["margin"].default == MARGIN
    assert typed["out"].default == Path(called["out"].default) == Path(EXPORTS)
