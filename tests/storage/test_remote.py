from __future__ import annotations

import hashlib
import json
import os
import uuid
from pathlib import Path
from typing import Any

import fsspec
import pytest
from filelock import FileLock

from headstart.errors import SpecError, StoreError
from headstart.storage.opening import default_store, found_again, open_store
from headstart.storage.remote import RemoteStore
from headstart.storage.store import Store

KEY = "0" * 32


@pytest.fixture(params=["memory", "file"])
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"memory://{uuid.uuid4().hex}" if request.param == "memory" else f"file://{tmp_path / 'bucket'}"


def build(store: Store, text: str = "x" * 1000, key: str = KEY) -> bool:
    with store.building("kind", key) as entry:
        if entry is not None:
            (entry.path / "deep").mkdir(exist_ok=True)
            (entry.path / "deep" / "data").write_text(text)
            (entry.path / "empty").touch()
            entry.manifest["fact"] = 1
        return entry is not None


def sent(remote: str) -> list[str]:
    system, root = fsspec.core.url_to_fs(remote)
    return sorted(str(path).removeprefix(f"{root}/") for path in system.find(root))


def test_what_one_machine_built_another_finds_whole(remote: str, tmp_path: Path) -> None:
    first, second = RemoteStore(tmp_path / "a", remote), RemoteStore(tmp_path / "b", remote)
    assert not second.has("kind", KEY)
    assert build(first) and not build(second)
    assert (second.path("kind", KEY) / "deep" / "data").read_text() == "x" * 1000
    assert (second.path("kind", KEY) / "empty").is_file()
    assert second.manifest("kind", KEY) == first.manifest("kind", KEY)
    assert [path.name for path in (tmp_path / "b" / "kind").iterdir()] == [KEY]


def test_an_interrupted_push_is_not_taken_for_an_entry(
    remote: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system, _ = fsspec.core.url_to_fs(remote)
    put, count = type(system).put_file, 0

    def breaks_off(self: Any, *args: Any, **kwargs: Any) -> None:
        nonlocal count
        count += 1
        if count == 2:
            raise ConnectionResetError("connection reset by peer")
        put(self, *args, **kwargs)

    first, second = RemoteStore(tmp_path / "a", remote), RemoteStore(tmp_path / "b", remote)
    with monkeypatch.context() as broken:
        broken.setattr(type(system), "put_file", breaks_off)
        with pytest.raises(StoreError, match="the shared store cannot be used"):
            build(first)
    assert len(sent(remote)) == 1 and not second.has("kind", KEY), "a part was sent, and nobody sees it"
    assert first.here("kind", KEY), "what was finished is kept"
    assert not build(first), "asked again, it is not built again but sent"
    assert second.has("kind", KEY) and (second.path("kind", KEY) / "deep" / "data").read_text() == "x" * 1000


def test_a_damaged_entry_is_built_anew_and_sent_again(remote: str, tmp_path: Path) -> None:
    build(RemoteStore(tmp_path / "a", remote))
    system, root = fsspec.core.url_to_fs(remote)
    victim = next(path for path in sent(remote) if path.endswith("deep/data"))
    system.pipe_file(f"{root}/{victim}", b"y" * 1000)
    second = RemoteStore(tmp_path / "b", remote)
    assert build(second, "new")
    third = RemoteStore(tmp_path / "c", remote)
    assert not build(third) and (third.path("kind", KEY) / "deep" / "data").read_text() == "new"


def test_a_missing_file_is_a_damaged_entry(remote: str, tmp_path: Path) -> None:
    build(RemoteStore(tmp_path / "a", remote))
    system, root = fsspec.core.url_to_fs(remote)
    system.rm_file(f"{root}/{next(path for path in sent(remote) if path.endswith('deep/data'))}")
    assert not RemoteStore(tmp_path / "b", remote).has("kind", KEY)


def test_the_manifest_is_the_last_thing_that_is_sent(
    remote: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system, root = fsspec.core.url_to_fs(remote)
    move, before = type(system).mv, []

    def look(self: Any, source: str, target: str, **kwargs: Any) -> None:
        before.append([path for path in sent(remote) if ".manifest" not in path])
        move(self, source, target, **kwargs)

    monkeypatch.setattr(type(system), "mv", look)
    build(RemoteStore(tmp_path / "a", remote))
    assert len(before) == 1 and len(before[0]) == 3
    listed = json.loads(system.cat_file(f"{root}/kind/{KEY}/manifest.json"))
    assert sorted(f"kind/{KEY}/{listed['at']}/{name}" for name in listed["files"]) == before[0]


def test_what_was_there_before_the_store_was_shared_is_sent_when_it_is_used(remote: str, tmp_path: Path) -> None:
    build(Store(tmp_path / "a"))
    assert RemoteStore(tmp_path / "a", remote).has("kind", KEY)
    assert RemoteStore(tmp_path / "b", remote).has("kind", KEY)


def test_what_is_dropped_is_gone_here_and_behind(remote: str, tmp_path: Path) -> None:
    store = RemoteStore(tmp_path / "a", remote)
    build(store)
    build(store, key="1" * 32)
    store.drop("kind", KEY)
    assert [row["key"] for row in store.entries()] == ["1" * 32]
    assert sent(remote) and all(path.startswith(f"kind/{'1' * 32}/") for path in sent(remote))
    assert build(store), "it can be built again"
    store.remove("kind", KEY)
    store.drop("kind", KEY)  # only behind by now
    store.drop("kind", KEY)  # and nowhere
    assert not RemoteStore(tmp_path / "b", remote).has("kind", KEY)


def test_the_environment_names_the_shared_store(
    remote: str, own_store: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HEADSTART_REMOTE", remote)
    assert default_store() == RemoteStore(own_store, remote)
    monkeypatch.setenv("HEADSTART_REMOTE", str(tmp_path / "shared"))
    assert default_store() == Store(tmp_path / "shared")


def test_a_file_of_an_entry_is_found_where_the_store_is_now(own_store: Path) -> None:
    build(default_store())
    elsewhere = Path("/another/machine/kind") / KEY / "empty"
    assert found_again(elsewhere) == own_store / "kind" / KEY / "empty"
    assert found_again(Path("/no/such/file.pt")) == Path("/no/such/file.pt")


@pytest.mark.parametrize(
    ("address", "says"), [("nonsense://x", "Protocol not known"), ("s3://b/p", "needs a package that is not installed")]
)
def test_an_address_that_cannot_be_used_is_one_line(address: str, says: str) -> None:
    if address.startswith("s3"):
        try:
            import s3fs  # noqa: F401
        except ImportError:
            pass
        else:
            pytest.skip("s3fs is installed here")
    with pytest.raises(StoreError, match=says) as caught:
        open_store(address)
    assert "\n" not in str(caught.value)


def test_a_number_of_threads_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from headstart.threads import cores, environment, share

    monkeypatch.setenv("HEADSTART_THREADS", "many")
    with pytest.raises(SpecError, match="'many' is not a number of threads"):
        cores()
    monkeypatch.setenv("HEADSTART_THREADS", "3")
    assert cores() == 3 and share(2) == 3 and set(environment(3).values()) == {"3"}


def test_a_quota_bounds_the_cores(tmp_path: Path) -> None:
    from headstart.threads import _quota

    (tmp_path / "cpu.max").write_text("150000 100000\n")
    assert _quota(tmp_path / "cpu.max") == 2
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert _quota(tmp_path / "cpu.max") > 10**6 < _quota(tmp_path / "none")


def rewrite(remote: str, content: bytes) -> None:
    system, root = fsspec.core.url_to_fs(remote)
    system.pipe_file(f"{root}/kind/{KEY}/manifest.json", content)


def listed(remote: str) -> dict[str, Any]:
    system, root = fsspec.core.url_to_fs(remote)
    found: dict[str, Any] = json.loads(system.cat_file(f"{root}/kind/{KEY}/manifest.json"))
    return found


OUTSIDE = ["../../escaped", "deep/../../../escaped", "/absolute", "C:escaped", "C:\\escaped", "..\\..\\escaped", "a//b"]
OUTSIDE += ["./a", "a/", "", "..", "a\x00b", "a\nb", "con./x", "data ", "x" * 2000]


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_shared_manifest_cannot_name_a_file_outside_the_entry(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    remote, content = f"file://{tmp_path / 'bucket'}", b"the attacker's choice"
    name = str(tmp_path / "escaped") if name == "/absolute" else name
    build(RemoteStore(tmp_path / "a", remote))
    manifest = listed(remote)
    planted = Path(os.path.normpath(f"{tmp_path}/bucket/kind/{KEY}/{manifest['at']}/{name[:200]}".replace("\0", "")))
    if planted.parent.is_dir() and not planted.exists():
        planted.write_bytes(content)  # what a reader would fetch
    manifest["files"][name] = [len(content), hashlib.sha256(content).hexdigest()]
    rewrite(remote, json.dumps(manifest).encode())
    before = set(tmp_path.rglob("*escaped*"))
    reader = RemoteStore(tmp_path / "reader" / "cache", remote)
    assert not reader.has("kind", KEY), "refused as a whole"
    assert set(tmp_path.rglob("*escaped*")) == before
    assert "is damaged; it will be rebuilt" in capsys.readouterr().err
    assert build(reader, "anew"), "it is not a dead end"
    assert RemoteStore(tmp_path / "c", remote).has("kind", KEY)


PLACES = [{"at": at, "files": {"manifest.json": [1, "a"]}} for at in ("../b", "/b", "", "b/c", "B" * 32)]
FILES = [{"at": "0" * 32, "files": files} for files in ([], {"a": 1}, {"a": [1]}, {"a": ["x", 2]}, {})]
DAMAGED = [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"at": 1}', b"[" * 100_000]


@pytest.mark.parametrize("content", DAMAGED + [json.dumps(each).encode() for each in PLACES + FILES])
def test_a_damaged_shared_manifest_is_made_again(remote: str, tmp_path: Path, content: bytes) -> None:
    build(RemoteStore(tmp_path / "a", remote))
    rewrite(remote, content)
    assert build(RemoteStore(tmp_path / "b", remote), "anew")
    third = RemoteStore(tmp_path / "c", remote)
    assert not build(third) and (third.path("kind", KEY) / "deep" / "data").read_text() == "anew"


def test_a_damaged_local_entry_is_fetched_again(remote: str, tmp_path: Path) -> None:
    build(RemoteStore(tmp_path / "a", remote))
    local = tmp_path / "a" / "kind" / KEY / "deep" / "data"
    local.write_text("y" * 1000)
    assert not build(RemoteStore(tmp_path / "a", remote), "anew") and local.read_text() == "x" * 1000


def test_the_lock_of_a_fetch_that_was_killed_is_cleared(
    remote: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(RemoteStore(tmp_path / "a", remote))
    monkeypatch.setattr("headstart.storage.locks.release", FileLock.release)  # a kill releases it, and leaves the file
    reader = RemoteStore(tmp_path / "b", remote)
    assert reader.has("kind", KEY)
    monkeypatch.undo()
    assert len(list((tmp_path / "b" / "kind").iterdir())) == 2
    reader.clear()
    assert [path.name for path in (tmp_path / "b" / "kind").iterdir()] == [KEY]


def test_a_fetch_that_breaks_off_leaves_nothing(remote: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(RemoteStore(tmp_path / "a", remote))
    system, _ = fsspec.core.url_to_fs(remote)

    def breaks_off(*_: Any, **__: Any) -> None:
        raise ConnectionResetError("connection reset by peer")

    monkeypatch.setattr(type(system), "get_file", breaks_off)
    with pytest.raises(StoreError, match="connection reset"):
        RemoteStore(tmp_path / "b", remote).has("kind", KEY)
    assert list((tmp_path / "b" / "kind").iterdir()) == []
