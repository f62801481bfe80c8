"""What `datasets` and `backbones` print."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from headstart.cli.tables import cell, show_facts, show_table
from headstart.errors import SpecError, unknown_name


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
    print("\ndetails: headstart datasets NAME;  your own images: the path of a folder, manifest or archive")


def show_backbones(name: str | None, *, as_json: bool) -> None:
    """Print the known backbones, or the stages of one."""
    from headstart.models.describe import describe, list_backbones

    if name is None:
        names = list_backbones()
        if as_json:
            print(json.dumps(names))
        else:
            from headstart.models.create import ALIASES

            show_table(("short name", "architecture"), [[alias, target] for alias, target in sorted(ALIASES.items())])
            print(f"\n{len(names)} in all (--json lists them); details: headstart backbones NAME")
        return
    found = describe(name)
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
        return
    _show_stages(found)


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
    print(f"\ninput {found['input_size']} px; weights: {', '.join(found['weights']) or 'none known'}")
