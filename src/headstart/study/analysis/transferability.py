"""Compares transferability scores with what was measured, by the study's metric."""

from __future__ import annotations

from typing import Any

import numpy as np

from headstart.data.dataset import Dataset
from headstart.errors import DataError
from headstart.evaluate.metrics.scoring import merit
from headstart.progress import Ticker, progress
from headstart.study.analysis.finished import Network, finished_key, learning_rows, networks
from headstart.study.execution.session import Session
from headstart.study.results.facts import known_facts, write_facts


def score_transferability(session: Session) -> None:
    """Write transferability.json: scores of the training rows beside what the study's metric measured on test."""
    from headstart.evaluate.transferability import rank_agreement

    metric = session.plan.study.spec.compare.metric
    path, key = session.folder.root / "transferability.json", finished_key(session, metric)
    if known_facts(path, key) is not None:
        return
    data = session.resources.dataset(session.plan.own_tasks[0].run.data)
    found = networks(session, data)
    if data.multi_label or len(found) < 2:
        return
    with progress("transferability scores", len(found), "networks") as ticker:
        rows = [row for each in found if (row := _predicted(session, data, each, ticker)) is not None]
    if len(rows) < 2:
        return
    left_out = {name: reason for row in rows for name, reason in row.pop("left_out").items()}
    measured_by = {row["network"]: merit(row["measured"], metric) for row in rows}
    tau: dict[str, float | None] = {}
    for name in dict.fromkeys(key for row in rows for key in row if key not in ("network", "measured")):
        try:
            predicted = {row["network"]: row[name] for row in rows if name in row}
            tau[name] = rank_agreement(predicted, measured_by).weighted_tau
        except DataError:  # all values are equal, or a network lacks it: there is no order to compare
            tau[name] = None
    write_facts(path, {"key": key, "metric": metric, "rows": rows, "weighted_tau": tau, "left_out": left_out})


def _predicted(session: Session, data: Dataset, network: Network, ticker: Ticker) -> dict[str, Any] | None:
    """Return the scores of one network's features and its best measured score; None if nothing was measured.

    The row also has `left_out`: the reason for each missing score.
    """
    from headstart.evaluate.transferability import transferability

    label, task, members = network
    ticker.advance()
    metric = session.plan.study.spec.compare.metric
    scores = (session.folder.score(member.run.name, member.seed, "test", metric) for member in members)
    measured = [score for score in scores if score is not None]
    if not measured:
        return None
    train = learning_rows(session, task)
    features = np.asarray(session.resources.features(task.run.data, task.run.network, task.seed)[train]).reshape(
        len(train), -1
    )
    found = transferability(features, data.labels[train])
    left_out = {name: reason for name, reason in found.left_out.items() if name != "leep"}  # studies do not offer it
    return {
        "network": label,
        **found.values,
        "measured": float(max(measured, key=lambda score: merit(score, metric))),
        "left_out": left_out,
    }
