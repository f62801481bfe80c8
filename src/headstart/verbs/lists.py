"""What `datasets`, `backbones` and `cache` print."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from headstart.errors import SpecError, unknown_name


def show_datasets(name: str | None, *, as_json: bool) -> None:
    """Print the known datasets, or one.

    Raises:
        SpecError: no dataset of that name.
    """
    from dataclasses import asdict

    from headstart.data.catalogue import DATASETS

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
    table = [[key, *(_cell(row.get(column)) for column in columns)] for key, row in rows.items()]
    _table(("name", *columns), table)
    print("\nmore on one: headstart datasets NAME;  your own: a folder, manifest or archive by its path")


def show_backbones(name: str | None, *, as_json: bool) -> None:
    """Print the known backbones, or the stages of one."""
    from headstart.models.describe import describe, list_backbones

    if name is None:
        names = list_backbones()
        if as_json:
            print(json.dumps(names))
        else:
            from headstart.models.create import ALIASES

            _table(("short name", "architecture"), [[alias, target] for alias, target in sorted(ALIASES.items())])
            print(f"\n{len(names)} in all (--json lists them); one in full: headstart backbones NAME")
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
    _table(columns, [*rows, total])
    print(f"\ninput {found['input_size']} px; weights: {', '.join(found['weights']) or 'none known'}")


def show_cache(prune: str | None, *, as_json: bool) -> None:
    """Print what the cache holds, after deleting what was asked."""
    from headstart.store import default_store

    store = default_store()
    freed = 0
    if prune is not None:
        freed = store.prune(parse_size(prune))
    rows = store.entries()
    kinds: dict[str, dict[str, int]] = {}
    for row in rows:
        kind = kinds.setdefault(row["kind"], {"entries": 0, "bytes": 0, "unfinished": 0})
        kind["entries"] += 1
        kind["bytes"] += row["bytes"]
        kind["unfinished"] += not row["complete"]
    if as_json:
        print(json.dumps({"place": str(store.root), "kinds": kinds, "freed": freed}))
        return
    print(f"{store.root}   (another place: set HEADSTART_CACHE)")
    table = [[kind, str(v["entries"]), _bytes(v["bytes"]), str(v["unfinished"])] for kind, v in sorted(kinds.items())]
    if table:
        oldest = min(row["used"] for row in rows)
        _table(("kind", "entries", "size", "unfinished"), table)
        print(f"used longest ago: {time.strftime('%Y-%m-%d', time.localtime(oldest))}")
    else:
        print("empty")
    if prune is not None:
        print(f"freed {_bytes(freed)}")


def parse_size(text: str) -> int:
    """Return a number of bytes from "5GB", "300 MB" or "0".

    Raises:
        SpecError: it is no size.
    """
    units = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
    number = text.strip().upper().rstrip("KMGTB ")
    unit = text.strip().upper()[len(number) :].strip()
    try:
        return int(float(number) * units[unit])
    except (ValueError, KeyError):
        raise SpecError(f"{text!r} is no size; write 5GB, 300MB or 0") from None


def show_facts(facts: Mapping[str, Any]) -> None:
    """Print names and values in two columns."""
    width = max(len(key) for key in facts)
    for key, value in facts.items():
        print(f"{key:<{width}}  {_cell(value)}")


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _bytes(count: float) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, box=None)
    for row in rows:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 140).print(table)
