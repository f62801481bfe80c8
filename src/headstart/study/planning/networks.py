"""The networks of a comparison: those that are named, or a line-up within what a budget allows here."""

from __future__ import annotations

from collections.abc import Sequence

from headstart.devices import default_device
from headstart.errors import SpecError
from headstart.models.architectures.build import build
from headstart.models.line_ups.choose import AUTO, Fits, NamedNetwork, cheap, choose_networks, with_licence
from headstart.models.line_ups.table import BY_NAME, STRONG, LineUpNetwork
from headstart.progress import say
from headstart.storage.opening import default_store
from headstart.study.planning.microbenchmarks import Meter
from headstart.study.spec.networks import ALL_RUN, is_line_up
from headstart.units import parse_duration

OPTIMISM = 8  # multiply-adds a second of large matrix products, as a multiple of those of small convolutions
SHARE = 0.5  # of a budget, that `auto` may spend on passes of the networks; the rest is for heads, audit and tuning


def networks_for(
    images: int,
    backbones: Sequence[str] | None,
    networks: str | Sequence[str] | None,
    *,
    licence: str | None = None,
    budget: str | None = None,
) -> list[NamedNetwork]:
    """Return the networks of a comparison; says in one line which ones a line-up took, and whether all will be run.

    Args:
        images: how many there are.
        backbones: names, used with ImageNet weights; None: a line-up.
        networks: a line-up or names; None: "auto", of what is on this machine.
        licence: "open", or None for all.
        budget: a duration such as "5min", or None.

    Raises:
        SpecError: both were given, or no network is left.
        ModelError: an unknown name.
    """
    if backbones and networks:
        raise SpecError("give networks or backbones, not both")
    if backbones:
        plain = with_licence([NamedNetwork(name, "imagenet") for name in backbones], licence)
        if plain.words:
            say(plain.words)
        return list(plain.networks)
    asked = AUTO if networks is None else networks
    seconds = None if budget is None else parse_duration(budget)
    fits = cheap(default_device()) if seconds is None else within(images, seconds)
    likely = None if seconds is None else within(images, seconds, measure=False)
    limits: dict[str, Fits | None] = {"fits": fits, "likely": likely} if is_line_up(asked, AUTO) else {}
    try:
        chosen = choose_networks(asked, licence=licence, fetch=networks is not None, **limits)
    except SpecError:
        if networks is None and licence is None:
            return []  # nothing is installed: the baselines are compared
        raise
    if chosen.words and networks is not None:
        say(chosen.words)
    if is_line_up(networks, STRONG) and budget is None:
        say(ALL_RUN)
    return list(chosen.networks)


def within(images: int, seconds: float, *, measure: bool = True) -> Fits:
    """Return whether one pass of some networks over the images takes no more than their share of a budget.

    A network that would be too slow even if it ran `OPTIMISM` times as fast as the smallest one is not measured; and
    none but that smallest one is without `measure`.
    """
    smallest, left = BY_NAME["efficientnet_lite0"], SHARE * seconds / images

    def fits(taken: Sequence[LineUpNetwork]) -> bool:
        fastest = seconds_per_image(smallest) / smallest.macs / OPTIMISM
        if sum(each.macs for each in taken) * fastest > left:
            return False
        return not measure or sum(seconds_per_image(each) for each in taken) <= left

    return fits


def seconds_per_image(candidate: LineUpNetwork) -> float:
    """Return the time of a frozen pass on this machine's fastest device, measured once and cached."""
    backbone = build(candidate.architecture, input_size=candidate.size)
    meter = Meter(default_store(), default_device())
    return float(meter.passing(backbone.stages, backbone.preprocessing)["seconds"])
