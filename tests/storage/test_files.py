"""Files that a reader sees whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import SafetensorError

from headstart.errors import StoreError
from headstart.storage.files import delete, disk_errors, link_or_copy, read_json, write_atomic, write_json


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_link_shares_its_bytes_and_survives_the_first_name(tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(b"weights")
    link_or_copy(source, target)
    assert source.stat().st_ino == target.stat().st_ino
    source.unlink()
    assert target.read_bytes() == b"weights" and names(tmp_path) == ["b"]


def test_without_hard_links_the_file_is_copied(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(b"weights")
    link_or_copy(source, target)
    assert target.read_bytes() == b"weights" and source.stat().st_ino != target.stat().st_ino
    assert names(tmp_path) == ["a", "b"]


def test_a_file_that_was_there_is_replaced_even_by_itself(tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(b"new")
    target.write_bytes(b"old")
    for _ in range(2):  # the second time both names are one file already
        link_or_copy(source, target)
        assert target.read_bytes() == b"new" and names(tmp_path) == ["a", "b"]


def test_a_full_disk_is_one_line_with_the_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    for write in (lambda: write_atomic(tmp_path / "x", "text"), lambda: link_or_copy(Path(__file__), tmp_path / "x")):
        with pytest.raises(StoreError, match="x: the disk is full"):
            write()
    assert names(tmp_path) == []


def test_a_full_disk_is_one_line_also_in_the_words_of_safetensors(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="x: the disk is full"), disk_errors(tmp_path / "x"):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
    with pytest.raises(SafetensorError, match="no header"), disk_errors(tmp_path / "x"):
        raise SafetensorError("no header")


def test_a_file_in_the_way_of_a_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file" / "x", tmp_path / "file" / "deeper" / "x"):
        with pytest.raises(
            StoreError, match=r"x: cannot be written, because a file has the name of a folder, .*; delete"
        ):
            write_atomic(place, "text")


def test_a_folder_in_the_way_of_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(StoreError, match=r"x: cannot be written, because .* or a folder that of a file .*; delete"):
        write_atomic(tmp_path / "x", "text")


def test_a_folder_that_cannot_be_emptied_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "x" / "kept").mkdir(parents=True)
    with pytest.raises(StoreError, match=r"x: cannot be written \(.*\)"), disk_errors(tmp_path / "x"):
        os.replace(tmp_path / "new", tmp_path / "x")


def test_a_json_file_that_disappears_while_it_is_read_is_no_such_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "exists", lambda path: True)
    with pytest.raises(StoreError, match=r"a\.json: no such file$"):
        read_json(tmp_path / "a.json")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with a name")
def test_a_pipe_a_device_or_an_endless_file_is_not_read_as_json(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    with (tmp_path / "long").open("wb") as file:
        file.truncate((1 << 30) + 1)
    for name in ("pipe", "zero", "folder", "long"):
        with pytest.raises(StoreError, match=f"{name}: is not a JSON file; delete it to create it again"):
            read_json(tmp_path / name)


INTERRUPTED = """
import os, sys
from pathlib import Path
from filelock import FileLock
from headstart.storage.files import temporary
from headstart.storage.cleanup import clean_up
from headstart.storage.locks import acquired
place = Path(sys.argv[1])
lock = FileLock(place / "a.lock")
acquired(lock, 0), temporary(place / "a.json").touch(), temporary(place / "folder").mkdir()
for _ in range(300):
    temporary(place / "gone")
if os.fork() == 0:
    clean_up()  # a child deletes nothing of its parent's
    os._exit(0)
os.wait()
print(len(list(place.iterdir())))
sys.exit(143)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes that are copies")
def test_an_interrupted_process_deletes_its_temporary_files_and_locks_when_it_ends(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", INTERRUPTED, str(tmp_path)], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (143, "3\n"), ended.stderr
    assert names(tmp_path) == []


def test_what_cannot_be_looked_at_is_not_deleted_and_no_error(tmp_path: Path) -> None:
    delete(tmp_path / ("a" * 300))  # too long for a name: `Path.is_dir` raises before Python 3.14


def test_json_that_is_damaged_is_named(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"é": [1.5, None]})
    assert read_json(tmp_path / "a.json") == {"é": [1.5, None]}
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(StoreError, match=r"a\.json: cannot be read as JSON .*; delete it to create it again"):
        read_json(tmp_path / "a.json")
    with pytest.raises(StoreError, match=r"b\.json: no such file$"):
        read_json(tmp_path / "b.json")
