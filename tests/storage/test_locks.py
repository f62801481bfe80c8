from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock

from headstart import progress
from headstart.errors import StoreError
from headstart.storage import locks
from headstart.storage.locks import _taken, locked, release, tried


def test_only_one_holds_a_lock_and_its_file_is_gone_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.lock"
    with locked(path):
        assert path.exists()
        with tried(path) as taken:
            assert not taken
        assert path.exists()  # who did not take it does not delete it
    assert not path.exists()
    with tried(path) as taken:
        assert taken
    assert not path.exists()


def test_a_lock_is_released_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "a.lock"):
        raise ZeroDivisionError
    with tried(tmp_path / "a.lock") as taken:
        assert taken


def test_who_waits_enters_when_the_lock_is_free_and_says_that_it_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(progress, "say", said.append)
    taken = locks._taken
    monkeypatch.setattr(locks, "_taken", lambda lock, timeout: taken(lock, min(timeout, 0.05)))
    order: list[str] = []

    def second() -> None:
        with locked(tmp_path / "a.lock", "waiting for the other"):
            order.append("second")

    with locked(tmp_path / "a.lock", "never said"):
        thread = threading.Thread(target=second)
        thread.start()
        while not said:
            time.sleep(0.01)
        order.append("first")
    thread.join(30)
    assert order == ["first", "second"] and said == ["waiting for the other"]


def test_a_lock_on_a_file_that_its_last_holder_deleted_is_taken_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.lock"
    acquire, acquired = FileLock.acquire, []

    def late(self: FileLock, *given: object, **how: object) -> object:
        found = acquire(self, *given, **how)  # type: ignore[arg-type]
        acquired.append(path.stat().st_ino)
        if len(acquired) == 1:
            path.rename(tmp_path / "deleted")  # as if the last holder deleted it just now
        return found

    monkeypatch.setattr(FileLock, "acquire", late)
    lock = FileLock(str(path))
    assert _taken(lock, 1.0) and len(acquired) == 2 and path.exists()
    monkeypatch.undo()
    with tried(path) as taken:
        assert not taken
    release(lock)
    assert not path.exists()


def test_a_place_that_cannot_be_written_is_an_error_or_not_taken(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError), locked(tmp_path / "file" / "a.lock"):
        raise AssertionError("entered")
    with tried(tmp_path / "file" / "a.lock") as taken:
        assert not taken
