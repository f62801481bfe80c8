"""Which weights are on this machine, and whether others may be fetched."""

from __future__ import annotations

import functools
import json
import os
import urllib.error
import urllib.request
from pathlib import Path

from headstart.models.line_ups.table import LineUpNetwork
from headstart.models.weights.aerial import AERIAL, aerial_file
from headstart.models.weights.download import cached_timm, cached_url
from headstart.models.weights.registry import EMBEDDED, timm_weights, torchvision_weights

_TRUE = frozenset({"1", "true", "yes", "on"})
_PATIENCE = 4.0  # seconds until a network counts as absent
_HEADER = 8  # bytes at the start of a safetensors file: the length of its description


def place_of(candidate: LineUpNetwork) -> Path | None:
    """Return the file of a candidate's weights on this machine: installed, or whole in a cache; None if absent."""
    architecture = candidate.architecture
    library, _, tag = candidate.weights.partition(":")
    if library == "torchvision":
        found = cached_url(torchvision_weights(architecture.name)[tag].url)
    elif library == "timm":
        found = cached_timm(timm_weights(architecture.name)[tag])
    elif candidate.weights == AERIAL:
        found = aerial_file()
    else:
        found = EMBEDDED[architecture.name].path()
    return found if found is not None and _is_whole(found) else None


def disk_bytes(candidate: LineUpNetwork) -> int:
    """Return the size of the weights' file: of the file on this machine, else four bytes for each parameter."""
    place = place_of(candidate)
    return place.stat().st_size if place is not None else 4 * candidate.parameters


def why_not_fetched() -> str | None:
    """Return why no weights may be fetched: forbidden by the environment, in CI, or no network; None if they may."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        if os.environ.get(name, "").lower() in _TRUE:
            return f"{name} is set"
    if os.environ.get("CI", "").lower() in _TRUE:
        return "CI is set"
    return None if _hub_answers() else "no internet"


@functools.cache
def _hub_answers() -> bool:
    """Return whether the Hugging Face hub can be reached; it is asked once."""
    from huggingface_hub.constants import ENDPOINT

    try:
        ask = urllib.request.Request(ENDPOINT, method="HEAD")
        urllib.request.urlopen(ask, timeout=_PATIENCE).close()
    except urllib.error.HTTPError:  # it answers, if only to refuse a request without an address
        return True
    except (OSError, ValueError):
        return False
    return True


def _is_whole(path: Path) -> bool:
    """Return whether a file has content and, if it is a safetensors file, all bytes that its description announces."""
    try:
        size = path.stat().st_size
        if path.suffix != ".safetensors":
            return size > 0
        with path.open("rb") as file:
            length = int.from_bytes(file.read(_HEADER), "little")
            if not 0 < length <= size - _HEADER:
                return False
            described = json.loads(file.read(length))
        ends = [entry["data_offsets"][1] for name, entry in described.items() if name != "__metadata__"]
        return bool(_HEADER + length + max(ends, default=0) == size)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
        return False
