"""What `demo`, `run`, `compare` and `plan` do and print."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headstart.cli.command_line import typed_command
from headstart.cli.outputs import check_folder
from headstart.disclosure import page, show, typed, wrapped


def run_and_show(
    study: Path | Mapping[str, Any],
    out: Path,
    device: str,
    *,
    overrides: Sequence[str] = (),
    smoke: bool = False,
    as_json: bool = False,
    demo: bool = False,
    strict: bool = False,
    how: Mapping[str, Any] | None = None,
) -> None:
    """Run a study with a live table; print its ranking, the path of its report and the next command.

    Args:
        study, out, device, overrides, smoke, strict: as `headstart.api.Study` takes them.
        as_json: print JSON instead.
        demo: suggest what to try next.
        how: where the work is done, as `Study.run` takes it: workers, on, store.

    Raises:
        SystemExit: with status 1, at the end, if a run failed.
    """
    from headstart.api import Study
    from headstart.report.render.live import LiveStudy

    check_folder(out)
    chosen = Study(study, overrides, smoke=smoke)
    listener = LiveStudy(metric=chosen.study.spec.compare.metric)
    results = chosen.run(out, device=device, listener=listener, command=typed_command(), strict=strict, **(how or {}))
    if as_json:
        said = results.to_dict()
        print(json.dumps(said))
        sys.exit(1 if said["failed"] else 0)
    failed = results.failed()
    show_ranking(results.folder)
    show(f"\nreport:  {results.report}")
    if results.model.is_file():
        show(f"model:   {results.model}")
        show(wrapped(f"         {results.kept}", sys.stdout))
        show(f"use it:  headstart predict {typed([str(results.folder)])} YOUR-PHOTO.jpg")
    if demo:
        show("next:    headstart compare path/to/your/folder")
        show("         (a folder with one folder of images per class)")
    if failed:
        first = f"{failed[0]['run']!r}, seed {failed[0]['seed']}: {failed[0]['why']}"
        which = "1 run failed:" if len(failed) == 1 else f"{len(failed)} runs failed (each seed counts); the first:"
        show(f"headstart: {which} {first}", sys.stderr)
        sys.exit(1)


def show_plan(
    study: Path,
    out: Path,
    device: str,
    overrides: Sequence[str],
    *,
    smoke: bool,
    as_json: bool,
    strict: bool = False,
) -> None:
    """Print what a study would compute, and which runs are unavailable."""
    from headstart.api import Study

    check_folder(out)
    rows = Study(study, overrides, smoke=smoke).plan(out, device, strict=strict)
    if as_json:
        print(json.dumps(rows))
        return
    from headstart.report.render.plan_text import print_plan

    print_plan(rows)


def show_ranking(folder: Path) -> None:
    """Print the answer of a study, its leaderboard, and the problems that the audit found."""
    from rich.text import Text

    from headstart.report.read.conclusion import plain
    from headstart.report.read.summary import load_summary
    from headstart.report.render.terminal import ranking_table

    summary, console = load_summary(folder), page()
    show(wrapped(plain(summary.answer), sys.stdout, indent=""))
    table = ranking_table(summary, console.width)
    notes, table.caption = str(table.caption), None  # the notes are as wide as the terminal, however narrow the table
    console.print(table)
    for note in notes.splitlines():
        show(wrapped(note, sys.stdout, indent=""))
    if summary.problems:
        console.print(Text("\nthe audit of the images found:", style="bold"))
    for problem in summary.problems:
        show(wrapped(f"  {problem}", sys.stdout))
