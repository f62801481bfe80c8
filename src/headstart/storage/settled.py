"""Whether the time of a file's last change would show another change: not yet a moment after it.

The clocks of disks are coarse. Most give hundredths of a second or less; FAT gives even seconds, and HFS+, ext3 and
some network disks whole ones, by the clock of another machine. There a file that changes twice in a moment has the same
time after both.
"""

from __future__ import annotations

import time

_FINE = 0.05  # seconds: three ticks of the slowest clock
_COARSE = 60.0  # seconds: two of the clock, and as much as the clocks of two machines may well differ
_SECOND = 1_000_000_000  # nanoseconds


def is_settled(*times: int, by: float | None = None) -> bool:
    """Return whether a file that last changed then would have another time if it changed after `by`.

    Args:
        times: of the last changes of the file's content and entry (ns since the epoch); the later one counts, and
            any of whole seconds shows that the clock is coarse.
        by: seconds since the epoch; by default now.
    """
    margin = _COARSE if any(each % _SECOND == 0 for each in times) else _FINE
    return max(times) / _SECOND < (time.time() if by is None else by) - margin
