from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from headstart.storage import swap
from headstart.storage.cleanup import clean_up
from headstart.storage.swap import replace_folder


def folder(path: Path, content: str) -> Path:
    path.mkdir()
    (path / "file").write_text(content)
    return path


@pytest.mark.parametrize("can", [True, False])
def test_a_folder_takes_the_place_of_another_or_of_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can: bool
) -> None:
    if not can:
        monkeypatch.setattr(swap, "_system_call", lambda: None)
    for content in ("one", "two", "three"):
        replace_folder(folder(tmp_path / "new", content), tmp_path / "place")
        assert [path.name for path in tmp_path.iterdir()] == ["place"]
        assert (tmp_path / "place" / "file").read_text() == content


@pytest.mark.skipif(swap._system_call() is None, reason="this system cannot exchange two names")
def test_a_reader_finds_the_folder_at_any_moment(tmp_path: Path) -> None:
    place, missed, reads = folder(tmp_path / "place", "0"), 0, 0
    ended = threading.Event()

    def rewrite() -> None:
        for number in range(300):
            replace_folder(folder(tmp_path / f"new-{number}", str(number)), place)
        ended.set()

    thread = threading.Thread(target=rewrite)
    thread.start()
    while not ended.is_set():
        reads += 1
        missed += not (place / "file").exists()
    thread.join()
    assert reads > 100 and missed == 0


@pytest.mark.parametrize(("number", "falls_back"), [(errno.EINVAL, True), (errno.ENOSYS, True), (errno.EIO, False)])
def test_a_disk_that_cannot_exchange_is_served_by_two_renames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, falls_back: bool
) -> None:
    monkeypatch.setattr(swap, "_system_call", lambda: lambda *_: -1)
    monkeypatch.setattr(swap.ctypes, "get_errno", lambda: number)
    folder(tmp_path / "place", "old")
    if falls_back:
        replace_folder(folder(tmp_path / "new", "new"), tmp_path / "place")
    else:
        with pytest.raises(OSError, match=os.strerror(number)):
            replace_folder(folder(tmp_path / "new", "new"), tmp_path / "place")
    assert (tmp_path / "place" / "file").read_text() == ("new" if falls_back else "old")


def test_a_second_rename_that_fails_leaves_the_old_folder_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, place, rename = folder(tmp_path / "new", "new"), folder(tmp_path / "place", "old"), os.replace

    def replace(source: Path, target: Path) -> None:
        if source == new:  # on Windows: a program has opened a file in it
            raise PermissionError(errno.EACCES, "Access is denied")
        rename(source, target)

    monkeypatch.setattr(swap, "_system_call", lambda: None)
    monkeypatch.setattr(swap.os, "replace", replace)
    with pytest.raises(PermissionError):
        replace_folder(new, place)
    clean_up()
    assert (place / "file").read_text() == "old" and (new / "file").read_text() == "new"
