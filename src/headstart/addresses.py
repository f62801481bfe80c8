"""Addresses, told from paths: shards of a dataset are read from one; images, tables and weights need a path."""

from __future__ import annotations

import re

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/(/|[^/\\])", re.IGNORECASE)  # a path that was made of one has one slash
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):/+", re.IGNORECASE)


def is_address(text: str) -> bool:
    """Return whether a text is an address such as https://host/a.jpg, and not a path (a drive of Windows is a path)."""
    return bool(_ADDRESS.match(text.strip()))


def as_given(place: object) -> str:
    """Return an address as it was written, with the second slash that a `Path` made of it lacks."""
    text = str(place).strip()
    found = _SCHEME.match(text)
    if found is None or not is_address(text) or "://" in text:
        return text
    return f"{found[1]}:{'///' if found[1].lower() == 'file' else '//'}{text[found.end() :]}"


def is_local(place: object) -> bool:
    """Return whether an address is that of a file on this computer, such as file:///folder/a.jpg."""
    return is_address(str(place)) and str(place).strip().lower().startswith("file:")


def needs_path(place: object, what: str = "image", needed: str = "the file's path") -> str:
    """Return what a message says of an address where a path is needed.

    Args:
        place: the address.
        what: what would have to be downloaded.
        needed: what to give in its place.
    """
    if is_local(place):
        return "is an address of this computer; give the path, without file://"
    return f"is an address; download the {what} and give {needed}"
