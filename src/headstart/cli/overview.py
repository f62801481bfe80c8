"""Says what the images are, for verbs that show nothing else while they work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headstart.study.execution.session import Silent


def said_overview() -> Silent:
    """Return a listener that prints what the images are on standard error, and nothing else."""
    from headstart.progress import say
    from headstart.study.execution.session import Silent

    class Overview(Silent):
        """Prints the overview."""

        def overview(self, lines: Sequence[str]) -> None:
            """Print it."""
            for line in lines:
                say(line)

    return Overview()
