from __future__ import annotations

import re

import pytest

from headstart.errors import SpecError
from headstart.study.spec.schema import StudySpec
from headstart.study.spec.validation import validate

BASE = {"name": "s", "data": "d", "runs": {"a": {}}}


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("tensorboard", "TensorBoard's logs need no setting: .* drop track, or set 'mlflow', the address of an"),
        ("wandb", "track: set 'mlflow', the address of an MLflow server or a folder such as ./mlruns"),
    ],
)
def test_a_tracker_that_is_none_is_refused(value: str, says: str) -> None:
    with pytest.raises(SpecError) as refused:
        validate(StudySpec, {**BASE, "track": value}, name="f", at=(), lines={})
    assert re.search(says, str(refused.value)) and "\n" not in str(refused.value)


@pytest.mark.parametrize("value", ["mlflow", "http://localhost:5000", "sqlite:///runs.db", "./mlruns", "databricks"])
def test_mlflow_and_addresses_are_trackers(value: str) -> None:
    assert validate(StudySpec, {**BASE, "track": value}, name="f", at=(), lines={}).track == value
