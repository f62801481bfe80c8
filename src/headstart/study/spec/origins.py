"""Where a network's parameters and its labels come from: a named source, a file, another run."""

from __future__ import annotations

import os
from typing import Annotated, Any

from pydantic import AfterValidator, model_validator

from headstart.study.spec.value import Spec


class WeightsSpec(Spec):
    """Where the parameters come from: a named source, a file, or another run of the study."""

    name: str | None = None
    path: Annotated[str, AfterValidator(os.path.expandvars)] | None = None
    sha256: str | None = None
    run: str | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> WeightsSpec:
        if sum(x is not None for x in (self.name, self.path, self.run)) != 1:
            raise ValueError("weights need exactly one of name, path or run")
        return self


def given_weights(value: Any) -> Any:
    """Return weights as a mapping: a word is a named source, and nothing is random weights."""
    if value is None:
        return {"name": "none"}
    return {"name": value} if isinstance(value, str) else value


class TeacherSpec(Spec):
    """What a run with strategy distil learns from: another run or an ensemble of the study, or a saved model."""

    run: str | None = None
    path: Annotated[str, AfterValidator(os.path.expandvars)] | None = None

    @model_validator(mode="after")
    def _onegiven_teacher(self) -> TeacherSpec:
        if (self.run is None) == (self.path is None):
            raise ValueError("teacher needs exactly one of run (a run or an ensemble) or path (a saved model)")
        return self


def given_teacher(value: Any) -> Any:
    """Return a teacher as a mapping: a word is the name of a run or an ensemble."""
    return {"run": value} if isinstance(value, str) else value


def check_taught(teacher: TeacherSpec | None, *, episodes: bool) -> None:
    """Refuse a run with strategy distil that has no teacher, or that is for episodes.

    Raises:
        ValueError: what is missing, or to be dropped.
    """
    if teacher is None:
        raise ValueError(
            "strategy 'distil' learns from a teacher; set teacher: NAME, a run or an ensemble, or"
            " teacher: {path: model.safetensors}"
        )
    if episodes:
        raise ValueError("strategy 'distil' trains on labelled images, not on episodes; drop episodes")
