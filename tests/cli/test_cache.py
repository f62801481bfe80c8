from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from headstart.cli.cache import show_cache
from headstart.errors import SpecError
from headstart.storage.locks import locked
from headstart.storage.opening import default_store
from headstart.storage.store import MANIFEST, Store
from headstart.units import size
from tests.cli.conftest import Call


@pytest.fixture
def filled() -> Path:
    """Return a cache with two entries of features, one of fits, and one that was never finished."""
    store = default_store()
    for age, (kind, key, length) in enumerate(
        [("features", "new", 5000), ("features", "old", 3000), ("fits", "a", 200)]
    ):
        with store.building(kind, key) as entry:
            assert entry is not None
            (entry.path / "data").write_bytes(b"x" * length)
        used = 1_700_000_000 - 1_000_000 * age
        os.utime(store.path(kind, key) / MANIFEST, (used, used))
    (store.path("fits", "b.partial")).mkdir()
    (store.path("fits", "b.partial") / "data").write_bytes(b"x" * 700)
    return store.root


def kinds(capsys: pytest.CaptureFixture[str], prune: str | None = None) -> tuple[dict[str, dict[str, int]], int]:
    show_cache(prune, as_json=True)
    said = json.loads(capsys.readouterr().out)
    return said["kinds"], said["freed"]


def test_each_kind_is_counted_with_its_size(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found, freed = kinds(capsys)
    assert {kind: (row["entries"], row["unfinished"]) for kind, row in found.items()} == {
        "features": (2, 0),
        "fits": (2, 1),
    }
    sizes = {kind: sum(f.stat().st_size for f in (filled / kind).rglob("*") if f.is_file()) for kind in found}
    assert {kind: row["bytes"] for kind, row in found.items()} == sizes and freed == 0
    assert sizes["features"] > 8000


def test_the_table_says_where_it_is_and_when_it_was_used(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show_cache(None, as_json=False)
    answer, first, *rows, last = capsys.readouterr().out.splitlines()
    held = size(sum(f.stat().st_size for f in filled.rglob("*") if f.is_file()))
    assert answer.startswith(f"The cache holds {held} in 4 entries, all of which can be computed again.")
    assert answer.endswith(
        "headstart cache --prune 5GB keeps the 5 GB used most recently, --prune 0 deletes everything."
    )
    assert first == f"{filled}   (set HEADSTART_CACHE to move it)"
    assert [row.split()[:2] for row in rows] == [["kind", "entries"], ["features", "2"], ["fits", "2"]]
    assert rows[1].split()[2:] == ["8.5", "kB", "0"] and last == "least recently used: 2023-10-22"


def test_pruning_frees_the_least_recently_used_first(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = kinds(capsys)[0]
    after, freed = kinds(capsys, "6 kB")
    assert freed > 3900 and freed == sum(row["bytes"] for row in before.values()) - after["features"]["bytes"]
    assert [path.name for path in filled.glob("*/*/") if path.is_dir()] == ["new"]
    show_cache("0", as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        "The cache is empty.",
        f"{filled}   (set HEADSTART_CACHE to move it)",
        "freed 5.3 kB",
    ]


def test_what_is_not_a_size_is_refused_and_nothing_is_deleted(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = kinds(capsys)
    with pytest.raises(SpecError, match="--prune: 'much' is not a size; write 5GB, 300MB or 0"):
        show_cache("much", as_json=True)
    assert kinds(capsys) == before


def fill(place: Path) -> Store:
    store = Store(place)
    for key in ("good", "bad"):
        with store.building("fits", key) as entry:
            assert entry is not None
            (entry.path / "data").write_bytes(b"x" * 1000)
    return store


def test_verify_deletes_what_is_damaged_and_says_so(call: Call, own_store: Path) -> None:
    store = fill(own_store)
    assert call("cache", "--verify")[1].endswith("checked 2 entries: 0 damaged\n")
    (store.path("fits", "bad") / "data").write_bytes(b"x" * 500 + bytes(500))
    with locked(own_store / "fits" / "bad.lock"):
        assert call("cache", "--verify")[1].endswith("checked 2 entries: 1 damaged, 0 deleted\n")
    status, out, err = call("cache", "--verify", "--json")
    assert (
        status == 0
        and json.loads(out)["damaged"] == json.loads(out)["deleted"] == ["fits/bad"]
        and json.loads(out)["checked"] == 2
    )
    assert err == f"{store.path('fits', 'bad')}: damaged (data has changed since it was written); deleted\n"
    assert [row["key"] for row in store.entries()] == ["good"]


def test_prune_leaves_what_a_running_study_uses(call: Call, own_store: Path) -> None:
    store = fill(own_store)
    (own_store / "fits" / "dead.lock").touch()
    with store.in_use():
        assert store.has("fits", "good")
        assert call("cache", "--prune", "0")[1].endswith("freed 0 B\n")
    status, out, _ = call("cache", "--prune", "0", "--json")
    assert status == 0 and json.loads(out)["freed"] > 2000 and json.loads(out)["kinds"] == {}
    assert list((own_store / "fits").iterdir()) == []
