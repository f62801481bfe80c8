"""From the name of a study, run or dataset to a folder's name: readable, valid on every disk, never shared by two."""

from __future__ import annotations

import hashlib
import re

LONGEST = 100  # characters of a folder name; file systems take 255 bytes, and temporary files have longer names
_DIGITS = 10  # of the name's sha256, in hexadecimal
_SAFE = re.compile(r"[a-z0-9_+]([a-z0-9_.+-]*[a-z0-9_+])?")
_MARKED = re.compile(rf".*-[0-9a-f]{{{_DIGITS}}}")
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)  # devices on Windows


def folder_name(name: str) -> str:
    """Return the folder's name for a name: the name itself where no other can be mistaken for it.

    Any other name is made readable and gets ten digits of its sha256: one with capitals (a disk may ignore their
    case), spaces, slashes or letters outside ASCII, one that Windows reserves, one that is too long, and one that
    ends as if it had such digits already.
    """
    plain = readable(name)
    if plain == name and len(name) <= LONGEST and _SAFE.fullmatch(name) and not _MARKED.fullmatch(name):
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
    return f"{plain[: LONGEST - _DIGITS - 1]}-{digest}"


def readable(name: str) -> str:
    """Return a name as a file can have it: ASCII letters, digits and `_.+-`; two names may become the same."""
    plain = re.sub(r"[^A-Za-z0-9_.+-]+", "-", name).strip("-.") or "run"
    return f"run-{plain}" if _RESERVED.fullmatch(plain) else plain
