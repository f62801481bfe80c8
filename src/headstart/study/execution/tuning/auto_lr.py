"""`lr: auto`: a learning rate from a range test on training batches, cached; its curve is in the run's history."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from headstart.storage.store import content_key
from headstart.study.execution.tuning.trial import TrialContext, Values
from headstart.study.spec.settings import LR, rate_is_found
from headstart.transfer.finetune.job import TuneJob

KIND = "ranges"


def with_rate(context: TrialContext, values: Values, make_job: Callable[[Path], TuneJob]) -> Values:
    """Return the configuration with a learning rate, from a range test if the run says `lr: auto`.

    Args:
        context: the task.
        values: the configuration.
        make_job: makes its training, given a folder; only its training rows are used.
    """
    if not rate_is_found(context.task.run.spec) or LR in values:
        return values
    from headstart.transfer.finetune.lr_range_test import range_test

    store, key = context.resources.store, _key(context, values)
    with store.building(KIND, key) as entry:
        if entry is not None:
            with tempfile.TemporaryDirectory() as place:
                entry.manifest.update(asdict(range_test(make_job(Path(place)))))
    return {**values, LR: float(store.manifest(KIND, key)["lr"])}


def with_curve(context: TrialContext, values: Values, history: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the history with the curve of the range test, if there was one, in its first row."""
    rows = [dict(row) for row in history]
    if rows and rate_is_found(context.task.run.spec):
        facts = context.resources.store.manifest(KIND, _key(context, values))
        rows[0]["lr_range"] = {name: facts[name] for name in ("lr", "rule", "rates", "losses")}
    return rows


def _key(context: TrialContext, values: Values) -> str:
    rest = sorted((".".join(path), value) for path, value in values.items() if path != LR)
    return content_key(["range", 1, context.task.key, rest, len(context.split.train)])
