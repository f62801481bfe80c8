"""Which runs can be compared with each other, and how they rank: one board for each set of test images."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.evaluate.comparison.compare import MARGIN, Comparison, compare_runs
from headstart.evaluate.metrics.scoring import METRICS
from headstart.report.read.cross_validation import complete_repeats, folds_of
from headstart.report.read.study_files import Outcome, Record, StudyFiles, distinct

Scores = npt.NDArray[Any]  # bool or float64 [seeds, n]


@dataclass(frozen=True)
class Board:
    """Runs that were tested on the same images (or the same kind of episodes), ranked.

    Args:
        title: the dataset, and the task where there are several.
        data: the dataset's fingerprint.
        kind: "images" or "episodes".
        metric: what they are compared by; accuracy where the study's own metric is no mean over images.
        n: test images, or episodes, of each seed.
        seeds: the most that a run has.
        runs: names, best first.
        ranking, against_best, against_baseline, pairwise, leader, safe, margin: of
            `headstart.evaluate.comparison.compare.compare_runs`. The first row of the ranking has the leader's
            interval, unless it is the run that was chosen on validation.
        baseline: the run that the others are compared with, or None.
        chosen: the run that was chosen on validation, if it is on this board.
        folds: of cross-validation, or None; then `seeds` are repeats, each of which tests every image once.
        notes: what a reader must know about the comparison.
    """

    title: str
    data: str
    kind: str
    metric: str
    n: int
    seeds: int
    runs: tuple[str, ...]
    ranking: tuple[Mapping[str, Any], ...]
    against_best: tuple[Mapping[str, Any], ...]
    against_baseline: tuple[Mapping[str, Any], ...]
    pairwise: tuple[Mapping[str, Any], ...]
    leader: Mapping[str, Any]
    safe: tuple[str, ...]
    margin: float
    baseline: str | None
    chosen: str | None
    folds: int | None
    notes: tuple[str, ...]

    @property
    def higher_is_better(self) -> bool:
        """Say which way the metric points."""
        return METRICS[self.metric].higher_is_better

    @property
    def lettered(self) -> bool:
        """Say whether letters help to distinguish the runs: none has more than three."""
        return all(len(row["letters"]) <= 3 for row in self.ranking)

    def row(self, run: str) -> Mapping[str, Any]:
        """Return the ranking row of one run."""
        return next(row for row in self.ranking if row["run"] == run)


def make_boards(files: StudyFiles) -> tuple[Board, ...]:
    """Group the finished runs by what they were tested on and rank each group; the largest group first."""
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in files.records:
        if record.error is None and (record.outcome is not None or record.episodes is not None):
            groups.setdefault(_group_of(record, files.records), []).append(record)
    compare = files.facts.get("compare") or {}
    boards = [_board(key, records, files, compare) for key, records in groups.items()]
    return tuple(sorted((board for board in boards if board is not None), key=lambda board: -len(board.runs)))


def _group_of(record: Record, records: Sequence[Record]) -> tuple[str, ...]:
    if record.episodes is not None:
        task = record.spec.get("episodes") or {}
        named = [f"{task.get('ways', '?')}-way {task.get('shots', '?')}-shot", str(len(record.episodes))]
        return ("episodes", record.data, *named)
    if (folds := folds_of(record)) is not None:
        return ("images", record.data, f"{folds} folds")
    first = next(r for r in records if r.run == record.run and r.outcome is not None and r.error is None)
    assert first.outcome is not None
    digest = hashlib.sha256(np.sort(first.outcome.rows).tobytes()).hexdigest()[:12]
    return ("images", record.data, digest)


def _board(
    key: tuple[str, ...], records: Sequence[Record], files: StudyFiles, compare: Mapping[str, Any]
) -> Board | None:
    kind, data = key[0], key[1]
    wanted = str(compare.get("metric") or "accuracy")
    metric = wanted if kind == "images" and _is_mean_over_images(wanted, records) else "accuracy"
    by_run: dict[str, dict[int, Record]] = {}
    for record in records:
        by_run.setdefault(record.run, {})[record.seed] = record
    folds = folds_of(records[0]) if kind == "images" else None
    if folds is None:
        scores, images, notes = _scores(_with_a_common_seed(by_run), metric, kind)
    else:
        scores, notes = _cross_validated(by_run, metric, folds)
        images = None
    if not scores:
        return None
    if metric != wanted and kind == "images":
        name = wanted.replace("_", " ")
        notes.append(
            f"{name} is not a mean over images, so the ranking and the tests use accuracy; choices followed it"
        )
    baseline = compare.get("baseline")
    baseline = str(baseline) if baseline in scores and len(scores) > 1 else None
    low, high = METRICS[metric].bounds
    margin = compare.get("margin")
    fixed = _deterministic(scores, by_run, images is not None)
    result = compare_runs(
        scores,
        baseline,
        images=images,
        pair_seeds=folds is not None,
        higher_is_better=METRICS[metric].higher_is_better,
        bounds=(low, high) if math.isfinite(high) else None,
        margin=MARGIN if margin is None else float(margin),
        deterministic=fixed,
    )
    chosen = (files.facts.get("best") or {}).get("run")
    chosen = str(chosen) if chosen in scores else None
    ranking, note = _ranking(result, chosen, fixed, low)
    return Board(
        title=_title(key, records, files),
        data=data,
        kind=kind,
        metric=metric,
        n=int(next(iter(scores.values())).shape[1]),
        seeds=max(len(values) for values in scores.values()),
        runs=tuple(row["run"] for row in result["ranking"]),
        ranking=ranking,
        against_best=tuple(dict(row) for row in result["against_best"]),
        against_baseline=tuple(dict(row) for row in result["against_baseline"]),
        pairwise=tuple(dict(row) for row in result["pairwise"]),
        leader=dict(result["leader"]),
        safe=tuple(result["safe"]),
        margin=result["margin"],
        baseline=baseline,
        chosen=chosen,
        folds=folds,
        notes=(*notes, *result["notes"], *note),
    )


def _title(key: tuple[str, ...], records: Sequence[Record], files: StudyFiles) -> str:
    kind, data = key[0], key[1]
    dataset = files.datasets.get(data)
    name = str(dataset.facts.get("name", data)) if dataset else str(records[0].spec["data"].get("name", data))
    return f"{name}, {key[2]}" if kind == "episodes" else name


def _is_mean_over_images(metric: str, records: Sequence[Record]) -> bool:
    return all(record.outcome is not None and metric in record.outcome.scores for record in records)


def _deterministic(
    scores: Mapping[str, Scores], by_run: Mapping[str, Mapping[int, Record]], own_images: bool
) -> list[str]:
    """Return the runs in which nothing is random; where seeds share their images, they must agree in fact, too."""

    def fixed(run: str) -> bool:
        agree = own_images or bool((scores[run] == scores[run][:1]).all())
        return agree and all(record.deterministic for record in by_run[run].values())

    return [run for run in scores if fixed(run)]


def _ranking(
    result: Comparison, chosen: str | None, fixed: Sequence[str], least: float
) -> tuple[tuple[dict[str, Any], ...], tuple[str, ...]]:
    """Return the rows of the ranking and a note on the first of them.

    Unless it was chosen on validation, the first is there because its test score is the best, so its interval is the
    one that allows for that.
    """
    rows = [
        {
            **row,
            "low": max(least, row["low"]),
            "chosen": row["run"] == chosen,
            "deterministic": row["run"] in fixed,
        }
        for row in result["ranking"]
    ]
    leader = result["leader"]
    if leader["of"] < 2 or leader["run"] == chosen:
        return tuple(rows), ()
    rows[0] |= {"low": max(least, leader["low"]), "high": leader["high"]}
    note = f"the interval of {leader['run']} allows for its having been picked as the best of {leader['of']} on test"
    return tuple(rows), (note,)


def _scores(
    by_run: Mapping[str, Mapping[int, Record]], metric: str, kind: str
) -> tuple[dict[str, Scores], npt.NDArray[np.int64] | None, list[str]]:
    """Return run → scores [seeds, n]; which image each column is of, where seeds differ in it; and notes."""
    if kind == "episodes":
        common = _common_seeds(by_run)
        table = {run: np.stack([_episodes(seeds[s]) for s in common]) for run, seeds in by_run.items()}
        n = next(iter(table.values())).shape[1]
        images = np.arange(len(common) * n, dtype=np.int64).reshape(len(common), n)
        return table, images if len(common) > 1 else None, _left_out(by_run, common)
    if _one_set_of_images(by_run):
        table = {
            run: np.stack([_image_scores(_outcome(r), metric) for r in distinct([seeds[s] for s in sorted(seeds)])])
            for run, seeds in by_run.items()
        }
        return table, None, []
    common = _common_seeds(by_run)
    table = {
        run: np.stack([_image_scores(_outcome(seeds[s]), metric) for s in common]) for run, seeds in by_run.items()
    }
    images = np.stack([np.sort(_outcome(next(iter(by_run.values()))[s]).rows) for s in common])
    return table, images, ["each seed has its own test images", *_left_out(by_run, common)]


def _one_set_of_images(by_run: Mapping[str, Mapping[int, Record]]) -> bool:
    records = [record for seeds in by_run.values() for record in seeds.values()]
    if any(record.outcome is None for record in records):
        return False
    every = [np.sort(_outcome(record).rows) for record in records]
    return all(np.array_equal(rows, every[0]) for rows in every[1:])


def _common_seeds(by_run: Mapping[str, Mapping[int, Record]]) -> list[int]:
    """Return the seeds that every run has; `_board` leaves out the runs that would make it none."""
    common = set.intersection(*(set(seeds) for seeds in by_run.values()))
    return sorted(common)


def _with_a_common_seed(by_run: Mapping[str, dict[int, Record]]) -> dict[str, dict[int, Record]]:
    """Leave out the runs of a partial study that lack the seed which most runs have, if no seed is in all."""
    every = [seed for seeds in by_run.values() for seed in seeds]
    most = max(sorted(set(every)), key=every.count)
    if _common_seeds(by_run) or _one_set_of_images(by_run):
        return dict(by_run)
    return {run: seeds for run, seeds in by_run.items() if most in seeds}


def _left_out(by_run: Mapping[str, Mapping[int, Record]], common: Sequence[int]) -> list[str]:
    more = sum(len(seeds) - len(common) for seeds in by_run.values())
    return (
        [f"compared on the {len(common)} seeds that every run has; {more} other results are left out"] if more else []
    )


def _outcome(record: Record) -> Outcome:
    assert record.outcome is not None
    return record.outcome


def _episodes(record: Record) -> Scores:
    assert record.episodes is not None
    return record.episodes


def _cross_validated(
    by_run: Mapping[str, Mapping[int, Record]], metric: str, folds: int
) -> tuple[dict[str, Scores], list[str]]:
    """Return run → scores [repeats, n], every image once in each repeat, and notes."""
    repeats, notes = complete_repeats(by_run, folds)
    return {run: np.stack([_pooled(part, metric) for part in parts]) for run, parts in repeats.items()}, notes


def _pooled(records: Sequence[Record], metric: str) -> Scores:
    """Return the scores of all images of one repeat of cross-validation, in order of the rows."""
    outcomes = [_outcome(record) for record in records]
    order = np.argsort(np.concatenate([outcome.rows for outcome in outcomes]), kind="stable")
    parts = [outcome.correct if metric == "accuracy" else outcome.scores[metric] for outcome in outcomes]
    pooled: Scores = np.concatenate(parts)[order]
    return pooled


def _image_scores(outcome: Outcome, metric: str) -> Scores:
    """Return one score an image, in order of the rows, whose mean is the metric."""
    order = np.argsort(outcome.rows, kind="stable")
    scores: Scores = outcome.correct if metric == "accuracy" else outcome.scores[metric]
    return scores[order]
