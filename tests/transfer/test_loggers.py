from __future__ import annotations

import logging

import pytest

from headstart.transfer.loggers import logged_from


def test_levels_are_raised_inside_and_restored_after_an_error_too() -> None:
    one, other, root = (logging.getLogger(name) for name in ("one.library", "other.library", ""))
    one.setLevel(logging.DEBUG)
    before = [each.level for each in (one, other, root)]
    with pytest.raises(ValueError, match="inside"), logged_from(logging.ERROR, "one.library", "other.library", ""):
        assert [each.level for each in (one, other, root)] == [logging.ERROR] * 3
        raise ValueError("inside")
    assert [each.level for each in (one, other, root)] == before
