"""The audit in sentences: what is wrong, what is worth a look, what is well."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_UNEVEN = 10.0  # times as many images in the largest class as in the smallest
_FEW = 5  # images of a class
_WEAK = 0.5  # accuracy below which features cannot judge labels
_NAMED = 3

Finding = dict[str, str]


def findings(audit: Mapping[str, Any]) -> list[Finding]:
    """Return the findings as {"level": "problem" | "notice" | "good", "text"}, the worst first."""
    found = [*_files(audit), *_copies(audit), *_leaks(audit), *_labels(audit), *_counts(audit)]
    order = {"problem": 0, "notice": 1, "good": 2}
    return sorted(found, key=lambda finding: order[finding["level"]])


def _files(audit: Mapping[str, Any]) -> list[Finding]:
    found = []
    bad, skipped = audit["unreadable"], audit["skipped"]
    if bad:
        found.append(_problem(f"{_count(bad, 'file does', 'files do')} not decode: {_named(bad)}"))
    if skipped:
        found.append(_notice(f"{_count(skipped, 'item was', 'items were')} left out at loading: {_named(skipped)}"))
    if not bad:
        found.append(_good("every image decodes to its end"))
    words = {
        "modes": "are neither RGB nor grey",
        "animated": "are animations (only the first frame counts)",
        "tiny": "are under 32 pixels",
        "elongated": "are more than four times as long as wide",
    }
    for kind, what in words.items():
        odd = audit["files"]["odd"][kind]
        if odd["n"]:
            found.append(_notice(f"{odd['n']} images {what}, such as {odd['rows'][0]['name']}"))
    return found


def _copies(audit: Mapping[str, Any]) -> list[Finding]:
    found = []
    torn = [group for group in audit["exact"] if group["conflict"]]
    if torn:
        places = torn[0]["places"]
        example = f"{places[0]['name']} ({places[0]['label']}) and {places[1]['name']} ({places[1]['label']})"
        found.append(_problem(f"{_count(torn, 'image stands', 'images stand')} under two labels: {example}"))
    if audit["exact"]:
        extra = sum(group["n"] - 1 for group in audit["exact"])
        found.append(_notice(f"{extra} exact copies of {_count(audit['exact'], 'image', 'images')}"))
    else:
        found.append(_good("no exact duplicates"))
    if audit["near"]:
        kinds = [pair["kind"] for pair in audit["near"]]
        split = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
        found.append(_notice(f"{_count(audit['near'], 'pair', 'pairs')} of near duplicates ({split})"))
    else:
        found.append(_good("no near duplicates"))
    torn = [pair for pair in audit["near"] if pair["conflict"]]
    if torn:
        a, b = torn[0]["a"], torn[0]["b"]
        found.append(
            _problem(
                f"{_count(torn, 'pair', 'pairs')} of near duplicates with different labels:"
                f" {a['name']} ({a['label']}) and {b['name']} ({b['label']})"
            )
        )
    return found


def _leaks(audit: Mapping[str, Any]) -> list[Finding]:
    found, leaks = [], audit["leaks"]
    for part in ("test", "validation"):
        row = leaks[part]
        total = row["exact"] + row["near"]
        if total:
            share = 100 * total / row["n"]
            how = "near leaves them" if row["near"] else "true leaves them"
            found.append(
                _problem(
                    f"{total} of {row['n']} {part} images ({share:.1f} %) have a twin in an earlier part:"
                    f" {row['exact']} exact, {row['near']} near; drop_duplicates: {how} out of training"
                )
            )
        elif row["n"]:
            found.append(_good(f"no {part} image has a twin in an earlier part"))
    for row in leaks["others"]:
        total = row["exact"] + row["near"]
        text = f"{total} images also stand in {row['dataset']}: {row['exact']} exact, {row['near']} near"
        found.append(_problem(text) if total else _good(f"nothing shared with {row['dataset']}"))
    return found


def _labels(audit: Mapping[str, Any]) -> list[Finding]:
    rows = audit["disputed"]
    if not rows:
        return []
    first, many, right = rows[0], audit["counts"]["disputed"], audit["label_check"]["accuracy"]
    text = f"{many} labels ({100 * many / max(1, audit['n']):.1f} %) are disputed by the features"
    if right < _WEAK:
        return [_notice(f"{text}, which themselves get only {100 * right:.1f} % right: too weak to go by")]
    return [
        _notice(
            f"{text}, which get {100 * right:.1f} % right; most of all {first['name']}:"
            f" {first['label']}, or rather {first['suggested']}?"
        )
    ]


def _counts(audit: Mapping[str, Any]) -> list[Finding]:
    found, spread = [], audit["imbalance"]
    if spread["ratio"] >= _UNEVEN:
        found.append(
            _notice(
                f"classes are uneven: {spread['most']} images of {spread['largest']}, {spread['fewest']} of"
                f" {spread['smallest']}; look at balanced accuracy as well"
            )
        )
    few = [row for row in audit["classes"] if row["n"] < _FEW]
    if few:
        names = ", ".join(row["class"] for row in few[:_NAMED])
        found.append(_problem(f"{_count(few, 'class has', 'classes have')} fewer than {_FEW} images: {names}"))
    return found


def _named(rows: list[Mapping[str, Any]]) -> str:
    more = f", and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
    return ", ".join(f"{row['name']} ({row['reason']})" for row in rows[:_NAMED]) + more


def _count(rows: list[Any], one: str, many: str) -> str:
    return f"{len(rows)} {one if len(rows) == 1 else many}"


def _problem(text: str) -> Finding:
    return {"level": "problem", "text": text}


def _notice(text: str) -> Finding:
    return {"level": "notice", "text": text}


def _good(text: str) -> Finding:
    return {"level": "good", "text": text}
