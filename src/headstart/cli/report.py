"""`headstart report`: writes the report of a study; nothing is trained."""

from __future__ import annotations

from pathlib import Path


def report_and_show(study: Path, format: str, out: Path | None) -> None:
    """Write a study's report in one format and say where it is.

    Raises:
        StoreError: no study stands there, or one of its files is missing or altered.
    """
    from headstart.report.render.formats import write_report

    print(write_report(study, format, out))
