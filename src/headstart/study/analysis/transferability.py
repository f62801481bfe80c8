"""What transferability scores predicted, beside what was measured."""

from __future__ import annotations

from typing import Any

import numpy as np

from headstart.data.dataset import Dataset
from headstart.errors import DataError
from headstart.progress import Ticker, progress
from headstart.storage.files import read_json, write_atomic
from headstart.study.analysis.finished import Network, finished_key, learning_rows, networks
from headstart.study.execution.session import Session
from headstart.study.results.folder import json_bytes


def score_transferability(session: Session) -> None:
    """Set what transferability scores of the training rows foretold beside what was measured on test."""
    from headstart.evaluate.transferability import rank_agreement

    path, key = session.folder.root / "transferability.json", finished_key(session)
    if path.is_file() and read_json(path).get("key") == key:
        return
    data = session.resources.dataset(session.plan.own_tasks[0].run.data)
    found = networks(session, data)
    if data.multi_label or len(found) < 2:
        return
    with progress("asking the features what they score_transferability", len(found), "networks") as ticker:
        rows = [row for each in found if (row := _predicted(session, data, each, ticker)) is not None]
    if len(rows) < 2:
        return
    measured_by = {row["network"]: row["measured"] for row in rows}
    tau: dict[str, float | None] = {}
    for name in (key for key in rows[0] if key not in ("network", "measured")):
        try:
            tau[name] = rank_agreement({row["network"]: row[name] for row in rows}, measured_by).weighted_tau
        except DataError:  # all equal: there is no order to agree with
            tau[name] = None
    write_atomic(path, json_bytes({"key": key, "rows": rows, "weighted_tau": tau}))


def _predicted(session: Session, data: Dataset, network: Network, ticker: Ticker) -> dict[str, Any] | None:
    """Return the scores of one network's features and its best measured accuracy; None where nothing was measured."""
    from headstart.evaluate.transferability import transferability

    label, task, members = network
    ticker.advance()
    scores = (session.folder.accuracy(member.run.name, member.seed, "test") for member in members)
    measured = [score for score in scores if score is not None]
    if not measured:
        return None
    train = learning_rows(session, task)
    features = np.asarray(session.resources.features(task.run.data, task.run.network, task.seed)[train]).reshape(
        len(train), -1
    )
    return {"network": label, **transferability(features, data.labels[train]), "measured": float(max(measured))}
