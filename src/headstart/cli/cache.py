"""What `cache` does and prints."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping

from headstart.cli.tables import show_line, show_table
from headstart.disclosure import show
from headstart.errors import SpecError
from headstart.units import parse_size, size


def show_cache(prune: str | None, *, verify: bool = False, as_json: bool) -> None:
    """Check or prune the cache if asked, and print its content."""
    from headstart.storage.opening import default_store

    store = default_store()
    freed = 0
    checked = list(store.verify()) if verify else []
    damaged = [f"{each.kind}/{each.key}" for each in checked if each.why is not None]
    deleted = [f"{each.kind}/{each.key}" for each in checked if each.deleted]
    if prune is not None:
        freed = store.prune(_bytes(prune))
        store.clear()
    rows = store.entries()
    kinds: dict[str, dict[str, int]] = {}
    for row in rows:
        kind = kinds.setdefault(row["kind"], {"entries": 0, "bytes": 0, "unfinished": 0})
        kind["entries"] += 1
        kind["bytes"] += row["bytes"]
        kind["unfinished"] += not row["complete"]
    if as_json:
        said = {"place": str(store.root), "kinds": kinds, "freed": freed}
        show(json.dumps(said | ({"checked": len(checked), "damaged": damaged, "deleted": deleted} if verify else {})))
        return
    show_line(_answer(kinds))
    show(f"{store.root}   (set HEADSTART_CACHE to move it)")
    table = [[kind, str(v["entries"]), size(v["bytes"]), str(v["unfinished"])] for kind, v in sorted(kinds.items())]
    if table:
        oldest = min(row["used"] for row in rows)
        show_table(("kind", "entries", "size", "unfinished"), table)
        show(f"least recently used: {time.strftime('%Y-%m-%d', time.localtime(oldest))}")
    if verify:
        done = "" if not damaged else " and deleted" if deleted == damaged else f", {len(deleted):,} deleted"
        show(f"checked {len(checked):,} entries: {len(damaged):,} damaged{done}")
    if prune is not None:
        show(f"freed {size(freed)}")


def _answer(kinds: Mapping[str, Mapping[str, int]]) -> str:
    """Return in a sentence how much the cache holds, and how to free it."""
    if not kinds:
        return "The cache is empty."
    entries = sum(kind["entries"] for kind in kinds.values())
    held = size(sum(kind["bytes"] for kind in kinds.values()))
    return (
        f"The cache holds {held} in {entries:,} {'entry' if entries == 1 else 'entries'}, all of which can be computed"
        " again. To free it: headstart cache --prune 5GB keeps the 5 GB used most recently, --prune 0 deletes"
        " everything."
    )


def _bytes(text: str) -> int:
    try:
        return parse_size(text)
    except ValueError as error:
        raise SpecError(f"--prune: {error}") from None
