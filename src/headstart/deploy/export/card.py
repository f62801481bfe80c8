"""The model card: what the model is, how it was measured, how the exported files compare with it, and its limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headstart.deploy.export.checking import TIMES, Check
from headstart.deploy.export.target import FLOAT, Parts
from headstart.evaluate.metrics.names import measure_name
from headstart.models.refitted import refitted_of, words
from headstart.models.weights.licences import RESTRICTED, UNKNOWN
from headstart.storage.files import write_atomic
from headstart.units import duration, size

CARD = "README.md"
MEASURES = ("accuracy", "balanced_accuracy", "top5_accuracy", "f1_macro", "f1_micro", "map", "log_loss", "ece")
SHOWN = 12  # class names


def write_card(parts: Parts, folder: Path, checks: Sequence[Check], notes: Sequence[str], usage: str) -> None:
    """Write README.md into the folder of an export."""
    write_atomic(folder / CARD, card_text(parts, checks, notes, usage))


def card_text(parts: Parts, checks: Sequence[Check], notes: Sequence[str], usage: str) -> str:
    """Return the card as Markdown."""
    facts = parts.facts
    sections = [
        f"# {title_of(parts)}",
        _what(facts),
        "## How to use it",
        usage,
        "## Measured results",
        results_text(parts),
        "## Training data",
        _data(parts),
        "## Does the exported model match the original?",
        checks_text(checks, notes, learned=refitted_of(parts.ensemble.members[0].provenance) is not None),
        "## Licence",
        _licence(facts),
        "## Intended use and limits",
        _limits(parts, facts),
    ]
    return "\n\n".join(sections) + "\n"


def title_of(parts: Parts) -> str:
    """Return a title: the study and the run that the model is of, or its networks."""
    origin = dict(parts.ensemble.members[0].provenance)
    name = " + ".join(dict.fromkeys(bundle.origin.name for bundle in parts.ensemble.members))
    return f"{origin['study']}: {name}" if origin.get("study") else name


def _what(facts: Mapping[str, Any]) -> str:
    names: list[str] = facts["classes"]
    shown = ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
    networks = [f"{each['backbone']} (head: {each['head']})" for each in facts["networks"]]
    rule = facts["label_rule"]
    label = (
        "the most probable class"
        if rule["kind"] == "most probable"
        else f"every class with a probability above {rule['threshold']}"
    )
    how = f"the mean of {len(networks)} networks' probabilities: " if len(networks) > 1 else ""
    return (
        f"An image classifier with {len(names)} classes ({shown}), made by headstart {facts['headstart']}: {how}"
        f"{', '.join(networks)}. It returns calibrated probabilities (temperature {facts['temperature']:.4g}); the"
        f" label is {label}. Its numbers are {facts['precision']}."
    )


def results_text(parts: Parts) -> str:
    """Return the test results as a table with intervals."""
    results, data = parts.material.results, parts.material.data
    rows = [
        f"| {measure_name(name)} | {each['value']:.4f} | {each['low']:.4f} to {each['high']:.4f} |"
        for name in MEASURES
        if (each := results.get(name)) and each.get("value") is not None
    ]
    again = refitted_of(parts.ensemble.members[0].provenance)
    untested = "" if again is None else f"This model is not tested. {words(again)}"
    if not rows:
        nothing = "No test results were available when this was exported; export the study folder to include them."
        return untested or nothing
    heading = f"On {results['n']:,} test images of {data.get('name', 'its dataset')}, which it had not learned from:"
    if parts.facts["precision"] != FLOAT:
        heading = f"Of the original, in float, {heading[0].lower()}{heading[1:]}"
    if untested:
        heading = f"{untested} All measures of that tested model:"
    return "\n".join([heading, "", "| measure | value | 95 % interval |", "|---|---|---|", *rows])


def _data(parts: Parts) -> str:
    data = parts.material.data
    if not data:
        return "Unknown: the study's folder was not available when this was exported."
    counts = data["counts"]
    lines = [
        f"Dataset {data['name']}: {counts['train']:,} training, {counts['validation']:,} validation and"
        f" {counts['test']:,} test images (fingerprint {data['fingerprint']})."
    ]
    if refitted_of(parts.ensemble.members[0].provenance) is not None:
        lines.append("This model has learned from all of them.")
    if data.get("licence"):
        lines.append(f"Licence of the images: {data['licence']}.")
    if data.get("homepage"):
        lines.append(f"Source: {data['homepage']}.")
    return " ".join(lines)


def checks_text(checks: Sequence[Check], notes: Sequence[str], *, learned: bool = False) -> str:
    """Return how each file compares with the original, as a table; `learned`: the model has learned from the images."""
    if not checks:
        return "Not checked."
    rows = [
        "| file | pictures | labels that differ | largest difference of a probability | time per picture | size |",
        "|---|---|---|---|---|---|",
    ]
    rows += [
        f"| {each.form} | {each.n:,} | {each.labels_differ} | {each.largest_difference:.1e} | {each.took} |"
        f" {size(each.bytes)} |"
        for each in checks
    ]
    rows.append(f"\nThe original took {duration(checks[0].milliseconds_original / 1000)} per picture. {TIMES}")
    for each in checks:
        if each.lost is not None and each.labels_differ:
            points, low, high = each.lost
            rows.append(
                f"\n{each.form} loses {points:.2f} points of accuracy there (95 % interval {low:.2f} to {high:.2f})."
            )
    heading = f"{checks[0].pictures} were classified by the original and by each file, in separate processes:"
    notes = [*notes, *(["The model has learned from the study's test images too."] if learned else [])]
    return "\n".join([heading[0].upper() + heading[1:], "", *rows, *(f"\n{note}" for note in notes)])


def _licence(facts: Mapping[str, Any]) -> str:
    licence = facts["licence"]
    if licence == "none":
        return "The network was trained from random weights; its licence is that of your training images and work."
    if facts["licence_status"] == UNKNOWN:
        return f"Pretrained weights: {licence}. Find out their licence before you distribute the model."
    if facts["licence_status"] == RESTRICTED:
        return (
            f"Pretrained weights: {licence}, which restricts their use. Read its terms before you use the model"
            " commercially or distribute it; they may apply to the model, too."
        )
    return f"Pretrained weights: {licence}."


def _limits(parts: Parts, facts: Mapping[str, Any]) -> str:
    name = parts.material.data.get("name", "the images that it was trained on")
    closed = (
        "Every picture gets one of these classes, even a picture that shows none of them."
        if facts["label_rule"]["kind"] == "most probable"
        else "A picture may get no label."
    )
    return (
        f"Intended for pictures like those of {name}. {closed} The measured results hold for pictures drawn as the test"
        " images were; for other cameras, places or seasons, measure it again on labelled pictures from there. It was"
        " not tested for fairness between groups of people, or against pictures made to deceive it. Do not let it"
        " decide alone where a wrong label causes harm."
    )
