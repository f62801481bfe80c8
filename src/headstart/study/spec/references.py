"""Checks the runs that a study names outside `runs`: in ensembles, explained pairs and similarity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from headstart.errors import SpecError, unknown_name
from headstart.study.spec.run import Run
from headstart.study.spec.schema import StudySpec
from headstart.study.spec.yaml_lines import Path as KeyPath
from headstart.study.spec.yaml_lines import place_of


def check_references(
    spec: StudySpec, runs: Sequence[Run], name: str, lines: Mapping[KeyPath, int] = MappingProxyType({})
) -> None:
    """Refuse an unsuitable member, pair or source: an unknown run, one without a network, one on other images.

    Raises:
        SpecError: one line with the key and the fault.
    """
    by_name = {run.name: run for run in runs}

    def place(key: str) -> str:
        return place_of(name, tuple(key.split(".")), lines)

    for ensemble, members in spec.ensembles.items():
        _check_ensemble(ensemble, members, by_name, place_of(name, ("ensembles", ensemble), lines))

    def find(key: str, wanted: str) -> Run:
        where = place(key)
        if wanted not in by_name:
            raise SpecError(f"{where}: {key}: {unknown_name('run', wanted, by_name, limit=40)}")
        run = by_name[wanted]
        if run.spec.backbone == "pixels" and key != "similarity.sources":
            raise SpecError(f"{where}: {key}: run {wanted!r} has no network; it uses raw pixels")
        if run.spec.episodes is not None and key != "similarity.sources":
            raise SpecError(f"{where}: {key}: run {wanted!r} evaluates episodes and produces no classifier")
        return run

    for pair in spec.explain.pairs:
        first, second = (find("explain.pairs", each) for each in pair)
        if first.data != second.data:
            where = place("explain.pairs")
            raise SpecError(f"{where}: explain.pairs: {first.name!r} and {second.name!r} have no test images in common")
    if spec.similarity is None:
        return
    for pair in spec.similarity.stages:
        for each in pair:
            find("similarity.stages", each)
    for each in spec.similarity.sources:
        if find("similarity.sources", each).data == spec.data:
            where = place("similarity.sources")
            raise SpecError(f"{where}: similarity.sources: run {each!r} learns from the study's own images")


def _check_ensemble(ensemble: str, members: Sequence[str], by_name: Mapping[str, Run], name: str) -> None:
    key = f"ensembles.{ensemble}"
    if ensemble in by_name:
        raise SpecError(f"{name}: {key}: a run already has this name; choose another")
    for member in members:
        if member not in by_name:
            raise SpecError(f"{name}: {key}: {unknown_name('run', member, by_name, limit=40)}")
        if by_name[member].spec.episodes is not None:
            raise SpecError(f"{name}: {key}: run {member!r} evaluates episodes and produces no classifier")
        if by_name[member].data != by_name[members[0]].data:
            raise SpecError(f"{name}: {key}: {members[0]!r} and {member!r} are tested on different images")
    if len(set(members)) < len(members):
        raise SpecError(f"{name}: {key}: names a run twice")
