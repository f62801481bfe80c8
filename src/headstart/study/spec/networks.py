"""The key `networks` of a study: every run that names no backbone is made once for each network of a line-up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headstart.devices import default_device
from headstart.errors import HeadstartError, SpecError
from headstart.models.line_ups.choose import AUTO, cheap, choose_networks
from headstart.models.line_ups.table import STRONG
from headstart.progress import say
from headstart.study.spec.markers import merged
from headstart.study.spec.schema import StudySpec

PROXY_IMAGES = 400  # by which a budget chooses the first network of the line-up "strong"
ALL_RUN = (
    "without a budget, each of these networks is run on all images; with one, such as --budget 1h, those that"
    f" {PROXY_IMAGES} training images show as the most promising go first"
)


def is_line_up(networks: str | Sequence[str] | None, name: str) -> bool:
    """Return whether these are the line-up of this name, as a text or as the only one of a list."""
    return networks is not None and ([networks] if isinstance(networks, str) else list(networks)) == [name]


def proxy_images(spec: StudySpec) -> int | None:
    """Return how many training images decide which network a budget is spent on first; None: the plan's order does.

    They are as many as the study says; the line-up "strong" has a number by default.
    """
    if spec.budget is None or spec.proxy is not None:
        return spec.proxy
    return PROXY_IMAGES if is_line_up(spec.networks, STRONG) else None


def networks_of(spec: StudySpec, place: str) -> dict[str, str]:
    """Return the weights of each network of a study's line-up, by name; says in one line which ones were taken.

    Args:
        spec: the study.
        place: file and line of the key, for messages.

    Raises:
        SpecError: an unknown name, or no network is left.
    """
    if spec.networks is None:
        return {}
    fits = cheap(default_device()) if is_line_up(spec.networks, AUTO) else None
    try:
        chosen = choose_networks(spec.networks, licence=spec.licence, fits=fits)
    except HeadstartError as error:
        raise SpecError(f"{place}: {error}") from error
    if chosen.words:
        say(chosen.words)
    if is_line_up(spec.networks, STRONG) and spec.budget is None and spec.halving is None:
        say(ALL_RUN)
    return {each.name: each.weights for each in chosen.networks}


def with_networks(spec: StudySpec, networks: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return the runs of a study, those without a backbone of their own with one for each network."""
    if not networks:
        return spec.runs
    found = {}
    for key, value in spec.runs.items():
        raw = merged(spec.defaults, value or {})
        carried = isinstance(raw.get("weights"), Mapping)  # from a file or another run, which has its own network
        free = "backbone" not in raw and not carried
        found[key] = {**value, "backbone": {"each": list(networks)}} if free else value
    return found


def with_weights(run: Mapping[str, Any], networks: Mapping[str, str]) -> dict[str, Any]:
    """Return a run with the weights of its network in the line-up, if it does not say which weights it starts from."""
    weights = networks.get(str(run.get("backbone")))
    if weights is None or "weights" in run or run.get("strategy") == "scratch":
        return dict(run)
    return {**run, "weights": weights}
