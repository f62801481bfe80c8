"""What `update` does and prints."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from headstart.cli.command_line import typed_command
from headstart.cli.evaluate import plain, show_evaluation
from headstart.cli.outputs import check_writable
from headstart.cli.tables import show_line
from headstart.disclosure import show, typed, wrapped
from headstart.models.refitted import words


def update_and_show(
    study: Path, data: str, *, label: str | None, refit: str | None, device: str, out: Path, as_json: bool
) -> None:
    """Retrain a study's kept model with more images; print what was new and how the two models compare.

    Raises:
        DataError, StoreError: as `headstart.update_study` raises them.
    """
    from headstart.report.render.evaluation_words import updated_words
    from headstart.report.render.live import LiveStudy
    from headstart.saved_models import update_study

    check_writable(out)
    done = update_study(
        study, data, out, label=label, refit=refit, device=device, listener=LiveStudy(), command=typed_command()
    )
    if as_json:
        compared = None if done.evaluation is None else plain(done.evaluation)
        facts: dict[str, Any] = {
            "folder": str(done.results.folder),
            "model": str(done.results.model),
            "new": dict(done.new),
        }
        facts["refitted"] = done.results.refitted
        print(json.dumps({**facts, "notes": list(done.notes), "evaluation": compared}, ensure_ascii=False))
        return
    show_line(
        "The models are not compared: the updated one knows classes that the previous one does not."
        if done.evaluation is None
        else updated_words(done.evaluation)
    )
    show(f"new images: {done.new['train']:,} to learn from, {done.new['test']:,} to test on")
    for note in done.notes:
        show_line(f"note: {note}")
    if done.evaluation is not None:
        show_evaluation(done.evaluation, updated=True)
    show(f"model:   {done.results.model}")
    if done.results.refitted is not None:
        show(wrapped(f"         {words(done.results.refitted)}", sys.stdout))
    show(f"before:  {study} (unchanged)")
    show(f"use it:  headstart predict {typed([str(done.results.folder)])} YOUR-PHOTO.jpg")
