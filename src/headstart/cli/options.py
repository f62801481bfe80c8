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
Bands = Annotated[
    str | None, typer.Option(help="Bands to read of each file: all, or indices from 0 and names, such as 0,1,B8A.")
]
Show = Annotated[str | None, typer.Option(help="Three bands to show as red, green and blue, such as 3,2,1.")]
OUT = Path("headstart-runs")


def listed_bands(text: str | None) -> str | list[int | str] | None:
    """Return the bands of an option: "all", or indices and names; None where it is not given."""
    if text is None or text == "all":
        return text
    parts = [part.strip() for part in text.split(",")]
    return [int(part) if part.isdecimal() else part for part in parts if part]
