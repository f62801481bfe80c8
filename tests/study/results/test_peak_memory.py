from __future__ import annotations

import sys

import numpy as np
import pytest

from headstart.study.results.peak_memory import peak_memory


@pytest.mark.long
def test_the_peak_rises_by_what_is_held() -> None:
    before = peak_memory()
    assert before is not None
    block = np.ones(before + (64 << 20), dtype=np.uint8)  # more than was ever held, every page written
    after = peak_memory()
    assert after is not None and after >= block.nbytes


def test_the_peak_is_none_where_the_system_does_not_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)
    assert peak_memory() is None
