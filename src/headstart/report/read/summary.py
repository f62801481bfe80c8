"""A study as data: what is best, is it really better, what did it cost; computed here, drawn elsewhere."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from headstart.audit.findings import problems
from headstart.evaluate.comparison.compare import over_seeds
from headstart.evaluate.comparison.tables import seen_from
from headstart.models.refitted import NO_GUARANTEE, REFITTED, words
from headstart.report import numbers
from headstart.report.read.conclusion import Segment, findings_of, plain
from headstart.report.read.headline import headline_of
from headstart.report.read.leaderboard import Board, make_boards
from headstart.report.read.study_files import Record, StudyFiles, distinct, read_study_folder
from headstart.report.read.use import use_of

AXES = ("shots", "fraction")
QUESTION = "Which run is best, and is it really better?"  # of a study of several runs that asks none


@dataclass(frozen=True)
class RunFacts:
    """One run over its seeds.

    Args:
        run: its name.
        number: its place in the ranking, which gives it its colour everywhere.
        board: the number of the board that ranks it.
        seeds: that finished; of those that repeat one result, the first.
        spec: the resolved settings, without the seed.
        axes: the values that a list in the study file gave it (shots, fraction, …).
        metrics: test measures: name → mean, sd, low, high, seeds.
        cost: seconds, shared_seconds, images_per_second, peak_memory_bytes, device; means over seeds.
        use: what its model costs to use: seconds_per_image, as measured in the study, and megabytes.
        parameters: total and learned.
        weights: origin, sha256, licence.
        images: n_train, n_validation, n_test.
        chosen: what was chosen on validation, by seed.
        tried: every configuration tried, by seed.
        temperature: that calibrates it, by seed.
        history: training curves, by seed.
        notes: what a reader must know.
    """

    run: str
    number: int
    board: int
    seeds: tuple[int, ...]
    spec: Mapping[str, Any]
    axes: Mapping[str, Any]
    metrics: Mapping[str, Mapping[str, Any]]
    cost: Mapping[str, Any]
    use: Mapping[str, float | None]
    parameters: Mapping[str, Any]
    weights: Mapping[str, Any]
    images: Mapping[str, int]
    chosen: Mapping[int, Any] = field(default_factory=dict)
    tried: Mapping[int, Any] = field(default_factory=dict)
    temperature: Mapping[int, float] = field(default_factory=dict)
    history: Mapping[int, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failure:
    """A run that could not be finished, and why."""

    run: str
    seed: int
    why: str


@dataclass(frozen=True)
class Summary:
    """A study, ready to be drawn.

    Args:
        name, question, status, command, version, created, source, spec: of study.json.
        partial: whether runs are still expected, so that all of it is provisional.
        answer: what to use and how good it is, in at most forty words, in segments with emphasis.
        findings: all that the tests say, in sentences.
        boards: rankings, one for each set of test images.
        runs: the facts of each run.
        failed: runs that could not be finished.
        missing: runs and seeds that are still expected.
        environment: versions and hardware; where runs differ, each value once.
        datasets: fingerprint → dataset.json.
        transferability: the predictions from the features, or None.
        files: what it was computed from.
    """

    name: str
    question: str
    status: str
    partial: bool
    answer: tuple[Segment, ...]
    findings: tuple[Segment, ...]
    boards: tuple[Board, ...]
    runs: tuple[RunFacts, ...]
    failed: tuple[Failure, ...]
    missing: tuple[tuple[str, int], ...]
    environment: Mapping[str, Any]
    datasets: Mapping[str, Mapping[str, Any]]
    transferability: Any
    command: str
    version: str
    created: str
    source: str
    spec: Mapping[str, Any]
    files: StudyFiles

    @property
    def left_out(self) -> list[dict[str, Any]]:
        """What was not run: "run", "seed" and "why" (over budget, or dropped by successive halving)."""
        return list(self.files.facts.get("left_out") or ())

    @property
    def halving(self) -> Mapping[str, Any] | None:
        """The rungs of successive halving, or None."""
        found: Mapping[str, Any] | None = self.files.facts.get("halving")
        return found

    @property
    def proxy(self) -> Mapping[str, Any] | None:
        """What a proxy pass said about the networks before a budget was spent, or None."""
        found: Mapping[str, Any] | None = self.files.facts.get("proxy")
        return found

    @property
    def problems(self) -> list[str]:
        """What the audit of the images found that a person must know, the worst first."""
        used = list(dict.fromkeys(record.data for record in self.files.records))
        folders = [self.files.datasets[key] for key in used if key in self.files.datasets]
        many = len(folders) > 1
        return [
            f"{folder.facts.get('name')}: {text}" if many else text
            for folder in folders
            if folder.audit is not None
            for text in problems(folder.audit)
        ]

    def run(self, name: str) -> RunFacts:
        """Return the facts of one run."""
        return next(run for run in self.runs if run.run == name)

    @property
    def headline_run(self) -> str:
        """The run that the answer is about: the chosen one, or the best; "" where none has finished."""
        return (self.boards[0].chosen or self.boards[0].runs[0]) if self.boards else ""

    def ranking(self) -> list[dict[str, Any]]:
        """Return one row per run, best first within its board: score, interval, ties, seeds, cost."""
        return [
            _ranking_row(board, number, rank, row, self.run(row["run"]))
            for number, board in enumerate(self.boards)
            for rank, row in enumerate(board.ranking, start=1)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return everything that JSON can hold: the answer, rankings, comparisons, facts of every run."""
        return {
            "name": self.name,
            "question": self.question,
            "status": self.status,
            "partial": self.partial,
            "answer": plain(self.answer),
            "findings": plain(self.findings),
            "ranking": self.ranking(),
            "boards": [{**dataclasses.asdict(board), "lettered": board.lettered} for board in self.boards],
            "runs": [dataclasses.asdict(run) for run in self.runs],
            "failed": [dataclasses.asdict(failure) for failure in self.failed],
            "missing": [{"run": run, "seed": seed} for run, seed in self.missing],
            "left_out": self.left_out,
            "problems": self.problems,
            "halving": self.halving,
            "environment": dict(self.environment),
            "datasets": {key: dict(value) for key, value in self.datasets.items()},
            "transferability": self.transferability,
            "learning": self.files.learning,
            "similarity": self.files.similarity,
            "explained": self.files.explained,
            "uncertainty": self.files.uncertainty,
            "command": self.command,
            "version": self.version,
            "created": self.created,
            "spec": self.spec,
        }


def load_summary(study: str | Path) -> Summary:
    """Read a study folder and compute what the report says; nothing is trained.

    Raises:
        StoreError: it is not a study folder, or a file is missing, altered or unreadable; the message says which.
    """
    files = read_study_folder(study)
    facts = files.facts
    boards = make_boards(files)
    by_run = _by_run(files)
    ranked = list(dict.fromkeys([*(name for board in boards for name in board.runs), *by_run]))
    use = use_of(by_run)
    runs = tuple(_run_facts(name, ranked.index(name), records, boards, use[name]) for name, records in by_run.items())
    status = str(facts.get("status", "complete"))
    partial = status != "complete" or bool(files.missing)
    costs = {run.run: total_seconds(run.cost) for run in runs}
    return Summary(
        name=str(facts.get("name", files.root.name)),
        question=str(facts.get("question") or _question(by_run)),
        status=status,
        partial=partial,
        answer=headline_of(boards, costs, partial=partial, refitted=bool(facts.get(REFITTED))),
        findings=findings_of(boards, costs, partial=partial, kept=facts.get("best"), refitted=_refitted(facts)),
        boards=boards,
        runs=runs,
        failed=tuple(Failure(r.run, r.seed, r.error) for r in files.records if r.error is not None),
        missing=files.missing,
        environment=_environment(files.records),
        datasets={key: folder.facts for key, folder in files.datasets.items()},
        transferability=files.transferability,
        command=str(facts.get("command") or ""),
        version=str(facts.get("version") or ""),
        created=str(facts.get("created") or "")[:16].replace("T", " "),
        source=str(facts.get("source") or ""),
        spec=facts.get("spec") or {},
        files=files,
    )


def _question(runs: Iterable[str]) -> str:
    names = list(runs)
    return f"How good is {names[0]}?" if len(names) == 1 else QUESTION


def _refitted(facts: Mapping[str, Any]) -> str | None:
    """Return how the saved model was refitted on all images, or why it could not be."""
    if facts.get(REFITTED):
        return f"{words(facts[REFITTED])} {NO_GUARANTEE}"
    failed = facts.get("not_refitted")
    return None if failed is None else str(failed)


def total_seconds(cost: Mapping[str, Any]) -> float | None:
    """Return what a run costs on its own: its fit and the shared work that it needs."""
    own, shared = cost.get("seconds"), cost.get("shared_seconds")
    return None if own is None else float(own) + float(shared or 0.0)


def _by_run(files: StudyFiles) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for record in files.records:
        if record.error is None:
            found.setdefault(record.run, []).append(record)
    return {run: distinct(records) for run, records in found.items()}


def _run_facts(
    name: str, number: int, records: Sequence[Record], boards: Sequence[Board], use: Mapping[str, float | None]
) -> RunFacts:
    first = records[0]
    spec = {key: value for key, value in first.spec.items() if key not in ("seed", "run", "axes")}
    axes = dict(first.spec.get("axes") or {})
    axes |= {axis: spec[axis] for axis in AXES if spec.get(axis) is not None}
    notes = [note for record in records for note in record.result.get("notes") or ()]
    return RunFacts(
        run=name,
        number=number,
        board=next((place for place, board in enumerate(boards) if name in board.runs), -1),
        seeds=tuple(record.seed for record in records),
        spec=spec,
        axes=axes,
        metrics=_metrics(records),
        cost=_cost([record.result.get("cost") or {} for record in records]),
        use=use,
        parameters=first.result.get("parameters") or {},
        weights=first.result.get("weights") or {},
        images={key: int(first.result.get(key) or 0) for key in ("n_train", "n_validation", "n_test")},
        chosen={r.seed: r.result["chosen"] for r in records if r.result.get("chosen")},
        tried={r.seed: r.result["tried"] for r in records if r.result.get("tried")},
        temperature={r.seed: float(r.result["temperature"]) for r in records if r.result.get("temperature")},
        history={r.seed: r.history for r in records if r.history},
        notes=tuple(dict.fromkeys(str(note) for note in notes)),
    )


def _metrics(records: Sequence[Record]) -> dict[str, dict[str, Any]]:
    """Return each test measure over seeds; with one seed, its interval over images."""
    tests = [(record.result.get("metrics") or {}).get("test") or {} for record in records]
    names = dict.fromkeys(name for test in tests for name, value in test.items() if _is_estimate(value))
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        estimates = [test[name] for test in tests if _is_estimate(test.get(name))]
        values = [float(estimate["value"]) for estimate in estimates if estimate["value"] is not None]
        if not values:
            continue
        spread = over_seeds(values, bounds=numbers.bounds_of(name))
        if len(values) == 1:
            spread |= {"low": estimates[0].get("low"), "high": estimates[0].get("high")}
        elif spread["low"] is not None:
            spread["low"] = max(numbers.least_of(name), spread["low"])
        found[name] = spread
    return found


def _is_estimate(value: Any) -> bool:
    return isinstance(value, Mapping) and "value" in value


def _cost(costs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in dict.fromkeys(key for cost in costs for key in cost):
        values = [cost[name] for cost in costs if cost.get(name) is not None]
        figures = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
        if figures:
            found[name] = float(np.max(figures) if name == "peak_memory_bytes" else np.mean(figures))
        elif values:
            found[name] = values[0]
    return found


def _environment(records: Sequence[Record]) -> dict[str, Any]:
    found: dict[str, list[Any]] = {}
    for record in records:
        for key, value in record.environment.items():
            if value is not None and value not in found.setdefault(key, []):
                found[key].append(value)
    return {key: values[0] if len(values) == 1 else values for key, values in found.items() if values}


def _ranking_row(board: Board, number: int, rank: int, row: Mapping[str, Any], run: RunFacts) -> dict[str, Any]:
    return {
        "rank": rank,
        **row,
        "metric": board.metric,
        "board": number,
        "folds": board.folds,
        "dataset": board.title,
        "best": rank == 1,
        "baseline": run.run == board.baseline,
        "against_baseline": _against_baseline(board, run.run),
        "seconds": run.cost.get("seconds"),
        "shared_seconds": run.cost.get("shared_seconds"),
        "total_seconds": total_seconds(run.cost),
        "seconds_per_image": run.use["seconds_per_image"],
        "megabytes": run.use["megabytes"],
        "learned": run.parameters.get("learned"),
        "parameters": run.parameters.get("total"),
        "backbone": run.spec.get("backbone"),
        "strategy": run.spec.get("strategy"),
    }


def _against_baseline(board: Board, run: str) -> dict[str, Any] | None:
    """Return a run's difference from the baseline, above zero if the run's score is higher; None for the baseline."""
    pair = next((p for p in board.against_baseline if run in (p["a"], p["b"])), None)
    if pair is None or run == board.baseline:
        return None
    difference, low, high = seen_from(run, pair)
    return {
        "difference": difference,
        "low": low,
        "high": high,
        "p_adjusted": pair["p_adjusted"],
        "significant": pair["significant"],
    }
