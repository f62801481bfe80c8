"""Where parameters and soft labels come from, as a study file writes it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from headstart.study.spec.origins import TeacherSpec, WeightsSpec, check_taught, given_teacher, given_weights


def test_a_word_is_a_named_source_and_the_name_of_a_teacher() -> None:
    assert given_weights("imagenet") == {"name": "imagenet"} and given_weights(None) == {"name": "none"}
    assert given_teacher("large") == {"run": "large"} and given_teacher({"path": "m"}) == {"path": "m"}


@pytest.mark.parametrize("value", [{}, {"run": "a", "path": "b"}])
@pytest.mark.parametrize("kind", [TeacherSpec, WeightsSpec])
def test_there_is_exactly_one_origin(kind: Any, value: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="exactly one"):
        kind.model_validate(value)


def test_variables_in_a_path_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELS", "/m")
    assert TeacherSpec(path="$MODELS/a.safetensors").path == "/m/a.safetensors"


def test_a_taught_run_needs_a_teacher_and_images() -> None:
    check_taught(TeacherSpec(run="large"), episodes=False)
    with pytest.raises(ValueError, match="set teacher: NAME"):
        check_taught(None, episodes=False)
    with pytest.raises(ValueError, match="drop episodes"):
        check_taught(TeacherSpec(run="large"), episodes=True)
