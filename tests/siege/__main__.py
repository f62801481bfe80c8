"""The long form: `python -m tests.siege NAME --count 1000 --seed 0 --minutes 30`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from tests.siege import (
    archives,
    bundles,
    clients,
    corruption,
    crowds,
    ends,
    images,
    kills,
    labels,
    limits,
    manifests,
    moves,
    pages,
    signals,
    specs,
    weights,
)
from tests.siege.siege import Attack, Prepare, besiege
from tests.siege.turns import Aim, strokes_in

CORRUPTION: dict[str, Callable[..., Attack]] = {
    "corruption": corruption.prepare,
    "corruption-audit": corruption.prepare_audit,
    "corruption-episodes": corruption.prepare_episodes,
    "corruption-wide": corruption.prepare_wide,
}
SIEGES: dict[str, Prepare] = {
    "archives": archives.prepare,
    "bundles": bundles.prepare,
    "clients": clients.prepare,
    **CORRUPTION,
    "crowds": crowds.prepare,
    "ends": ends.prepare,
    "images": images.prepare,
    "kills": kills.prepare,
    "labels": labels.prepare,
    "limits": limits.prepare,
    "manifests": manifests.prepare,
    "moves": moves.prepare,
    "pages": pages.prepare,
    "signals": signals.prepare,
    "specs": specs.prepare,
    "weights": weights.prepare,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one siege, print how its attempts ended, and return how many failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.siege", description=__doc__)
    parser.add_argument("name", choices=sorted(SIEGES))
    parser.add_argument("--count", type=int, default=200, help="attempts (default 200)")
    parser.add_argument("--seed", type=int, default=0, help="of the first attempt; each next one adds 1 (default 0)")
    parser.add_argument("--minutes", type=float, help="begin no attempt after this many minutes")
    parser.add_argument("--journal", type=Path, help="a file of the attempts; with the same file again, it continues")
    parser.add_argument(
        "--lacking",
        type=int,
        metavar="TURNS",
        help="of corruption: only kinds of file take turns that had fewer than this in --journal and --counted",
    )
    parser.add_argument("--counted", type=Path, nargs="+", default=[], help="journals of earlier sieges of corruption")
    parser.add_argument("--scratch", type=Path, help="an empty folder to work in (default: a temporary one)")
    asked = parser.parse_args(arguments)
    prepare = SIEGES[asked.name]
    if asked.lacking is not None:
        if asked.name not in CORRUPTION:
            parser.error(f"--lacking is of {', '.join(CORRUPTION)}")
        journals = {path.resolve() for path in (*asked.counted, asked.journal) if path is not None}
        prepare = partial(CORRUPTION[asked.name], aim=Aim(asked.lacking, strokes_in(journals)))
    with tempfile.TemporaryDirectory(prefix=f"siege-{asked.name}-") as temporary:
        outcome = besiege(
            prepare,
            asked.scratch or Path(temporary),
            range(asked.seed, asked.seed + asked.count),
            limit=None if asked.minutes is None else asked.minutes * 60,
            told=lambda seed, why: print(f"seed {seed}: {why}", flush=True),
            journal=asked.journal,
        )
    ended = ", ".join(f"{count} {how}" for how, count in sorted(outcome.ended.items()))
    print(
        f"{asked.name}: {outcome.attempts} attempts in {outcome.seconds:.0f} s: {ended or 'none ended well'};"
        f" {len(outcome.failures)} failed"
    )
    return len(outcome.failures)


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
