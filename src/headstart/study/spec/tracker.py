"""Where the runs of a study are logged, besides its own folder."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

MLFLOW = "mlflow"  # a file in the study's folder
TENSORBOARD = "tensorboard"


def _checked(value: str | None) -> str | None:
    if value in (None, MLFLOW, "databricks") or any(sign in value for sign in ":/\\"):
        return value
    do = f"set {MLFLOW!r}, the address of an MLflow server or a folder such as ./mlruns"
    if value == TENSORBOARD:
        do = f"TensorBoard's logs need no setting: they are written if tensorboard is installed; drop track, or {do}"
    raise ValueError(do)


Tracker = Annotated[str | None, AfterValidator(_checked)]
