"""What the model of a run costs to use: time for an image, and size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headstart.report.read.study_files import Record
from headstart.transfer.heads.catalogue import HEADS

_ON_FEATURES = ("linear_probe", *HEADS)  # strategies that leave the network as it was
_NETWORK = ("backbone", "weights", "truncate_at", "input_size", "resize")
_BYTES = 4  # of a parameter, as 32-bit float


def use_of(by_run: Mapping[str, Sequence[Record]]) -> dict[str, dict[str, float | None]]:
    """Return for each run "seconds_per_image" and "megabytes", each None where it is unknown.

    The time is that of the pass over the images in the study, decoded images at hand. An ensemble takes that of all its
    members, a network that several of them share once; a network that was trained has no such pass.
    """
    return {
        name: {"seconds_per_image": _seconds(records[0], by_run), "megabytes": _megabytes(records[0])}
        for name, records in by_run.items()
    }


def _seconds(record: Record, by_run: Mapping[str, Sequence[Record]]) -> float | None:
    members = record.spec.get("members")
    if not members:
        return _pass(record)
    passes: dict[tuple[str, ...], float | None] = {}
    for member in members:
        if member not in by_run:
            return None
        passes[_network(by_run[member][0].spec)] = _pass(by_run[member][0])
    known = [seconds for seconds in passes.values() if seconds is not None]
    return sum(known) if len(known) == len(passes) else None


def _pass(record: Record) -> float | None:
    rate = (record.result.get("cost") or {}).get("images_per_second")
    return 1 / float(rate) if rate and record.spec.get("strategy") in _ON_FEATURES else None


def _network(spec: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(spec.get(key)) for key in _NETWORK)


def _megabytes(record: Record) -> float | None:
    total = (record.result.get("parameters") or {}).get("total")
    return None if total is None else float(total) * _BYTES / 1e6
