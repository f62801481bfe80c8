from __future__ import annotations

import json
from pathlib import Path

from headstart.storage.store import Store
from tests.cli.conftest import Call


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
    status, out, err = call("cache", "--verify", "--json")
    assert status == 0 and json.loads(out)["damaged"] == ["fits/bad"] and json.loads(out)["checked"] == 2
    assert err == f"{store.path('fits', 'bad')}: damaged (data is not what was written); it is made again\n"
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
