"""Which runs can be compared with each other, and how they rank: one board for each set of test images."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.data.splits import FEW_TEST_IMAGES
from headstart.evaluate.comparison.compare import MARGIN, Comparison, compare_runs
from headstart.evaluate.comparison.sentences import SAME_SEEDS
from headstart.evaluate.metrics.scoring import METRICS
from headstart.report import numbers
from headstart.report.read.board_scores import Scores, board_scores
from headstart.report.read.cross_validation import folds_of
from headstart.report.read.study_files import DataFolder, Record, StudyFiles, metric_of
from headstart.report.read.training_images import WiderIntervals, read_resampled

_DRAWN = "; test "  # in the rule of a split whose test part does not come with the data


@dataclass(frozen=True)
class Board:
    """Runs that were tested on the same images (or the same kind of episodes), ranked.

    Args:
        title: the dataset, and the task where there are several.
        data: the dataset's fingerprint.
        kind: "images" or "episodes".
        metric: what they are compared by; accuracy where the study's own metric is not defined for these images.
        n: test images, or episodes, of each seed.
        seeds: the most that a run has.
        runs: names, best first.
        ranking, against_best, against_baseline, pairwise, leader, safe, margin: of
            `headstart.evaluate.comparison.compare.compare_runs`. The first row of the ranking has the leader's
            interval, unless it is the run that was chosen on validation.
        baseline: the run that the others are compared with, or None.
        chosen: the run that was chosen on validation, if it is on this board.
        folds: of cross-validation, or None; then `seeds` are repeats, each of which tests every image once.
        wider: how the intervals `wider_low` to `wider_high` were made, which also count other training images, or None.
        notes: what a reader must know about the comparison.
        evaluated: saved models were scored; nothing was trained.
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
    wider: Mapping[str, Any] | None
    notes: tuple[str, ...]
    evaluated: bool = False

    @property
    def higher_is_better(self) -> bool:
        """Return whether a higher value of the metric is better."""
        return METRICS[self.metric].higher_is_better

    @property
    def tested(self) -> str:
        """What each run was trained and tested on several times: "3 seeds", or "5 folds × 1 repeat"."""
        return numbers.repeats(self.folds, self.seeds) if self.folds else numbers.counted(self.seeds, "seed")

    @property
    def lettered(self) -> bool:
        """Return whether letters help to distinguish the runs: there are several, and none has more than three."""
        return len(self.ranking) > 1 and all(len(row["letters"]) <= 3 for row in self.ranking)

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
    by_run: dict[str, dict[int, Record]] = {}
    for record in records:
        by_run.setdefault(record.run, {})[record.seed] = record
    folds = folds_of(records[0]) if kind == "images" else None
    found = board_scores(by_run, kind, metric_of(files.facts), folds)
    scores, metric = found.scores, found.metric
    if not scores:
        return None
    baseline = compare.get("baseline")
    baseline = str(baseline) if baseline in scores and len(scores) > 1 else None
    low, high = METRICS[metric].bounds
    bounds = (low, high) if math.isfinite(high) else None
    margin = compare.get("margin")
    fixed = _deterministic(scores, by_run, found.images is not None)
    result = compare_runs(
        scores,
        baseline,
        images=found.images,
        pair_seeds=folds is not None,
        higher_is_better=METRICS[metric].higher_is_better,
        bounds=bounds,
        margin=MARGIN if margin is None else float(margin),
        deterministic=fixed,
        percent=numbers.is_share(metric),
        folds=folds,
    )
    chosen = (files.facts.get("best") or {}).get("run")
    chosen = str(chosen) if chosen in scores else None
    evaluated = all(record.spec.get("strategy") == "evaluate" for record in records)
    ranking, note = _measured(result, by_run, metric) if evaluated else _ranking(result, chosen, fixed, low)
    wider = WiderIntervals(found, _test_rows(records), read_resampled(files.root), folds, bounds)
    return Board(
        title=_title(key, records, files),
        data=data,
        kind=kind,
        metric=metric,
        n=int(next(iter(scores.values())).shape[1]),
        seeds=max(len(values) for values in scores.values()),
        runs=tuple(row["run"] for row in result["ranking"]),
        ranking=tuple({**row, **_least(wider.of_run(row), low)} for row in ranking),
        against_best=tuple({**row, **wider.of_pair(row)} for row in result["against_best"]),
        against_baseline=tuple({**row, **wider.of_pair(row)} for row in result["against_baseline"]),
        pairwise=tuple(result["pairwise"]),
        leader=dict(result["leader"]),
        safe=tuple(result["safe"]),
        margin=result["margin"],
        baseline=baseline,
        chosen=chosen,
        folds=folds,
        wider=wider.facts,
        notes=(*found.notes, *_notes(result["notes"], folds), *note, *_few_images(records, files.datasets.get(data))),
        evaluated=evaluated,
    )


def _test_rows(records: Sequence[Record]) -> npt.NDArray[np.int64] | None:
    return None if records[0].outcome is None else np.sort(records[0].outcome.rows)


def _least(interval: Mapping[str, Any], least: float) -> dict[str, Any]:
    """Return an interval whose lower end is at least what is possible."""
    low = interval["wider_low"]
    return {**interval, "wider_low": None if low is None else max(least, low)}


def _notes(notes: Sequence[str], folds: int | None) -> list[str]:
    """Return the notes of the comparison; repeats of cross-validation differ by their folds, not by seeds alone."""
    if folds is None:
        return list(notes)
    return [note for note in notes if not note.startswith(SAME_SEEDS)]


def _few_images(records: Sequence[Record], dataset: DataFolder | None) -> list[str]:
    """Report which classes have too few test images for figures of their own."""
    outcome = records[0].outcome
    if dataset is None or outcome is None or outcome.multi_label or folds_of(records[0]) is not None:
        return []
    images = np.bincount(outcome.labels, minlength=len(dataset.classes))
    few = [int(k) for k in np.argsort(images, kind="stable") if 0 < images[k] < FEW_TEST_IMAGES]
    if not few:
        return []
    name, least = dataset.classes[few[0]], images[few[0]]
    where = f"class {name} ({least}): its" if len(few) == 1 else f"{len(few)} classes (fewest: {name}, {least}): their"
    drawn = _DRAWN in str(dataset.facts.get("split")) and not (records[0].spec.get("data") or {}).get("bands")
    remedy = "; to test every image, write split: {folds: 5, fold: seed} and seeds: 5" if drawn else ""
    return [f"fewer than {FEW_TEST_IMAGES} test images in {where} figures are uncertain{remedy}"]


def _title(key: tuple[str, ...], records: Sequence[Record], files: StudyFiles) -> str:
    kind, data = key[0], key[1]
    dataset = files.datasets.get(data)
    name = str(dataset.facts.get("name", data)) if dataset else str(records[0].spec["data"].get("name", data))
    return f"{name}, {key[2]}" if kind == "episodes" else name


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


def _measured(
    result: Comparison, by_run: Mapping[str, Mapping[int, Record]], metric: str
) -> tuple[tuple[dict[str, Any], ...], tuple[str, ...]]:
    """Return the rows of saved models, each with the interval of its own measure: nothing was trained or picked."""
    rows = []
    for row in result["ranking"]:
        (record,) = by_run[row["run"]].values()
        own = record.result["metrics"]["test"].get(metric) or {}
        limits = {} if own.get("low") is None else {"low": own["low"], "high": own["high"]}
        rows.append({**row, **limits, "chosen": False, "deterministic": True})
    return tuple(rows), ()
