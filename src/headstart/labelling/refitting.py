"""Fits the classifier so far again in a thread of its own, whenever labels have changed."""

from __future__ import annotations

import threading

from headstart.labelling.session import LabelSession


class Refitting:
    """One thread per session: changes that come while it fits are taken up by the next fit, together.

    Args:
        session: whose classifier is fitted.
    """

    def __init__(self, session: LabelSession) -> None:
        self.session = session
        self._changed, self._ended = threading.Event(), False
        self._thread = threading.Thread(target=self._work, name="refit", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Fit soon, if labels have changed."""
        self._changed.set()

    def close(self) -> None:
        """End after the fit that is being made."""
        self._ended = True
        self._changed.set()
        self._thread.join()

    def _work(self) -> None:
        while True:
            self._changed.wait()
            self._changed.clear()
            if self._ended:
                return
            if self.session.needs_fit:
                self.session.refit()
