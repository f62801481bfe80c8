"""The map in the page of `headstart label`: principal components at once, a t-SNE map when it is computed."""

from __future__ import annotations

import threading
from time import monotonic as _now
from typing import Any

import numpy as np

from headstart.errors import HeadstartError
from headstart.labelling.image_map import drawn
from headstart.labelling.session import LabelSession
from headstart.maps.points import Colouring
from headstart.maps.projection import AUTO, PCA, TSNE, Projection, method_for, project

_PATIENCE = 5.0  # seconds


class _Ended(Exception):
    """The page is being closed."""


class MapView:
    """The map of one session; it is computed in a thread of its own when somebody first asks for it.

    Args:
        session: whose images and labels it shows.
    """

    def __init__(self, session: LabelSession) -> None:
        self.session = session
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ended = False
        self._shown: list[Projection] = []  # the last one is shown
        self._problem = ""
        self._steps: list[tuple[float, int, int]] = []  # when, how many were done, of how many: the first and the last

    def answer(self, known: int) -> dict[str, Any]:
        """Return the map, or only its version where the page knows it: 0 while nothing is computed.

        `pending` says whether another one is being computed, `progress` how much of it is done and how long the rest
        takes, in seconds, once that is known.
        """
        with self._lock:
            if self._thread is None and not self._ended:
                self._thread = threading.Thread(target=self._work, name="map", daemon=True)
                self._thread.start()
        pending, version = self._thread is not None and self._thread.is_alive(), len(self._shown)
        found: dict[str, Any] = {"version": version, "pending": pending, "progress": self._progress()}
        if version == 0 or version == known:
            return found | {"problem": self._problem}
        projection = self._shown[version - 1]
        return found | {
            "problem": self._problem,
            **drawn(projection.positions, self._colourings()),
            "words": projection.words,
            "sample": sorted(self.session.in_sample),
        }

    def colours(self) -> list[dict[str, Any]]:
        """Return the labels so far, and the guesses of the classifier so far, but for the random sample."""
        return [each.plain for each in self._colourings()]

    def _colourings(self) -> list[Colouring]:
        session, fitted = self.session, self.session.fitted
        labels, classes = session.labels.copy(), list(session.classes)
        found = [Colouring("label", classes, labels)]
        if fitted is not None:
            guesses = np.where(labels >= 0, labels, fitted.probabilities.argmax(axis=1))
            hidden = np.array(sorted(session.in_sample), dtype=np.int64)
            guesses[hidden] = labels[hidden]
            found.append(Colouring("label or guess", classes, guesses))
        return found

    def close(self) -> None:
        """End; a map that is being computed is given up."""
        with self._lock:
            self._ended = True
        if self._thread is not None:
            self._thread.join(_PATIENCE)  # the search for neighbours cannot be interrupted

    def _watch(self, done: int, total: int) -> None:
        if self._ended:
            raise _Ended
        if done:
            self._steps = [*self._steps[:1], (_now(), done, total)]

    def _progress(self) -> dict[str, float] | None:
        if len(self._steps) < 2 or self._steps[1][1] == self._steps[0][1]:
            return None
        (began, first, _), (now, done, total) = self._steps
        return {"done": done / total, "left": (now - began) / (done - first) * (total - done)}

    def _work(self) -> None:
        vectors, store = self.session.embeddings.vectors, self.session.embeddings.resources.store
        try:
            with store.in_use():
                self._shown.append(project(vectors, method=PCA, seed=self.session.seed, store=store))
                self._watch(0, 0)
                if method_for(AUTO, len(vectors))[0] == TSNE:
                    self._shown.append(
                        project(vectors, method=TSNE, seed=self.session.seed, store=store, watch=self._watch)
                    )
        except _Ended:
            pass
        except HeadstartError as error:  # a full disk: the map that is there remains
            self._problem = str(error)
