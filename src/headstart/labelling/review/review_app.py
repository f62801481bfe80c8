"""The page of `headstart review`: what an audit found, in pictures; people decide, and the corrections are saved."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import FastAPI, HTTPException, Query, Response
from pydantic import BaseModel, Field

from headstart.data.sources.corrections import label_text
from headstart.labelling.keyed_app import keyed_app
from headstart.labelling.pictures import Pictures
from headstart.labelling.review.problems import KINDS, LABEL
from headstart.labelling.review.session import ReviewSession

_STATIC = {
    "": "review.html",
    "asking.js": "asking.js",
    "review.js": "review.js",
    "page.css": "page.css",
    "review.css": "review.css",
}
_MOST = 60
_WHO = Field(min_length=1, max_length=60)


class Decision(BaseModel):
    """What a person decides about a problem; rows and label as `ReviewSession.decide` takes them."""

    place: int
    decision: Literal["keep", "relabel", "exclude", "not sure"]
    who: str = _WHO
    rows: list[int] | None = Field(default=None, max_length=_MOST)
    label: str | None = Field(default=None, max_length=200)


class Person(BaseModel):
    """Who asks."""

    who: str = _WHO


def make_review_app(session: ReviewSession, key: str, next_command: str) -> FastAPI:
    """Return the application, for uvicorn or any other ASGI server.

    Args:
        session: what is being reviewed.
        key: that the address of the page holds.
        next_command: what the page tells the user to run with the corrections.
    """
    page = _Page(session, next_command)
    app = keyed_app("headstart review", key, _STATIC)
    app.get("/api/state")(page.state)
    app.get("/api/next")(page.next)
    app.get("/api/decided")(page.decided)
    app.get("/image/{row}")(page.image)
    app.post("/api/decide")(page.decide)
    app.post("/api/undo")(page.undo)
    return app


class _Page:
    """The answers of the page's server; they run in threads."""

    def __init__(self, session: ReviewSession, next_command: str) -> None:
        self.session, self.next_command = session, next_command
        self.pictures = Pictures(session.dataset.reader, session.embeddings.bands)

    def state(self) -> dict[str, Any]:
        """Report what is left to decide, and what the file changes so far."""
        self.session.catch_up()
        session = self.session
        relabelled, excluded = session.changed()
        kinds = [
            {"kind": kind, "words": KINDS[kind], "open": left, "all": whole}
            for kind, (left, whole) in session.counts().items()
        ]
        return {
            "name": session.dataset.name,
            "images": len(session.dataset),
            "kinds": kinds,
            "classes": [] if session.dataset.multi_label else list(session.dataset.classes),
            "relabelled": relabelled,
            "excluded": excluded,
            "next": self.next_command,
        }

    def next(
        self,
        who: Annotated[str, Query(max_length=60)],
        kind: Annotated[str | None, Query(max_length=20)] = None,
        count: Annotated[int, Query(ge=1, le=_MOST)] = 6,
    ) -> Any:
        """Return problems to decide next."""
        return [self._shown(place) for place in self.session.next(count, who, kind)]

    def decided(self, count: Annotated[int, Query(ge=1, le=_MOST)] = 8) -> Any:
        """Return the problems that were decided last, with the decisions."""
        found = self.session.decided(count)
        return [
            {**self._shown(each.place), "decision": each.row.decision, "after": each.row.after, "who": each.row.who}
            for each in found
        ]

    def image(self, row: int, side: Annotated[int, Query(ge=32, le=1600)] = 320) -> Response:
        """Return an image as JPEG."""
        if not 0 <= row < len(self.session.dataset):
            raise HTTPException(422, f"there is no image {row}")
        cached = {"Cache-Control": "max-age=3600"}
        return Response(self.pictures.jpeg(row, side), media_type="image/jpeg", headers=cached)

    def decide(self, decision: Decision) -> dict[str, Any]:
        """Decide a problem; the decision is on the disk before the answer."""
        if not 0 <= decision.place < len(self.session.problems):
            raise HTTPException(422, f"there is no problem {decision.place}")
        given = decision.model_dump(include={"rows", "label"})
        self.session.decide(decision.place, decision.decision, decision.who, **given)
        return self.state()

    def undo(self, person: Person) -> dict[str, Any]:
        """Take back a person's last decision."""
        place = self.session.undo(person.who)
        return {**self.state(), "undone": None if place is None else self._shown(place)}

    def _shown(self, place: int) -> dict[str, Any]:
        """Describe a problem with its images and, for a label, the nearest images of both classes."""
        session = self.session
        problem = session.problems[place]
        row = problem.rows[0]
        classes = (label_text(session.dataset, row), problem.proposed) if problem.kind == LABEL else ()
        beside = [
            {"label": label, "rows": [self._named(each) for each in session.neighbours(row, label)]}
            for label in classes
        ]
        return {
            "place": place,
            "kind": problem.kind,
            "title": KINDS[problem.kind],
            "words": problem.words,
            "rows": [self._named(row) for row in problem.rows],
            "marked": list(problem.marked),
            "proposed": problem.proposed,
            "beside": beside,
        }

    def _named(self, row: int) -> dict[str, Any]:
        dataset = self.session.dataset
        part = "" if dataset.given_split is None else str(dataset.given_split[row])
        return {"row": row, "name": self.session.names[row], "label": label_text(dataset, row), "part": part}
