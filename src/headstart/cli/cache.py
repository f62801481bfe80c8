"""`headstart cache`: where shared work is kept, how large it is, and deleting what is old."""

from __future__ import annotations

import json
import time

from headstart.cli.tables import show_table, size_in_words
from headstart.errors import SpecError


def show_cache(prune: str | None, *, as_json: bool) -> None:
    """Print what the cache holds, after deleting what was asked."""
    from headstart.storage.opening import default_store

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
    table = [
        [kind, str(v["entries"]), size_in_words(v["bytes"]), str(v["unfinished"])] for kind, v in sorted(kinds.items())
    ]
    if table:
        oldest = min(row["used"] for row in rows)
        show_table(("kind", "entries", "size", "unfinished"), table)
        print(f"used longest ago: {time.strftime('%Y-%m-%d', time.localtime(oldest))}")
    else:
        print("empty")
    if prune is not None:
        print(f"freed {size_in_words(freed)}")


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
