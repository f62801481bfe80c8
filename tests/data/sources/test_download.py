"""Downloads: checked against the checksum, and present whole or not at all."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from headstart.data.sources.download import download
from headstart.errors import DataAbsent, DataError


@pytest.fixture
def published(tmp_path: Path) -> tuple[str, str]:
    """Return the address and md5 of a file of one block and a half."""
    content = bytes(range(256)) * 6144
    (tmp_path / "published.zip").write_bytes(content)
    return (tmp_path / "published.zip").as_uri(), hashlib.md5(content).hexdigest()


def test_a_file_is_downloaded_once(published: tuple[str, str], tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.zip"
    assert download(published[0], target, published[1]) == target
    assert target.read_bytes() == (tmp_path / "published.zip").read_bytes()
    assert not target.with_name("a.zip.partial").exists()
    target.write_bytes(b"kept")
    assert download("file:///no/such/file", target, "0" * 32).read_bytes() == b"kept"


def test_another_content_is_refused_and_deleted(published: tuple[str, str], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"gave a file with md5 {published[1]}, not {'0' * 32}; it was deleted"):
        download(published[0], tmp_path / "a.zip", "0" * 32)
    assert not (tmp_path / "a.zip").exists() and not (tmp_path / "a.zip.partial").exists()


def test_no_answer_says_where_to_put_the_file(tmp_path: Path) -> None:
    with pytest.raises(DataAbsent, match=r"cannot be downloaded .*; download it elsewhere and put it at .*a\.zip"):
        download((tmp_path / "absent").as_uri(), tmp_path / "a.zip", "0" * 32)
