from __future__ import annotations

import pytest

from headstart.storage.settled import is_settled

NOW = 1_700_000_000.5
SECOND = 1_000_000_000


def _at(seconds: float) -> int:
    """Return the time so many seconds before now, in ns, which is no whole second."""
    return int((NOW - seconds) * SECOND) + 1


@pytest.mark.parametrize(("before", "settled"), [(0.03, False), (0.2, True), (-5, False)])
def test_a_file_is_settled_a_moment_after_it_changed(before: float, settled: bool) -> None:
    assert is_settled(_at(before), by=NOW) is settled
    assert is_settled(_at(1000), _at(before), by=NOW) is settled, "the last change counts"


@pytest.mark.parametrize(("before", "settled"), [(0.5, False), (2.5, False), (30.5, False), (90.5, True)])
def test_a_time_of_whole_seconds_is_of_a_coarse_clock(before: float, settled: bool) -> None:
    whole = int(NOW - before) * SECOND
    assert is_settled(whole, by=NOW) is settled
    assert is_settled(whole, _at(before), by=NOW) is settled, "also where only one of the two is coarse"


def test_what_has_no_time_never_changes() -> None:
    assert is_settled(0)
