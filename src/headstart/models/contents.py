"""What a file of weights really is, told by its first bytes and never by its name."""

from __future__ import annotations

import re
from pathlib import Path

BEGINNING = 1024  # bytes
_MAX_HEADER = 100_000_000  # bytes of a safetensors header, as its own reader allows
_PAGE = re.compile(rb"(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<(!doctype|html|head|body|error)\b", re.IGNORECASE | re.DOTALL)
_FAILED = re.compile(rb'\{\s*"(error|message|detail)"|(access denied|not found|invalid username)\b', re.IGNORECASE)
_OTHERS = {
    b"\x89HDF\r\n\x1a\n": "is an HDF5 file, as Keras writes; only PyTorch and safetensors files can be read",
    b"\x93NUMPY": "is a NumPy array, not a checkpoint",
    b"version https://git-lfs": "is a pointer of Git LFS, not the file itself; run 'git lfs pull'",
    b"\x1f\x8b": "is compressed with gzip; decompress it, and give the checkpoint inside",
    b"7z\xbc\xaf\x27\x1c": "is a 7z archive; unpack it, and give the checkpoint inside",
}


def beginning_of(path: Path) -> bytes:
    """Return the first bytes of a file.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return file.read(BEGINNING)


def other_content(first: bytes) -> str | None:
    """Return what a file is and what to do, from its first bytes, where it is surely no checkpoint; else None."""
    text = first.removeprefix(b"\xef\xbb\xbf").lstrip()
    if _PAGE.match(text):
        return "is a web page, not a checkpoint; the download failed"
    if _FAILED.match(text):
        said = " ".join(text.decode("utf-8", "replace").split())
        return f"is a server's answer ({said:.60}), not a checkpoint; the download failed"
    return next((reason for start, reason in _OTHERS.items() if text.startswith(start)), None)


def is_safetensors(first: bytes) -> bool:
    """Return whether a file begins as safetensors files do: the length of a header, and JSON."""
    return 0 < int.from_bytes(first[:8], "little") <= _MAX_HEADER and first[8:9] == b"{"


def is_torch_file(first: bytes) -> bool:
    """Return whether a file begins as those of torch.save do: a zip archive, or a pickle."""
    return first.startswith((b"PK\x03\x04", b"\x80"))
