"""The content of study.json: the question, the expected runs, the skipped runs and the chosen model."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NotRequired, TypedDict

from headstart.models.refitted import REFITTED, Refitted


class Expected(TypedDict):
    """A run and seed that the study will finish.

    `name` is what both are called in messages, and `key` the content key of the fit, where they are given.
    """

    run: str
    seed: int
    name: NotRequired[str]
    key: NotRequired[str]


class LeftOut(TypedDict):
    """A run and seed that is skipped, and why."""

    run: str
    seed: int
    why: str


class Kept(TypedDict):
    """The run whose network was kept: its folder, relative to the study's, and the rule that chose it.

    `seed` is the one whose network was kept, of `seeds` that were judged.
    """

    run: str
    folder: str
    by: str
    seed: int
    seeds: int


def kept_words(facts: Mapping[str, Any], which: Literal["best", "best_network"] = "best") -> str | None:
    """Describe which run a kept model is of, by which rule it was chosen, and which of its seeds (or folds) it is.

    Args:
        facts: the content of study.json.
        which: the kept model, or the single network in place of an ensemble.
    """
    kept = facts.get(which)
    if not kept:
        return None
    seed = ""
    if kept.get("seeds", 1) > 1:
        seed = f"; the model of {_which(kept['seed'], facts)}, whose score is the median of {kept['seeds']}"
    again = "; refitted on all images, test images included" if which == "best" and facts.get(REFITTED) else ""
    return f"{kept['run']}, chosen by {kept['by']}{seed}{again}"


def _which(seed: int, facts: Mapping[str, Any]) -> str:
    split = ((facts.get("spec") or {}).get("data") or {}).get("split") or {}
    folds = split.get("folds") if split.get("fold") == "seed" else None
    return f"fold {seed % folds + 1}, repeat {seed // folds + 1}" if folds else f"seed {seed}"


@dataclass
class StudyState:
    """The state of a study; None means not decided yet, or not part of this study.

    Args:
        name, question, spec, source, compare, budget: as in the study file.
        command: what the user typed.
        version: of headstart.
        fingerprint: of the study's own images.
        created: ISO 8601, UTC.
        expected: runs and seeds, including ensembles, without those that are skipped.
        keys: content key of each run and seed (as text); results under other keys are of an older version of the study.
        left_out: runs and seeds that are skipped.
        best: the model that was chosen on validation.
        best_network: the best single network, if the best model is an ensemble.
        refitted: the saved model is the best one, refitted on all images.
        not_refitted: why it could not be refitted, where that was asked for.
        spending: seconds of the budget and seconds spent.
        halving: settings, rungs and number of runs of successive halving.
        corrected: images of the study's own data that a file of corrections relabelled or left out.
        proxy: scores of the networks on a few images, which decided what a budget was spent on first.
    """

    name: str
    created: str
    question: str | None = None
    spec: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    command: str = ""
    version: str = ""
    fingerprint: str = ""
    expected: list[Expected] = field(default_factory=list)
    compare: Mapping[str, Any] = field(default_factory=dict)
    budget: str | float | None = None
    keys: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)
    best: Kept | None = None
    best_network: Kept | None = None
    refitted: Refitted | None = None
    not_refitted: str | None = None
    spending: Mapping[str, float] | None = None
    halving: Mapping[str, Any] | None = None
    corrected: list[dict[str, str]] = field(default_factory=list)
    proxy: Mapping[str, Any] | None = None

    def leave_out(self, rows: Iterable[LeftOut]) -> None:
        """Record runs and seeds that are skipped; they are no longer expected."""
        rows = list(rows)
        gone = {(row["run"], row["seed"]) for row in rows}
        self.expected = [row for row in self.expected if (row["run"], row["seed"]) not in gone]
        self.left_out += rows

    def to_dict(self, status: str) -> dict[str, Any]:
        """Return the content of study.json: "status" is running, complete or interrupted."""
        optional = (
            "left_out",
            "best",
            "best_network",
            "refitted",
            "not_refitted",
            "spending",
            "halving",
            "corrected",
            "proxy",
        )
        found = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: value for name, value in found.items() if value or name not in optional} | {"status": status}
