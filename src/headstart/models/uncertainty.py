"""The part of a model's file that says how sure its answers are; `headstart.evaluate.uncertainty` reads it.

It is sealed with the rest. A file without it is a model like any other, and a headstart that does not know it ignores
it, so the format of the file is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from headstart.errors import ModelError
from headstart.models.bundle_checks import check_finite

KEY = "uncertainty"
_PREFIX = f"{KEY}."
_MOST_NUMBERS = 1 << 28  # of all tensors together


@dataclass(frozen=True)
class UncertaintyPart:
    """Facts and tensors, as they are in the file.

    Args:
        facts: JSON-able.
        tensors: by name, all finite.
    """

    facts: Mapping[str, Any]
    tensors: Mapping[str, Tensor] = field(default_factory=dict)


def part_tensors(part: UncertaintyPart | None) -> dict[str, Tensor]:
    """Return the tensors under the names that they have in the file."""
    return {} if part is None else {f"{_PREFIX}{name}": tensor for name, tensor in part.tensors.items()}


def part_facts(part: UncertaintyPart | None) -> dict[str, Any]:
    """Return what the part adds to the description of a file."""
    return {} if part is None else {KEY: dict(part.facts)}


def read_part(described: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> UncertaintyPart | None:
    """Return the part of a file, or None where it has none.

    Raises:
        ModelError: it is not as it may be.
    """
    facts = described.get(KEY)
    if facts is None:
        return None
    if not isinstance(facts, Mapping):
        raise ModelError(f"{KEY} must be a mapping, not {facts!r:.40}")
    own = {name.removeprefix(_PREFIX): tensor for name, tensor in tensors.items() if name.startswith(_PREFIX)}
    if sum(tensor.numel() for tensor in own.values()) > _MOST_NUMBERS:
        raise ModelError(f"{KEY} holds more than {_MOST_NUMBERS:,} numbers")
    check_finite(own, f"{KEY}'s ")
    return UncertaintyPart(facts, own)
