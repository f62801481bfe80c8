"""The audit in sentences: problems, notices, and what is in order."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from headstart.units import percent

_UNEVEN = 10.0  # times as many images in the largest class as in the smallest
_FEW = 5  # images of a class
_WEAK = 0.5  # accuracy below which the classifier cannot judge labels
_NAMED = 3
_ENDING = re.compile(r" \(([^()]*)\)$")  # of a reason, which is in brackets itself
_SAID = r": \1"
_LEVELS = ("problem", "notice", "good")
_TERMINAL = ("unreadable", "copies", "leaks", "conflicts", "classes")

Finding = dict[str, str]


def findings(audit: Mapping[str, Any]) -> list[Finding]:
    """Return the findings as {"level": "problem" | "notice" | "good", "kind", "text"}, the worst first."""
    found = [
        *_unreadable(audit),
        *_odd_files(audit),
        *_exact(audit),
        *_near(audit),
        *_leaks(audit),
        *_labels(audit),
        *_classes(audit),
    ]
    return sorted(found, key=lambda finding: _LEVELS.index(finding["level"]))


def problems(audit: Mapping[str, Any]) -> list[str]:
    """Return what a person must know before training, a line each, the worst first.

    Files that do not decode, copies, leaks between parts, contradicting labels, and classes with too few images
    or none in a part.
    """
    return [
        finding["text"] for finding in audit["findings"] if finding["level"] != "good" and finding["kind"] in _TERMINAL
    ]


def _unreadable(audit: Mapping[str, Any]) -> list[Finding]:
    bad, skipped = audit["unreadable"], audit["skipped"]
    found = []
    if bad:
        found.append(_problem("unreadable", f"{_count(bad, 'file does', 'files do')} not decode: {_named(bad)}"))
    else:
        which = "every other image" if skipped else "every image"
        found.append(_good("unreadable", f"{which} decodes completely"))
    if skipped:
        text = f"{_count(skipped, 'item was', 'items were')} skipped while loading: {_named(skipped)}"
        found.append(_notice("unreadable", text))
    return found


def _odd_files(audit: Mapping[str, Any]) -> list[Finding]:
    what = {
        "modes": ("is neither RGB nor grey", "are neither RGB nor grey"),
        "animated": ("is animated (only the first frame is used)", "are animated (only the first frames are used)"),
        "tiny": ("is smaller than 32 pixels", "are smaller than 32 pixels"),
        "elongated": ("is more than four times as long as wide", "are more than four times as long as wide"),
    }
    found = []
    for kind, (one, many) in what.items():
        odd = audit["files"]["odd"][kind]
        if odd["n"]:
            text = f"image {one}" if odd["n"] == 1 else f"images {many}"
            found.append(_notice("files", f"{odd['n']:,} {text}, such as {odd['rows'][0]['name']}"))
    return found


def _exact(audit: Mapping[str, Any]) -> list[Finding]:
    groups = audit["exact"]
    if not groups:
        return [_good("copies", "no exact duplicates")]
    extra = audit["counts"]["copies"]
    images = _several(audit["counts"]["exact"], "image", "images")
    found = [_notice("copies", f"{_several(extra, 'exact copy', 'exact copies')} of {images}")]
    conflicts = [group for group in groups if group["conflict"]]
    if conflicts:
        example = " and ".join(_labelled(place) for place in conflicts[0]["places"][:2])
        text = f"{_count(conflicts, 'image has', 'images have')} copies with different labels: {example}"
        found.append(_problem("conflicts", text))
    return found


def _near(audit: Mapping[str, Any]) -> list[Finding]:
    pairs = audit["near"]
    if not pairs:
        return [_good("copies", "no near duplicates")]
    kinds = [pair["kind"] for pair in pairs]
    split = ", ".join(f"{kinds.count(kind):,} {kind}" for kind in dict.fromkeys(kinds))
    found = [_notice("copies", f"{_count(pairs, 'pair', 'pairs')} of near duplicates ({split})")]
    conflicts = [pair for pair in pairs if pair["conflict"]]
    if conflicts:
        example = f"{_labelled(conflicts[0]['a'])} and {_labelled(conflicts[0]['b'])}"
        text = f"{_count(conflicts, 'pair', 'pairs')} of near duplicates with different labels: {example}"
        found.append(_problem("conflicts", text))
    return found


def _leaks(audit: Mapping[str, Any]) -> list[Finding]:
    found = []
    for part, earlier in (("test", "the training or validation part"), ("validation", "the training part")):
        row = audit["leaks"][part]
        total = row["exact"] + row["near"]
        if total:
            copies = "have a copy" if total > 1 else "has a copy"
            setting, option = ("near", "near") if row["near"] else ("true", "exact")
            found.append(
                _problem(
                    "leaks",
                    f"{total:,} of {row['n']:,} {part} images ({percent(total / row['n'])}) {copies} in {earlier}:"
                    f" {row['exact']:,} exact, {row['near']:,} near; to leave the copies out: headstart compare"
                    f" --drop-duplicates {option}, or drop_duplicates: {setting} in a study file",
                )
            )
        elif row["n"]:
            found.append(_good("leaks", f"no {part} image has a copy in {earlier}"))
    for row in audit["leaks"]["others"]:
        total = row["exact"] + row["near"]
        if total:
            shared = "1 image is" if total == 1 else f"{total:,} images are"
            text = f"{shared} also in {row['dataset']}: {row['exact']:,} exact, {row['near']:,} near"
            found.append(_problem("leaks", text))
        else:
            found.append(_good("leaks", f"no image is also in {row['dataset']}"))
    return found


def _labels(audit: Mapping[str, Any]) -> list[Finding]:
    rows = audit["label_errors"]
    if not rows:
        return []
    many, right = audit["counts"]["label_errors"], audit["label_check"]["accuracy"]
    looks = "label looks wrong" if many == 1 else "labels look wrong"
    text = f"{many:,} {looks} ({percent(many / max(1, audit['n']))})"
    if right < _WEAK:
        judge = f"the classifier that judges them is only {percent(right)} accurate"
        return [_notice("labels", f"{text}, but {judge}: do not rely on it")]
    first = rows[0]
    example = f"{first['name']}, labelled {first['label']}, looks like {first['suggested']}"
    judge = f"the classifier that judges them is {percent(right)} accurate"
    return [_notice("labels", f"{text}, first of all {example} ({judge})")]


def _classes(audit: Mapping[str, Any]) -> list[Finding]:
    found, spread, rows = [], audit["imbalance"], audit["classes"]
    if spread["ratio"] >= _UNEVEN:
        text = f"{spread['most']:,} images of {spread['largest']}, {spread['fewest']:,} of {spread['smallest']}"
        found.append(_notice("imbalance", f"class sizes are uneven: {text}; also look at balanced accuracy"))
    few = [row["class"] for row in rows if row["n"] < _FEW]
    if few:
        text = f"{_count(few, 'class has', 'classes have')} fewer than {_FEW} images: {_first(few)}"
        found.append(_problem("classes", text))
    for part, word in (("train", "training"), ("test", "test")):
        none = [row["class"] for row in rows if row["n"] and row.get(part) == 0]
        if none:
            found.append(
                _problem("classes", f"{_count(none, 'class has', 'classes have')} no {word} images: {_first(none)}")
            )
    return found


def _labelled(place: Mapping[str, Any]) -> str:
    return f"{place['name']} ({place['label']})"


def _named(rows: Sequence[Mapping[str, Any]]) -> str:
    return _first([f"{row['name']} ({_ENDING.sub(_SAID, row['reason'])})" for row in rows])


def _first(names: Sequence[str]) -> str:
    more = f", and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _count(rows: Sequence[Any], one: str, many: str) -> str:
    return _several(len(rows), one, many)


def _several(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def _problem(kind: str, text: str) -> Finding:
    return {"level": "problem", "kind": kind, "text": text}


def _notice(kind: str, text: str) -> Finding:
    return {"level": "notice", "kind": kind, "text": text}


def _good(kind: str, text: str) -> Finding:
    return {"level": "good", "kind": kind, "text": text}
