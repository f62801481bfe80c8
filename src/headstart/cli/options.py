"""Options and arguments that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from headstart.explain.names import EXPLAINER_NAMES

Data = Annotated[str, typer.Argument(help="A folder, a manifest, an archive or the name of a dataset.")]
Model = Annotated[Path, typer.Argument(help="A model file, a run folder or a study folder.")]
Label = Annotated[str | None, typer.Option(help="The label to use if the dataset has several.")]
Corrections = Annotated[
    Path | None,
    typer.Option(help="A CSV of labels to change and images to leave out, as written by 'review'."),
]
Out = Annotated[Path, typer.Option("--out", "-o", help="Output folder.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
Explainers = Annotated[
    list[str] | None,
    typer.Option(
        "--method", help=f"{', '.join(EXPLAINER_NAMES)}; repeatable (default: lime, and grad_cam if supported)."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON to standard output.")]
Refit = Annotated[
    str | None, typer.Option(help="all: retrain the chosen model on every image, including the test images.")
]
Bands = Annotated[
    str | None, typer.Option(help="Bands to read from each file: all, or indices from 0 and names, such as 0,1,B8A.")
]
Show = Annotated[str | None, typer.Option(help="Three bands to show as red, green and blue, such as 3,2,1.")]
Smoke = Annotated[bool, typer.Option(help="Apply the file's smoke block, a small and quick version of the study.")]
Strict = Annotated[bool, typer.Option("--strict", help="Refuse the study if any weights or images are unavailable.")]
Level = Annotated[float, typer.Option(help="Coverage of the prediction sets: how often they contain the true class.")]
Workers = Annotated[int, typer.Option(help="Worker processes, which share the cores; on Ray, workers per node.")]
On = Annotated[
    str | None, typer.Option(help="ray (this machine) or the address of a Ray cluster: HOST:6379, ray://HOST:10001.")
]
Place = Annotated[
    str | None, typer.Option("--store", help="Shared cache: a folder, or an address such as s3://bucket/prefix.")
]
Budget = Annotated[
    str | None,
    typer.Option(help="Time limit, such as 90s, 20min or 2h: most promising runs first; the rest are skipped."),
]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Settings that override the file's.")]
OUT = Path("headstart-runs")


def show_version(asked: bool) -> None:
    """Print the version and end, where it is asked for."""
    if asked:
        from headstart.version import VERSION

        print(f"headstart {VERSION}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", help="Print the version and exit.", callback=show_version, is_eager=True)
]


def asked_bands(bands: str | None, show: str | None) -> dict[str, Any]:
    """Return the options --bands and --show as the Python functions take them."""
    return {"bands": listed_bands(bands), "show": listed_bands(show)}


def listed_bands(text: str | None) -> str | list[int | str] | None:
    """Return the bands of an option: "all", or indices and names; None where it is not given."""
    if text is None or text == "all":
        return text
    parts = [part.strip() for part in text.split(",")]
    return [int(part) if part.isdecimal() else part for part in parts if part]
