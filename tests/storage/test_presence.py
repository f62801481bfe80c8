from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock

from headstart.storage import presence
from headstart.storage.files import temporary, writer, writer_of
from headstart.storage.locks import acquired, locked
from headstart.storage.presence import FOLDER, Held, at_work, clear, since

WORKS_UNTIL_KILLED = """
import sys, time
from pathlib import Path
from headstart.storage import presence
from headstart.storage.files import temporary
from headstart.storage.locks import locked
from headstart.storage.presence import at_work
folder = Path(sys.argv[1])
with at_work(folder):
    temporary(folder / "half.json").write_text("{")
    temporary(folder / "run").mkdir()
    (folder / ".run.lock").touch()
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    process = subprocess.Popen([sys.executable, "-c", WORKS_UNTIL_KILLED, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    began = since(tmp_path)
    assert began is not None and time.time() - 60 < began <= time.time()
    clear(tmp_path)
    assert len(list(tmp_path.iterdir())) == 3, "what a living process writes is left alone; nobody holds the lock"
    process.kill()
    process.wait()
    process.stdout.close()
    return tmp_path


def test_a_process_that_was_killed_is_not_at_work_and_what_it_left_is_cleared(killed: Path) -> None:
    assert since(killed) is None
    clear(killed)
    assert list(killed.iterdir()) == []


def test_a_lock_that_is_held_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    with locked(tmp_path / "runs" / ".a.lock"):
        (tmp_path / "runs" / ".b.lock").touch()
        clear(tmp_path)
        assert [path.name for path in (tmp_path / "runs").iterdir()] == [".a.lock"]


def test_a_folder_is_at_work_while_the_block_runs(tmp_path: Path) -> None:
    assert since(tmp_path) is None
    with at_work(tmp_path):
        first = since(tmp_path)
        with at_work(tmp_path):
            assert since(tmp_path) == first, "the one that began first counts"
        assert since(tmp_path) == first
    assert since(tmp_path) is None and list(tmp_path.iterdir()) == []


def test_what_is_written_by_an_unknown_process_is_left_for_an_hour(tmp_path: Path) -> None:
    fresh, old, mine, other = (tmp_path / f".x.{name}.tmp" for name in ("a-1", "b-1", f"{writer()}-1", "c"))
    for path in (fresh, old, mine, other):
        path.touch()
    for path in (old, mine):
        os.utime(path, (time.time() - 4000,) * 2)
    clear(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([fresh, mine, other])


@pytest.mark.parametrize("levels", [None, 2])
def test_folders_that_others_rename_meanwhile_are_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, levels: int | None
) -> None:
    stale, deep = (tmp_path / place / ".data.npy.unknown.tmp" for place in ("fits/stays", "fits/stays/a/b"))
    for each in (stale, deep, tmp_path / "fits/gone.partial/.data.npy.unknown.tmp"):
        each.parent.mkdir(parents=True, exist_ok=True)
        each.write_bytes(b"")
        os.utime(each, (0, 0))
    plain = os.scandir

    def scan(place: str | Path) -> object:
        if Path(place).name == "gone.partial":
            Path(place).rename(tmp_path / "fits/whole")
        return plain(place)

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", scan)
        clear(tmp_path, levels)
    assert not stale.exists() and deep.exists() == (levels is not None) and (tmp_path / "fits/whole").is_dir()


def test_a_process_that_has_not_yet_locked_its_new_file_waits_until_all_is_cleared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / FOLDER / f"{'a' * 12}-1-2.lock"
    mine.parent.mkdir()
    mine.touch()
    (tmp_path / f".study.json.{'a' * 12}-3.tmp").touch()
    tried: list[bool] = []

    def asked(path: Path) -> str | None:
        tried.append(acquired(FileLock(str(mine)), 0))
        return writer_of(path)

    monkeypatch.setattr("headstart.storage.presence.writer_of", asked)
    clear(tmp_path)
    assert tried == [False] and list(tmp_path.iterdir()) == []


def test_what_a_process_writes_that_left_and_came_back_meanwhile_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing = tmp_path / f".study.json.{'a' * 12}-3.tmp"
    writing.touch()
    left = tmp_path / FOLDER / f"{'a' * 12}-1-2.lock"
    monkeypatch.setattr("headstart.storage.presence._locks", lambda folder: [left])
    clear(tmp_path)
    assert list(tmp_path.iterdir()) == [writing]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with a name")
def test_what_is_no_lock_file_is_neither_opened_nor_taken_for_a_process(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    os.mkfifo(tmp_path / FOLDER / "abc-1-2.lock")
    (tmp_path / FOLDER / "abc-x-2.lock").touch()
    assert since(tmp_path) is None
    clear(tmp_path)
    with at_work(tmp_path):
        assert since(tmp_path) is not None


def test_what_a_process_writes_that_is_about_to_lock_a_second_file_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with at_work(tmp_path):
        (entered,) = presence._locks(tmp_path)
        part = temporary(tmp_path / "half.json")
        part.touch()
        new = entered.with_name(f"{writer()}-1-2.lock")
        new.touch()  # not locked yet, so that it looks like that of a dead process
        listed = iter([[new]])  # before the process entered
        real = presence._locks
        monkeypatch.setattr(presence, "_locks", lambda folder: next(listed, None) or real(folder))
        clear(tmp_path)
        assert part.exists()


def test_a_place_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_text("a file where the folder should be")
    with at_work(tmp_path):
        assert since(tmp_path) is None


def test_a_lock_that_is_cleared_before_it_is_held_is_created_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock, cleared = FileLock._acquire, []

    def late(lock: FileLock) -> None:
        flock(lock)
        if not cleared:  # another process held the new file for a moment, and deleted it
            cleared.append(Path(lock.lock_file))
            cleared[0].unlink()

    monkeypatch.setattr(FileLock, "_acquire", late)
    with at_work(tmp_path):
        assert cleared and cleared[0].exists()
        assert since(tmp_path) is not None, "prune and clear in other processes see it"


def test_a_lock_whose_process_left_meanwhile_is_not_created_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / FOLDER / "abc-1000-1.lock"
    monkeypatch.setattr("headstart.storage.presence._locks", lambda folder: [lock])
    assert since(tmp_path) is None and list(tmp_path.iterdir()) == [], "it left before the lock was looked at"
    lock.parent.mkdir()
    lock.touch()
    assert since(tmp_path) is None and lock.exists(), "one that died is left to clear"

    def left(found: FileLock, timeout: float) -> bool:
        lock.unlink()
        lock.parent.rmdir()
        return acquired(found, timeout)

    monkeypatch.setattr("headstart.storage.presence.acquired", left)
    assert since(tmp_path) is None and list(tmp_path.iterdir()) == [], "it left while the lock was looked at"


def test_a_folder_is_at_work_while_what_holds_it_is_alive(tmp_path: Path) -> None:
    held = Held(tmp_path)
    copy = pickle.loads(pickle.dumps(held))
    del held
    assert since(tmp_path) is not None
    copy.end()
    assert since(tmp_path) is None and list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_does_not_end_what_its_parent_holds(tmp_path: Path) -> None:
    held = Held(tmp_path)
    if os.fork() == 0:
        held.end()
        os._exit(0)
    os.wait()
    assert since(tmp_path) is not None
    held.end()


def test_temporary_files_say_whose_they_are(tmp_path: Path) -> None:
    one, other = temporary(tmp_path / "a.b.json"), temporary(tmp_path / "a.b.json")
    assert one != other and writer_of(one) == writer_of(other) == writer()
    assert len(temporary(tmp_path / ("x" * 255)).name) < 150
    assert writer_of(tmp_path / "a.b.c.tmp") is None and writer_of(tmp_path / ".tmp") is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_has_a_mark_of_its_own() -> None:
    read, write = os.pipe()
    if os.fork() == 0:
        os.write(write, writer().encode())
        os._exit(0)
    os.wait()
    assert os.read(read, 100).decode() != writer()
    os.close(read), os.close(write)
