from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock

from headstart.errors import StoreError
from headstart.storage.cleanup import clean_up
from headstart.storage.locks import acquired, lock_at, locked, release, tried


def test_a_lock_is_held_by_one_at_a_time_and_leaves_no_file(tmp_path: Path) -> None:
    path, inside, most = tmp_path / "a" / "x.lock", [], []

    def work() -> None:
        for _ in range(20):
            with locked(path):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.001)
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 80 and max(most) == 1
    assert list((tmp_path / "a").iterdir()) == []


def test_a_lock_that_is_held_is_not_taken(tmp_path: Path) -> None:
    with locked(tmp_path / "x.lock"):
        with tried(tmp_path / "x.lock") as taken:
            assert not taken
        assert (tmp_path / "x.lock").exists()
    with tried(tmp_path / "x.lock") as taken:
        assert taken
    assert not (tmp_path / "x.lock").exists()


def test_who_waited_for_a_lock_whose_file_is_gone_takes_the_new_one(tmp_path: Path) -> None:
    path, taken = tmp_path / "x.lock", threading.Event()
    first = FileLock(str(path))
    first.acquire()

    def wait() -> None:
        with locked(path):
            assert path.exists(), "else another could take it too"
            taken.set()

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.2)
    release(first)
    thread.join()
    assert taken.is_set()


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(FileLock, "acquire", refuse)
    with pytest.raises(StoreError, match=r"x\.lock: cannot be written"), locked(tmp_path / "x.lock"):
        pass
    with tried(tmp_path / "x.lock") as taken:
        assert not taken
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_place_of_a_lock_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.lock").mkdir()
    with (
        pytest.raises(StoreError, match=r"a\.lock: cannot be written, because .*; delete or rename it"),
        locked(tmp_path / "a.lock"),
    ):
        pass


def test_the_end_of_the_process_releases_what_another_thread_holds(tmp_path: Path) -> None:
    lock = lock_at(tmp_path / "x.lock")
    thread = threading.Thread(target=acquired, args=(lock, 0))
    thread.start()
    thread.join()
    assert lock.is_locked
    clean_up()
    assert not lock.is_locked and list(tmp_path.iterdir()) == []
