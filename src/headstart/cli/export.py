"""What `export` prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.cli.outputs import check_writable
from headstart.cli.tables import show_line, show_table
from headstart.deploy.export.defaults import check_options
from headstart.disclosure import show
from headstart.units import duration, size

if TYPE_CHECKING:
    from headstart.deploy.export.checking import Check
    from headstart.deploy.export.export import Exported


def export_and_show(
    model: Path,
    to: str,
    out: Path,
    *,
    int8: bool,
    margin: float,
    images: Path | None,
    check: int | None,
    runtime: Path | None,
    as_json: bool,
) -> None:
    """Export a model; print how each file compares with the original.

    Raises:
        HeadstartError: the model cannot be exported so.
    """
    targets = [name.strip() for name in to.split(",") if name.strip()]
    check_options(targets, margin, check)
    check_writable(out)
    from headstart.deploy.export.checking import TIMES
    from headstart.saved_models import export

    done = export(model, targets, out, int8=int8, margin=margin, images=images, check=check, runtime=runtime)
    if as_json:
        rows = [
            {
                "target": each.target,
                "folder": str(each.folder),
                "checks": [found.to_dict() for found in each.checks],
                "notes": list(each.notes),
            }
            for each in done
        ]
        show(json.dumps(rows, ensure_ascii=False))
        return
    checks = [found for each in done for found in each.checks]
    wrong, far = max(found.labels_differ for found in checks), max(found.largest_difference for found in checks)
    labels = f"At most {wrong:,} label{'s differ' if wrong > 1 else ' differs'}" if wrong else "No label differs"
    show_line(f"{labels} from the original's in any file; the probabilities differ by {far:.1e} at most.")
    heads = ("folder", "file", "labels that differ", "largest difference", "time per picture", "size")
    show_table(heads, [_row(each, found) for each in done for found in each.checks])
    first = done[0].checks[0]
    show_line(f"Checked on {first.pictures}: the original and each file, in separate processes.")
    show_line(f"The original took {duration(first.milliseconds_original / 1000)} per picture. {TIMES}")
    for note in dict.fromkeys(note for each in done for note in each.notes):
        show_line(note)
    for each in done:
        show(f"written: {each.folder}")


def _row(each: Exported, found: Check) -> tuple[str, ...]:
    return (
        each.folder.name,
        found.form,
        f"{found.labels_differ} of {found.n:,}",
        f"{found.largest_difference:.1e}",
        found.took,
        size(found.bytes),
    )
