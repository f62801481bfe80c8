"""A study as values: its runs, their choices and resolved settings."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headstart.study.spec.network import NetworkSpec, Subset
from headstart.study.spec.schema import DataSpec, RunSpec, StudySpec
from headstart.study.spec.validation import validate


@dataclass(frozen=True)
class Choice:
    """One setting that is chosen on validation.

    Args:
        path: its place in the run, such as ("recipe", "lr").
        values: the candidates of a grid, or () for a search range.
        search: {"low", "high", "log", "step"} of a range, or None.
    """

    path: tuple[str, ...]
    values: tuple[Any, ...] = ()
    search: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Run:
    """One run of the study, the same for all its seeds.

    Args:
        name: unique in the study.
        spec: its settings, with the first candidate of each choice.
        data: its images.
        choices: what is chosen on validation.
        axes: the values that `each`, `shots` or `fraction` gave it, by path.
        trials: number of configurations that a `search` may try.
        metric: what the choices on validation follow.
        place: file and line, for messages; "" where the study is no file.
        key: its name in the file, from which `each` or an axis may have made several runs.
        teachers: the runs that its teacher consists of: itself, or the members of an ensemble.
    """

    name: str
    spec: RunSpec
    data: DataSpec
    choices: tuple[Choice, ...] = ()
    axes: Mapping[str, Any] = field(default_factory=dict)
    trials: int = 20
    metric: str = "accuracy"
    place: str = field(default="", compare=False, repr=False)
    key: str = field(default="", compare=False, repr=False)
    teachers: tuple[Run, ...] = ()

    @property
    def called(self) -> str:
        """The run as a message names it, after its place where it has one."""
        return f"{self.place}: run {self.name!r}" if self.place else f"run {self.name!r}"

    @property
    def needs(self) -> str | None:
        """The run whose network this one starts from, or None."""
        return self.spec.weights.run

    @property
    def sources(self) -> tuple[str, ...]:
        """The runs that must be finished before: the one that it starts from, and those that teach it."""
        own = () if self.needs is None else (self.needs,)
        return tuple(dict.fromkeys((*own, *(teacher.name for teacher in self.teachers))))

    @property
    def network(self) -> NetworkSpec:
        """The network that computes its features or that it starts from."""
        spec = self.spec
        return NetworkSpec(
            spec.backbone,
            spec.weights,
            spec.truncate_at,
            spec.input_size,
            spec.resize,
            redrawn=spec.head_kind is None,
            data=self.data if self.data.bands is not None else None,
        )

    @property
    def subset(self) -> Subset:
        """The part of the training images that it learns from."""
        return Subset(self.spec.fraction, self.spec.shots if isinstance(self.spec.shots, int) else None)

    @property
    def searches(self) -> bool:
        """Whether a setting is searched for in a range."""
        return any(choice.search for choice in self.choices)

    @property
    def tries(self) -> int:
        """The number of configurations tried."""
        return self.trials if self.searches else len(self.configurations())

    @property
    def refits(self) -> bool:
        """Whether what was chosen is fitted again on training and validation images: by default a head always is, and
        a network if there was a choice."""
        if self.spec.refit is not None:
            return self.spec.refit == "train+validation"
        return self.spec.head_kind is not None or self.tries > 1

    def configurations(self) -> list[dict[tuple[str, ...], Any]]:
        """Return every combination of the grid's values, in order (one empty combination without a grid)."""
        grids = [choice for choice in self.choices if choice.search is None]
        products = itertools.product(*(choice.values for choice in grids))
        return [dict(zip((choice.path for choice in grids), values, strict=True)) for values in products]

    def with_values(self, values: Mapping[tuple[str, ...], Any]) -> RunSpec:
        """Return the settings with these values for the choices.

        Raises:
            SpecError: a value cannot be.
        """
        raw = self.spec.model_dump()
        for path, value in values.items():
            set_at(raw, path, value)
        return validate(RunSpec, raw, name="one of its choices", at=(), lines={})


@dataclass(frozen=True)
class ResolvedStudy:
    """A study file, read and expanded into runs."""

    spec: StudySpec
    runs: tuple[Run, ...]
    source: str
    file: str

    def run(self, name: str) -> Run:
        """Return the run of that name."""
        return next(run for run in self.runs if run.name == name)


def set_at(target: dict[str, Any], path: Sequence[str], value: Any) -> None:
    """Set the value at a path of nested mappings, in place."""
    for part in path[:-1]:
        inner = target.get(part)
        target[part] = inner = dict(inner) if isinstance(inner, Mapping) else {}
        target = inner
    target[path[-1]] = value
