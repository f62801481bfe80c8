"""Why images are left out, counted: twelve of one kind are one phrase, not twelve lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

_MOST = 5  # kinds that are named
_WORDS = {
    "is an address": "given as an address",
    "is a device": "that are a device",
    "is a folder": "that are a folder",
    "is a ": "",
    "is an ": "",
    "is ": "",
    "has ": "with ",
    "does not ": "that do not ",
}  # how a reason begins of one image, and of several


def reason_counts(reasons: Iterable[str]) -> list[tuple[str, int]]:
    """Return each kind of reason with its number, the most frequent first; the details in brackets are left out."""
    kinds = Counter(_kind(reason) for reason in reasons)
    return sorted(kinds.items(), key=lambda pair: (-pair[1], pair[0]))


def counted_reasons(reasons: Iterable[str]) -> str:
    """Return "12 HEIC: pip install 'headstart[heic]', 3 cut short" of the reasons of fifteen images."""
    kinds = reason_counts(reasons)
    phrases = [f"{count:,} {kind}" for kind, count in kinds[:_MOST]]
    if rest := sum(count for _, count in kinds[_MOST:]):
        phrases.append(f"{rest:,} for other reasons")
    return ", ".join(phrases)


def _kind(reason: str) -> str:
    kind = reason.partition(" (")[0]
    begun = next((words for words in _WORDS if kind.startswith(words)), "")
    return _WORDS.get(begun, "") + kind.removeprefix(begun)
