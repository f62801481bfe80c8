from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from headstart.models.contents import BEGINNING, beginning_of, is_safetensors, is_torch_file, other_content


@pytest.mark.parametrize(
    ("first", "words"),
    [
        (b"<html>", "is a web page"),
        (b"\xef\xbb\xbf\n<!doctype html>", "is a web page"),
        (b"<!-- saved from -->\n<HTML lang='en'>", "is a web page"),
        (b'<?xml version="1.0"?>\n<Error><Code>AccessDenied', "is a web page"),
        (b'{"error": "Repository not found"}', "is a server's answer"),
        (b"Access denied", "is a server's answer"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b"\x93NUMPY\x01\0", "is a NumPy array"),
        (b"\x1f\x8b\x08", "compressed with gzip"),
        (b"\x89HDF\r\n\x1a\n", "is an HDF5 file"),
    ],
)
def test_other_contents_are_named(first: bytes, words: str) -> None:
    assert words in str(other_content(first))


def test_weights_are_told_from_other_contents(tmp_path: Path) -> None:
    path = tmp_path / "a"
    torch.save({"a": torch.ones(1000)}, path)
    first, tensors = beginning_of(path), save({"a": torch.ones(1)})
    assert len(first) == BEGINNING and is_torch_file(first) and not is_safetensors(first)
    assert is_safetensors(tensors) and not is_torch_file(tensors)
    assert other_content(first) is None and other_content(tensors) is None and other_content(b"") is None
