"""Checks that the extras which a study needs are installed, before anything is computed."""

from __future__ import annotations

from headstart.errors import require
from headstart.explain.explainers import find_explainer
from headstart.study.spec.run import ResolvedStudy
from headstart.study.spec.schema import AS_IS, EPISODIC, RunSpec


def check_extras(study: ResolvedStudy) -> None:
    """Refuse a study that needs a missing package.

    Raises:
        MissingExtra: the run, and the extra that installs the package.
    """
    for run in study.runs:
        if run.searches:  # first, since the extra includes that of training
            require("optuna", f"run {run.name!r} searches ranges, which", "search")
        if trains_network(run.spec):
            require("lightning", f"run {run.name!r} trains a network, which", "tune")
    if study.spec.track is not None:
        require("mlflow", "tracking with MLflow", "track")
    explained = study.spec.explain
    if explained.mistakes or explained.pairs:
        for name in explained.methods:
            find_explainer(name)


def trains_network(spec: RunSpec) -> bool:
    """Return whether Lightning trains the network: not for heads on cached features, nor for episodes."""
    return spec.episodes is None and spec.head_kind is None and spec.strategy not in (AS_IS, *EPISODIC)
