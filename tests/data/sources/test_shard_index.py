"""One pass over the headers of a shard."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from headstart.data.file_ranges import LocalFile
from headstart.data.sources import shard_index as indexing
from headstart.data.sources.shard_index import key_of, shard_index
from headstart.errors import DataError


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    """Return a shard of two images, with a member of each kind of label."""
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as archive:
        for key in ("d/a", "d/b"):
            for suffix, content in (
                ("png", b"pixels of " + key.encode()),
                ("cls", b" 3\n"),
                ("json", b'{"class": [1, "x"]}'),
            ):
                info = tarfile.TarInfo(f"./{key}.{suffix}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        archive.addfile(tarfile.TarInfo("d/c.png.d/"))
    return path


def test_the_bytes_of_an_image_are_where_the_index_says(shard: Path) -> None:
    rows = shard_index(LocalFile(shard), None).images.to_pylist()
    content = shard.read_bytes()
    assert [content[row["start"] :][: row["size"]] for row in rows] == [b"pixels of d/a", b"pixels of d/b"]
    assert [row["name"] for row in rows] == ["d/a.png", "d/b.png"] and rows[0]["folder"] == "d"
    assert rows[0]["cls"] == "3" and rows[0]["json"] == "1|x" and rows[0]["txt"] is None


def test_the_field_that_is_asked_for_is_another_index(shard: Path) -> None:
    assert shard_index(LocalFile(shard), None).images["json"].to_pylist() == ["1|x"] * 2
    assert shard_index(LocalFile(shard), "class").images["json"].to_pylist() == ["1|x"] * 2
    assert shard_index(LocalFile(shard), "none").images["json"].to_pylist() == [None] * 2


def test_a_shard_that_changes_meanwhile_is_refused(shard: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = indexing._read

    def read(file: LocalFile, label_field: str | None) -> indexing.ShardIndex:
        found = whole(file, label_field)
        with shard.open("ab") as target:
            target.write(bytes(512))
        return found

    monkeypatch.setattr(indexing, "_read", read)
    with pytest.raises(DataError, match="changed while it was being read"):
        shard_index(LocalFile(shard), None)


@pytest.mark.parametrize(
    ("member", "key", "extension"),
    [("a.png", "a", "png"), ("x.y/a.seg.PNG", "x.y/a", "seg.png"), ("README", "README", ""), ("d/.x", "d/", "x")],
)
def test_a_key_ends_at_the_first_dot_of_the_name(member: str, key: str, extension: str) -> None:
    assert key_of(member) == (key, extension)
