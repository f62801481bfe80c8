"""The verbs that use a saved model, but for `predict` and `explain`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headstart.cli.options import OUT, Corrections, Device, Json, Label, Level, Model, Out, Refit
from headstart.deploy.export.defaults import EXPORTS, MARGIN


def add_model_verbs(app: typer.Typer) -> None:
    """Add the verbs of this module to the command line."""
    for verb in (benchmark, evaluate, update, serve, export):
        app.command()(verb)


def benchmark(
    model: Model,
    int8: Annotated[bool, typer.Option(help="Also measure the int8 forms; needs the study's images.")] = True,
    images: Annotated[Path | None, typer.Option(help="Use the images in this folder.")] = None,
    count: Annotated[int, typer.Option(min=1, help="Number of images, evenly sampled.")] = 200,
    json: Json = False,
) -> None:
    """Measure a model in each exported form.

    Reports size, start-up time, latency, throughput, accuracy and the difference from the original.

    Example: headstart benchmark headstart-runs/demo
    """
    from headstart.cli.benchmark import benchmark_and_show

    benchmark_and_show(model, int8=int8, images=images, count=count, as_json=json)


def evaluate(
    model: Model,
    data: Annotated[str, typer.Argument(help="Images: a folder, a manifest, an archive or a dataset's name.")],
    against: Annotated[
        list[Path] | None, typer.Option(help="Another model, compared on the same images; repeatable.")
    ] = None,
    label: Label = None,
    corrections: Corrections = None,
    part: Annotated[str, typer.Option(help="all, or a part of the data's own split: train, validation, test.")] = "all",
    metric: Annotated[
        str | None, typer.Option(help="The metric for comparing models (default: that of the first model).")
    ] = None,
    no_labels: Annotated[
        bool, typer.Option("--no-labels", help="The images have no labels: their folders are not classes.")
    ] = False,
    out: Out = OUT,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Evaluate a saved model on new images.

    Images used for training or model selection, and those of unknown classes, are left out and listed. Without labels,
    reports drift and estimates the accuracy.

    Example: headstart evaluate headstart-runs/demo next-season/ --against old.safetensors
    """
    from headstart.cli.evaluate import evaluate_and_show

    evaluate_and_show(
        model,
        data,
        against or [],
        label=label,
        corrections=corrections,
        part=part,
        metric=metric,
        device=device,
        out=out,
        no_labels=no_labels,
        as_json=json,
    )


def update(
    study: Annotated[Path, typer.Argument(help="The folder of a finished study.")],
    data: Annotated[str, typer.Argument(help="Labelled images: the new ones, or all of them.")],
    label: Label = None,
    refit: Refit = None,
    out: Out = OUT,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Retrain a study's model with more images, and compare the two.

    Both are scored on the same test images. The previous study is not changed; only new images are processed.

    Example: headstart update headstart-runs/demo more-photos/
    """
    from headstart.cli.update import update_and_show

    update_and_show(study, data, label=label, refit=refit, device=device, out=out, as_json=json)


def serve(
    model: Model,
    port: Annotated[int, typer.Option(help="The port to listen on; 0 takes a free one.")] = 8000,
    host: Annotated[
        str, typer.Option(help="The address to listen on; any address other than localhost requires a key.")
    ] = "127.0.0.1",
    api_key: Annotated[
        str | None, typer.Option(help="A key that clients must send; better given as $HEADSTART_API_KEY.")
    ] = None,
    queue: Annotated[
        int, typer.Option(min=1, help="Maximum number of queued images; further requests get status 503.")
    ] = 256,
    batch: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Maximum batch size (default: 4 per core, at most 32; on a GPU, 32).",
        ),
    ] = None,
    megabytes: Annotated[int, typer.Option(min=1, help="Maximum request size in MiB.")] = 64,
    level: Level = 0.95,
    at_least: Annotated[
        float | None, typer.Option(help="Withhold answers that are not certain enough for this accuracy.")
    ] = None,
    device: Device = "cpu",
) -> None:
    """Serve a model over HTTP, with a page for trying it out.

    Example: headstart serve headstart-runs/demo --port 8000
    """
    from headstart.cli.serve import serve_model
    from headstart.evaluate.uncertainty.answers import AnswerOptions

    serve_model(
        model,
        host,
        port,
        device=device,
        key=api_key,
        queue=queue,
        batch=batch,
        megabytes=megabytes,
        asked=AnswerOptions(level=level, at_least=at_least),
    )


def export(
    model: Model,
    to: Annotated[str, typer.Option(help="onnx, torch, server, huggingface or page; several, separated by commas.")] = (
        "onnx"
    ),
    int8: Annotated[bool, typer.Option("--int8", help="Write int8 ONNX graphs; needs the study's images.")] = False,
    margin: Annotated[
        float, typer.Option(help="Maximum loss of validation accuracy from int8, in percentage points.")
    ] = MARGIN,
    images: Annotated[
        Path | None, typer.Option(help="A folder of images to verify the files on (default: the study's test images).")
    ] = None,
    check: Annotated[int | None, typer.Option(help="Number of images to verify on (default: all).")] = None,
    runtime: Annotated[
        Path | None, typer.Option(help="File of the npm package onnxruntime-web, for the page (default: downloaded).")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Output folder.")] = Path(EXPORTS),
    json: Json = False,
) -> None:
    """Export a model and verify the files against the original.

    Example: headstart export headstart-runs/demo --to onnx,server
    """
    from headstart.cli.export import export_and_show

    export_and_show(model, to, out, int8=int8, margin=margin, images=images, check=check, runtime=runtime, as_json=json)
