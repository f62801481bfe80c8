from __future__ import annotations

import pytest

from headstart.storage import leaving


def test_every_duty_is_done_even_if_the_disk_refuses_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaving, "_duties", [])
    done: list[str] = []

    @leaving.before_end
    def first() -> None:
        done.append("first")
        raise OSError("read-only")

    leaving.before_end(lambda: done.append("second"))
    leaving.leave_nothing()
    assert done == ["first", "second"]
