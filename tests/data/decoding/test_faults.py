from __future__ import annotations

from headstart.data.decoding.faults import LacksMemoryError, UndecodableError


def test_a_lack_of_memory_is_a_reason_that_may_pass() -> None:
    assert isinstance(LacksMemoryError(), UndecodableError)
    assert "too little memory is free" in str(LacksMemoryError())
