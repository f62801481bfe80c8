"""Options and arguments that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[str, typer.Argument(help="A folder, a manifest, an archive or the name of a dataset.")]
Model = Annotated[Path, typer.Argument(help="A model file, a run folder or a study folder.")]
Label = Annotated[str | None, typer.Option(help="Which label to use if the dataset has several.")]
Corrections = Annotated[
    Path | None,
    typer.Option(help="A CSV of labels to change and images to leave out, as 'review' writes it."),
]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder that studies are written to.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON to standard output.")]
Refit = Annotated[
    str | None, typer.Option(help="all: train the saved model on every image, test images included, once it is chosen.")
]
OUT = Path("headstart-runs")
