"""Cross-validation: which fold and repeat a seed is, and the repeats in which every image was tested once."""

from __future__ import annotations

from collections.abc import Mapping

from headstart.report.read.study_files import Record
from headstart.units import percent


def folds_of(record: Record) -> int | None:
    """Return the number of folds where each seed is tested on its own fold, else None."""
    split = (record.spec.get("data") or {}).get("split") or {}
    return int(split["folds"]) if split.get("fold") == "seed" and split.get("folds") else None


def complete_repeats(
    by_run: Mapping[str, Mapping[int, Record]], folds: int
) -> tuple[dict[str, list[list[Record]]], list[str]]:
    """Return the records of each run, one list a repeat, of the repeats that count, and notes.

    A repeat counts if most runs have every fold of it; runs that lack a fold of one that counts are left out.

    Args:
        by_run: the records of each run by seed; seed s is fold s modulo `folds` of repeat s // `folds`.
        folds: how many.
    """
    whole = {run: _whole(seeds, folds) for run, seeds in by_run.items()}
    every = sorted(set().union(*whole.values()))
    repeats = [repeat for repeat in every if 2 * sum(repeat in own for own in whole.values()) >= len(whole)]
    kept = {run: own for run, own in whole.items() if repeats and own.issuperset(repeats)}
    found = {run: [[by_run[run][repeat * folds + fold] for fold in range(folds)] for repeat in repeats] for run in kept}
    return found, _notes(sorted(set(by_run) - set(kept)), len(repeats), folds)


def _whole(seeds: Mapping[int, Record], folds: int) -> set[int]:
    repeats = {seed // folds for seed in seeds}
    return {repeat for repeat in repeats if all(repeat * folds + fold in seeds for fold in range(folds))}


def _notes(lacking: list[str], repeats: int, folds: int) -> list[str]:
    times = "once" if repeats == 1 else f"{repeats} times, each with another division into folds"
    notes = [
        f"{folds}-fold cross-validation: every image is tested {times}, by a model that was trained without it;"
        f" the scores are those of models trained on {percent(1 - 1 / folds, 0)} of the images"
    ]
    if lacking:
        notes.append(f"left out, since not every fold was run: {', '.join(lacking)}")
    return notes
