"""What `report` does and prints."""

from __future__ import annotations

from pathlib import Path

from headstart.cli.outputs import check_file
from headstart.disclosure import show


def report_and_show(study: Path, format: str, out: Path | None) -> None:
    """Write a study's report in one format and print its path; nothing is trained.

    Raises:
        SpecError: `out` is a folder.
        StoreError: this is not a study folder, or one of its files is missing or altered.
    """
    from headstart.report.render.formats import write_report

    if out is not None:
        check_file(out)
    show(str(write_report(study, format, out)))
