"""Addresses, told from paths: shards of a dataset are read from one; images, tables and weights need a path."""

from __future__ import annotations

import re

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/(/|[^/\\])", re.IGNORECASE)  # a path that was made of one has one slash
IS_ADDRESS = "is an address; download the image and give the file's path"


def is_address(text: str) -> bool:
    """Say whether a text is an address such as https://host/a.jpg, and not a path (a drive of Windows is a path)."""
    return bool(_ADDRESS.match(text.strip()))
