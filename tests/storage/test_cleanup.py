from __future__ import annotations

import pytest

from headstart.storage import cleanup


def test_every_cleanup_is_done_even_if_the_disk_refuses_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleanup, "_cleanups", [])
    done: list[str] = []

    @cleanup.at_exit
    def first() -> None:
        done.append("first")
        raise OSError("read-only")

    cleanup.at_exit(lambda: done.append("second"))
    cleanup.clean_up()
    assert done == ["first", "second"]
