"""The verdicts in plain sentences: what `compare_runs` says in words is said here."""

from __future__ import annotations

from collections.abc import Sequence

from headstart.evaluate.comparison.sources import SEED
from headstart.evaluate.comparison.verdict import Category, Matters, Needed

SAME_SEEDS = "all seeds gave the same answers"


def figure(value: float, share: bool, sign: str = "") -> str:
    """Return a score as a percentage without its sign, or as a plain number."""
    return f"{100 * value:{sign}.1f}" if share else f"{value:{sign}.3g}"


def size_of(difference: float, low: float, high: float, share: bool) -> str:
    """Return a difference with its interval."""
    points = " points" if share else ""
    return f"{figure(difference, share, '+')}{points} ({figure(low, share, '+')} to {figure(high, share, '+')})"


def pair_sentence(
    a: str,
    b: str,
    size: str,
    category: Category,
    matters: Matters,
    margin: str,
    needed: Needed | None,
    n: int,
    unit: str = SEED,
) -> str:
    """Describe what is known about two runs; `unit` is what a row of their scores is called."""
    if category == "tied":
        return f"{a} and {b} are tied: {size}; a difference of more than {margin} is unlikely"
    if category == "cannot tell":
        return f"cannot tell yet whether {a} is better than {b}: {size}{settled(needed, n, unit)}"
    weight = {
        "yes": f"more than {margin}, so it matters",
        "no": f"less than {margin}, so it hardly matters",
        "unclear": f"it may be less than {margin}",
    }[matters]
    return f"{a} is {category} than {b}: {size}; {weight}"


def settled(needed: Needed | None, n: int, unit: str = SEED) -> str:
    """Describe what would settle a question, or that it would take too much."""
    if needed is None:
        return ""
    ways = [] if needed["seeds"] is None else [f"{needed['seeds']} {unit}s"]
    ways += [] if needed["images"] is None else [f"{needed['images']:,} test images"]
    if not ways and needed["both"] is not None:
        seeds, images = needed["both"]
        ways = [f"{seeds} {unit}s and {images:,} test images together" if images > n else f"{seeds} {unit}s"]
    if not ways:
        return f"; to settle it would take more {unit}s and images than is practical"
    return f"; about {' or '.join(ways)} would settle it"


def margin_words(margin: float, share: bool) -> str:
    """Name the margin."""
    if not share:
        return f"{margin:.3g}"
    points = f"{100 * margin:.3g}"
    return f"{points} point{'' if points == '1' else 's'}"


def answer(
    best: str,
    score: str,
    others: int,
    tied: Sequence[str],
    open_: Sequence[str],
    question: str,
    level: Sequence[str] = (),
) -> str:
    """Describe which run is best and how sure that is.

    Args:
        best: the run with the best mean.
        score: its mean with its interval.
        others: how many other runs there are.
        tied: runs that are tied with it.
        open_: runs of which it is not yet clear.
        question: the difference from the first of these, and what would settle it.
        level: runs whose mean is the same as the best's.
    """
    if not others:
        return f"{best}: {score}; nothing to compare it with"
    if not tied and not open_:
        return f"{best} is best: {score}, better than {_each(others)}"
    parts = [f"{_listed([best, *level])} share the best score: {score}" if level else f"{best} leads: {score}"]
    it = best if level else "it"
    if tied:
        parts.append(f"tied with {it}: {_listed(tied)}")
    if open_:
        about = f": {question}" if len(open_) == 1 else f" ({open_[0]}: {question})"
        parts.append(f"cannot tell yet whether {it} is better than {_listed(open_)}{about}")
    return "; ".join(parts)


def _each(others: int) -> str:
    return "the other" if others == 1 else f"each of the {others} others"


def _listed(names: Sequence[str]) -> str:
    if len(names) > 3:
        return f"{', '.join(names[:3])} and {len(names) - 3} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def notes(
    single: Sequence[str], same: Sequence[str], counts: Sequence[int], pairing: bool, unit: str = SEED
) -> list[str]:
    """Return what a reader must know about the comparison.

    Args:
        single: runs of one seed that were not declared deterministic.
        same: runs whose seeds all gave the same outcomes and that were not declared deterministic.
        counts: numbers of seeds of the runs that have more than a single possible one.
        pairing: whether seeds are paired.
        unit: what a seed is called.
    """
    found = []
    if single:
        found.append(
            f"one {unit} only ({', '.join(single)}): how much another {unit} would change is taken from recorded"
            " runs and the other runs of this study"
        )
    if same:
        found.append(f"{SAME_SEEDS} ({', '.join(same)}): if nothing in it is random, one seed is enough")
    if len(set(counts)) > 1 and not pairing:
        found.append(f"runs have between {min(counts)} and {max(counts)} {unit}s")
    return found
