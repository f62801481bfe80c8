"""What `audit` does and prints."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headstart.cli.command_line import typed_command
from headstart.cli.outputs import check_writable
from headstart.cli.tables import show_line
from headstart.disclosure import show, typed
from headstart.report.numbers import counted


def audit_and_show(
    data: str,
    others: Sequence[str],
    backbone: str,
    settings: Mapping[str, Any],
    *,
    out: Path,
    as_json: bool,
) -> None:
    """Audit a dataset, compare it with others if there are any, write it as JSON and as a page, print the findings.

    Args:
        data, others, backbone: as `audit_images` takes them.
        settings: the others that it takes: label, corrections, bands, show, device.
        out: the folder to write to.
        as_json: print JSON in place of the findings.

    Raises:
        SpecError: `out` is a file or cannot be written, or the device is unknown.
        DataError: a dataset is unreadable.
    """
    from headstart.audit.findings import problems
    from headstart.cli.overview import said_overview
    from headstart.labelled_images import audit_images
    from headstart.report.render.notebook.data import audit_html
    from headstart.report.render.standalone import write_standalone
    from headstart.storage.files import write_atomic
    from headstart.study.results.folder import json_bytes

    check_writable(out)
    audit = audit_images(data, others, backbone=backbone, listener=said_overview(), **settings)
    place = _place(out, audit)
    write_atomic(place, json_bytes(audit))
    page = write_standalone(place.with_suffix(".html"), f"Audit of {audit['name']}", audit_html(audit), typed_command())
    if as_json:
        said = {key: value for key, value in audit.items() if key != "thumbnails"}
        print(json.dumps({**said, "problems": problems(audit)}, default=str))
        return
    show_line(_answer(audit))
    for finding in audit["findings"]:
        show_line(finding["text"])
    for note in audit["notes"]:
        show_line(f"note: {note}")
    for name, title in (("near", "near duplicates"), ("label_errors", "labels that look wrong")):
        rows = audit[name][:5]
        if rows:
            show(f"\n{title} (first {len(rows)} of {len(audit[name])}):")
        for row in rows:
            show_line(f"  {_line(row)}")
    show(f"\nwith pictures: {page}\nfull audit:    {place}")
    if (audit["exact"] or audit["near"] or audit["label_errors"]) and not (others or _is_read_otherwise(settings)):
        show(f"to decide:     headstart review {typed([data])}")


def _answer(audit: Mapping[str, Any]) -> str:
    """Return in a sentence how many problems and notices there are."""
    levels = Counter(finding["level"] for finding in audit["findings"])
    found = [counted(levels["problem"], "problem")] if levels["problem"] else []
    found += [counted(levels["notice"], "notice")] if levels["notice"] else []
    images = f"{counted(audit['n'], 'image')} of {audit['name']}"
    return f"{' and '.join(found)} in {images}:" if found else f"Nothing to correct was found in {images}:"


def _is_read_otherwise(settings: Mapping[str, Any]) -> bool:
    """Return whether options decide what is read; the command that is shown has none of them."""
    return any(settings.get(key) is not None for key in ("label", "corrections", "bands", "show"))


def _place(out: Path, audit: Mapping[str, Any]) -> Path:
    """Return the file of an audit; one of other images under the same name is kept."""
    from headstart.storage.files import read_json
    from headstart.storage.names import folder_name

    place = out / f"audit-{folder_name(audit['name'])}.json"
    if place.is_file() and read_json(place).get("fingerprint") != audit["fingerprint"]:
        named = folder_name(f"{audit['name']}-{audit['fingerprint'][:6]}")
        return out / f"audit-{named}.json"
    return place


def _line(row: dict[str, Any]) -> str:
    if "a" in row and "b" in row:
        return f"{row['a']['name']} ~ {row['b']['name']}"
    return f"{row['name']}: labelled {row['label']}, looks like {row['suggested']}"
