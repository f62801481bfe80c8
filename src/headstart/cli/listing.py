"""What `datasets` and `backbones` print."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from headstart.cli.tables import cell, show_facts, show_line, show_table
from headstart.errors import SpecError, unknown_name

if TYPE_CHECKING:
    from headstart.models.line_ups.table import Figure


def show_datasets(name: str | None, *, as_json: bool) -> None:
    """Print the known datasets, or one in detail.

    Raises:
        SpecError: the name is unknown.
    """
    from dataclasses import asdict

    from headstart.data.sources.catalogue import DATASETS

    rows = {key: asdict(info) for key, info in sorted(DATASETS.items())}
    if name is not None:
        if name not in rows:
            raise SpecError(unknown_name("dataset", name, rows, limit=60))
        rows = {name: rows[name]}
    if as_json:
        print(json.dumps(rows, ensure_ascii=False))
        return
    if name is not None:
        show_facts({"name": name, **rows[name]})
        return
    columns = ("images", "classes", "size", "licence")
    table = [[key, *(cell(row.get(column)) for column in columns)] for key, row in rows.items()]
    show_table(("name", *columns), table)
    print()
    show_line("details: headstart datasets NAME;  your own images: the path of a folder, manifest or archive")


def show_backbones(name: str | None, *, as_json: bool) -> None:
    """Print the networks that line-ups choose from and the short names, or the stages of one network."""
    from headstart.models.describe import describe, list_backbones

    if name is None:
        names = list_backbones()
        if as_json:
            print(json.dumps(names))
            return
        from headstart.models.create import ALIASES

        show_line_ups()
        print()
        show_table(("short name", "architecture"), [[alias, target] for alias, target in sorted(ALIASES.items())])
        print()
        show_line(f"{len(names)} in all (--json lists them); details: headstart backbones NAME")
        return
    found = describe(name)
    published = _published(name)
    if as_json:
        print(json.dumps({**found, "published": published}, ensure_ascii=False))
        return
    _show_stages(found)
    if published is not None:
        _show_published(published)


def show_line_ups() -> None:
    """Print the table of the line-ups, the best expected first; the speed of what is here is measured once."""
    from headstart.models.line_ups.at_hand import disk_bytes, place_of
    from headstart.models.line_ups.table import CANDIDATES, EMBEDDED, SPECIAL
    from headstart.progress import progress
    from headstart.study.planning.networks import seconds_per_image
    from headstart.units import count, size

    listed = (*CANDIDATES, *SPECIAL)
    here = {each.name for each in listed if place_of(each) is not None}
    speeds: dict[str, str] = {}
    with progress("speed of the available networks", len(here), "networks") as ticker:
        for each in (each for each in listed if each.name in here):
            speeds[each.name] = f"{1 / seconds_per_image(each):,.0f}"
            ticker.advance()
    columns = (
        "network",
        "line-ups",
        "parameters",
        "multiply-adds",
        "px",
        "published",
        "licence",
        "available",
        "images/s",
    )
    rows = []
    for each in listed:
        figure = _figure(each.figures)
        place = "installed" if EMBEDDED in each.line_ups or each in SPECIAL else "cached"
        where = f"{place if each.name in here else 'no'}, {size(disk_bytes(each))}"
        licence = each.licence
        shown = licence.name if licence.status == "open" else f"{licence.name} ({licence.status})"
        sizes = [count(each.parameters), count(each.macs), str(each.size)]
        fixed = ", ".join(each.line_ups) or "-"
        rows.append([each.name, fixed, *sizes, figure, shown, where, speeds.get(each.name, "-")])
    show_table(columns, rows, drop=("multiply-adds", "parameters", "line-ups", "images/s", "px"))
    show_line("published: top-1 accuracy in % on ImageNet-1k (ReaL: corrected labels); linear: a linear probe")


def _figure(figures: Sequence[Figure]) -> str:
    if not figures:
        return "-"
    first = figures[0]
    how = first.how.removesuffix(" probe")
    return f"{first.value} {how}{'' if first.data == 'ImageNet-1k' else ', ' + first.data.rpartition('-')[2]}"


def _published(name: str) -> dict[str, Any] | None:
    """Return what the table of the line-ups says about a network; None if it is not in there."""
    from dataclasses import asdict

    from headstart.models.line_ups.table import BY_NAME

    known = BY_NAME.get(name)
    return None if known is None else {**asdict(known), "licence": asdict(known.licence)}


def _show_published(published: Mapping[str, Any]) -> None:
    licence = published["licence"]
    show_line(f"in line-ups with weights {published['weights']}, trained on {published['source_data']}")
    show_line(f"licence: {licence['name']}, {licence['status']} ({licence['source']})")
    for each in published["figures"]:
        show_line(f"published: {each['value']} % {each['how']} on {each['data']} ({each['source']})")


def _show_stages(found: Mapping[str, Any]) -> None:
    columns = ("stage", "output", "parameters", "multiply-adds")
    rows = [
        [row["stage"], " × ".join(map(str, row["output"])), f"{row['parameters']:,}", f"{row['macs'] / 1e6:,.1f} M"]
        for row in found["stages"]
    ]
    total = [
        "all",
        "",
        f"{sum(row['parameters'] for row in found['stages']):,}",
        f"{sum(row['macs'] for row in found['stages']) / 1e6:,.1f} M",
    ]
    show_table(columns, [*rows, total])
    print()
    show_line(f"input {found['input_size']} px; weights: {', '.join(found['weights']) or 'none known'}")
