"""Chooses the networks of a line-up: those at hand or fetchable, the best expected first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from headstart.errors import ModelError, SpecError, choose
from headstart.models.architectures.catalogue import find_architecture
from headstart.models.line_ups.at_hand import disk_bytes, place_of, why_not_fetched
from headstart.models.line_ups.table import BY_NAME, CANDIDATES, EMBEDDED, FAST, STRONG, LineUpNetwork
from headstart.models.weights import licences
from headstart.models.weights.registry import licence_of
from headstart.units import size

AUTO = "auto"
LINE_UPS = (AUTO, EMBEDDED, FAST, STRONG)
LICENCES = {licences.OPEN: "weights whose licence permits any use"}
MOST = 3  # networks that `auto` adds to the embedded ones
CPU_MACS = 9e9  # multiply-adds of an image, above which `auto` takes no network on a CPU unless a budget decides


@dataclass(frozen=True)
class NamedNetwork:
    """A backbone and its weights, as a study file says them."""

    name: str
    weights: str


@dataclass(frozen=True)
class LineUp:
    """The networks chosen.

    Args:
        networks: in the order of the table, the embedded ones last.
        words: one line: what was taken, and what would be with internet.
    """

    networks: tuple[NamedNetwork, ...]
    words: str


Fits = Callable[[Sequence[LineUpNetwork]], bool]


def choose_networks(
    asked: str | Sequence[str],
    *,
    licence: str | None = None,
    fetch: bool = True,
    fits: Fits | None = None,
    likely: Fits | None = None,
) -> LineUp:
    """Return the networks of a line-up, or those of a list of names.

    Args:
        asked: "auto", "embedded", "fast", "strong", a name, or names (also as one text, separated by commas).
        licence: "open" leaves out weights of which the licence is restricted or unknown; None: all.
        fetch: weights that are absent may be downloaded, unless the environment forbids it.
        fits: says of the networks taken so far, with one more, whether they fit a limit; the embedded ones always do.
        likely: the same, quickly, for networks that are only named, because they cannot be fetched now; None: `fits`.

    Raises:
        SpecError: an unknown licence; no network is left.
        ModelError: an unknown name; the message has the nearest one.
    """
    check_licence(licence)
    names = [name.strip() for name in asked.split(",")] if isinstance(asked, str) else list(asked)
    if len(names) == 1 and names[0] in LINE_UPS:
        return _line_up(names[0], licence, fetch, fits, likely or fits)
    if not any(names):
        raise SpecError(f"networks: none is named; give names, or a line-up ({', '.join(LINE_UPS)})")
    return with_licence(list(_named(names)), licence)


def with_licence(networks: Sequence[NamedNetwork], licence: str | None) -> LineUp:
    """Return the networks whose weights have a licence; the words name those that are left out.

    Raises:
        SpecError: an unknown licence; no network is left.
    """
    check_licence(licence)
    if licence is None:
        return LineUp(tuple(networks), "")
    own = {each: licence_of(find_architecture(each.name), each.weights) for each in networks}
    closed = [f"{each.name} ({found.name})" for each, found in own.items() if found.status != licence]
    if len(closed) == len(own):
        names = ", ".join(each.name for each in own)
        raise SpecError(f"no network is left with an {licence} licence of {names}; drop the licence, or add others")
    kept = tuple(each for each in networks if own[each].status == licence)
    return LineUp(kept, f"left out, since not under an {licence} licence: {', '.join(closed)}" if closed else "")


def cheap(device: str) -> Fits | None:
    """Return what `auto` is limited to where no budget decides: on a CPU, networks up to `CPU_MACS`."""
    return _up_to_cpu_macs if device == "cpu" else None


def _up_to_cpu_macs(taken: Sequence[LineUpNetwork]) -> bool:
    return all(each.macs <= CPU_MACS for each in taken)


def check_licence(licence: str | None) -> None:
    """Refuse a licence that nothing can be filtered by.

    Raises:
        SpecError: with those that can.
    """
    if licence is not None:
        choose("licence", licence, LICENCES)


def _named(names: Sequence[str]) -> Iterator[NamedNetwork]:
    for name in dict.fromkeys(name for name in names if name):
        if name in LINE_UPS:
            raise SpecError(f"networks: {name!r} is a line-up and cannot be mixed with names; give one or the other")
        try:
            find_architecture(name)
        except ModelError as error:
            raise ModelError(f"networks: {error}; the line-ups are {', '.join(LINE_UPS)}") from None
        yield NamedNetwork(name, BY_NAME[name].weights if name in BY_NAME else "imagenet")


def _line_up(name: str, licence: str | None, fetch: bool, fits: Fits | None, likely: Fits | None) -> LineUp:
    why = why_not_fetched() if fetch and name != EMBEDDED else "nothing is fetched unasked"
    allowed = [each for each in CANDIDATES if licence is None or each.licence.status == licence]
    here = {each.name for each in allowed if place_of(each) is not None}
    taken = _taken(name, allowed, here, fetching=why is None, fits=fits)
    if not taken:
        raise SpecError(
            f"no network of the line-up {name!r} is on this machine ({why}); install the embedded weights that come"
            " with headstart, or name a network"
        )
    more = _taken(name, allowed, here, fetching=True, fits=likely) if why is not None else []
    absent = [each for each in more if each not in taken and each.name not in here]
    return LineUp(tuple(NamedNetwork(each.name, each.weights) for each in taken), _words(taken, here, absent, why))


def _taken(
    name: str, allowed: Sequence[LineUpNetwork], here: set[str], *, fetching: bool, fits: Fits | None
) -> list[LineUpNetwork]:
    """Return the candidates of a line-up; restricted weights are taken where they are, but never fetched."""
    embedded = [each for each in reversed(allowed) if EMBEDDED in each.line_ups and each.name in here]
    taken: list[LineUpNetwork] = []
    for each in allowed:
        open_ = each.licence.status == licences.OPEN
        if EMBEDDED in each.line_ups or not (each.name in here or (fetching and open_)):
            continue
        if name == AUTO:
            known = {one.source_data for one in taken}  # another source adds more than another size
            wanted = len(taken) < MOST and each.source_data not in known
        else:
            wanted = name in each.line_ups
        if wanted and (fits is None or fits([*taken, each, *embedded])):
            taken.append(each)
    return [*taken, *embedded]


def _words(taken: Sequence[LineUpNetwork], here: set[str], more: Sequence[LineUpNetwork], why: str | None) -> str:
    absent = {each.name for each in taken} - here
    text = "networks: " + ", ".join(_shown(each, downloaded=each.name in absent) for each in taken)
    if more:
        text += f"; with internet also {', '.join(_shown(each, downloaded=True) for each in more)} (now {why})"
    return text


def _shown(candidate: LineUpNetwork, *, downloaded: bool) -> str:
    if not downloaded:
        return candidate.name
    return f"{candidate.name} (downloads {size(disk_bytes(candidate))}, {candidate.licence.name})"
