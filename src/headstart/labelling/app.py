"""The page of `headstart label`: images in, labels out, for one or several people on one folder."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field

from headstart.bands import options_of
from headstart.data.decoding.faults import UndecodableError
from headstart.errors import DataError
from headstart.labelling.comparing import Comparing
from headstart.labelling.keyed_app import keyed_app
from headstart.labelling.map_view import MapView
from headstart.labelling.next_command import next_command
from headstart.labelling.pictures import Pictures
from headstart.labelling.refitting import Refitting
from headstart.labelling.session import CHOSEN, LabelSession
from headstart.labelling.suggest import RANDOM, Suggestion
from headstart.maps.page import STYLE, map_scripts, static_text

_STATIC = {
    "": "page.html",
    "asking.js": "asking.js",
    "label_map.js": "label_map.js",
    "page.js": "page.js",
    "page.css": "page.css",
}
_MOST = 60  # images of one answer
_REPORT_MAY = (  # a report has its script and style in itself; it may ask nothing of this server
    "sandbox allow-scripts allow-downloads; default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
)
_LARGEST = 64 << 20  # bytes of a picture to search by
SIMILAR = "similar"  # `how` of an image that was shown beside similar ones
_AT_ONCE = 5000  # images that get a label together
_WHO = Field(min_length=1, max_length=60)
_Who = Annotated[str, Query(min_length=1, max_length=60)]


class Change(BaseModel):
    """Images that get a label: rows of the folder's images, and why each was shown."""

    rows: list[int] = Field(min_length=1, max_length=_AT_ONCE)
    label: str = Field(min_length=1, max_length=200)
    who: str = _WHO
    how: dict[int, Literal["random", "typical", "uncertain", "similar", "chosen", "rest"]] = {}


class Rows(BaseModel):
    """Images that a person skips, or whose labels are taken away."""

    rows: list[int] = Field(min_length=1, max_length=_MOST)
    who: str = _WHO


class Person(BaseModel):
    """Who asks."""

    who: str = _WHO


class NewClass(BaseModel):
    """A class to add."""

    name: str = Field(min_length=1, max_length=200)


def make_app(session: LabelSession, key: str) -> FastAPI:
    """Return the application, for uvicorn or any other ASGI server.

    Args:
        session: what is being labelled.
        key: that the address of the page holds.
    """
    page, fitting = _Page(session), Refitting(session)

    def closed() -> None:
        page.map_view.close()
        fitting.close()
        page.comparing.close()

    drawing = {"map.js": map_scripts(), "map.css": static_text(STYLE)}
    app = keyed_app("headstart label", key, _STATIC, texts=drawing, changed=fitting.wake, closed=closed)
    app.get("/api/state")(page.state)
    app.get("/api/next")(page.next)
    app.get("/api/similar")(page.similar)
    app.get("/api/labelled")(page.labelled)
    app.get("/api/map")(page.map)
    app.get("/api/map_colours")(page.map_colours)
    app.get("/image/{row}")(page.image)
    app.get("/report")(page.report)
    app.post("/api/search")(page.search)
    for action in (page.label, page.unlabel, page.skip, page.undo, page.add_class, page.compare):
        app.post(f"/api/{action.__name__}")(action)
    return app


class _Page:
    """The answers of the page's server; they run in threads, except where a session has locks of its own."""

    def __init__(self, session: LabelSession) -> None:
        self.session = session
        self.pictures = Pictures(session.embeddings.dataset.reader, session.embeddings.bands)
        self.map_view = MapView(session)
        self.comparing = Comparing(session.file.path, options=options_of(session.embeddings.dataset.bands))

    def state(self) -> dict[str, Any]:
        """Report what is labelled, and how good the classifier is."""
        self.session.catch_up()
        session, fitted = self.session, self.session.fitted
        labelled = int((session.labels >= 0).sum())
        found: dict[str, Any] = {
            "name": session.embeddings.dataset.name,
            "images": len(session.paths),
            "labelled": labelled,
            "sampled": int(session.at_random.sum()),
            "sample": len(session.suggester.sample),
            "tested": session.tested,
            "comparison": self.comparing.state(),
            "skipped_sample": session.skipped_sample,
            "classes": [{"name": name, "count": count} for name, count in session.counts().items()],
            "file": str(session.file.path),
            "next": next_command(str(session.file.path), session.embeddings.dataset.bands),
            "suggests": session.suggests,
            "accuracy": None,
            "curve": [],
            "gain": None,
        }
        if fitted is not None:
            found |= {"taught": fitted.taught, "accuracy": fitted.accuracy, "curve": fitted.curve}
            gain = fitted.gain
            found["gain"] = None if gain is None else {**gain.__dict__, "pays": gain.pays}
        return found

    def next(
        self,
        who: _Who,
        count: Annotated[int, Query(ge=1, le=_MOST)] = 12,
        suggest: bool | None = None,
    ) -> Any:
        """Return images to label next."""
        return [self._shown(each) for each in self.session.next(count, who, suggest)]

    def similar(self, row: int, who: _Who, count: Annotated[int, Query(ge=1, le=_MOST)] = 24) -> Any:
        """Return the unlabelled images most like this one, which is the first; none of the random sample, whose order
        must not depend on what the images show."""
        self._check([row])
        return [self._shown(Suggestion(each, SIMILAR)) for each in self.session.like(row, count, who)]

    async def search(self, request: Request, who: _Who, count: Annotated[int, Query(ge=1, le=_MOST)] = 24) -> Any:
        """Return the unlabelled images most like the picture that is the body of the request."""
        content = bytearray()
        async for part in request.stream():
            content += part
            if len(content) > _LARGEST:
                raise HTTPException(413, f"the picture is larger than {_LARGEST >> 20} MB: choose a smaller one")
        try:
            rows = await run_in_threadpool(self.session.search, bytes(content), count, who)
        except UndecodableError as error:
            raise HTTPException(422, f"the picture cannot be read: {error}") from error
        return [self._shown(Suggestion(row, SIMILAR)) for row in rows]

    def labelled(self, name: str | None = None, count: Annotated[int, Query(ge=1, le=_MOST)] = 60) -> Any:
        """Return the images that were labelled last, of one class or of all."""
        session = self.session
        rows = [row for row in session.order.argsort()[::-1].tolist() if session.labels[row] >= 0]
        named = [{**self._shown(self._again(row)), "label": session.classes[session.labels[row]]} for row in rows]
        return [each for each in named if name is None or each["label"] == name][:count]

    def map(self, known: int = 0) -> Any:
        """Return all images in two dimensions, unless the page knows this version of the map."""
        return self.map_view.answer(known)

    def map_colours(self) -> Any:
        """Return the labels of all images as the map shows them."""
        return self.map_view.colours()

    def image(self, row: int, side: Annotated[int, Query(ge=32, le=1600)] = 320) -> Response:
        """Return an image as JPEG."""
        self._check([row])
        return Response(
            self.pictures.jpeg(row, side), media_type="image/jpeg", headers={"Cache-Control": "max-age=3600"}
        )

    def label(self, change: Change) -> dict[str, Any]:
        """Give images a label, on the disk before the answer; what somebody labelled meanwhile keeps its label."""
        self._check(change.rows)
        given = self.session.label(change.rows, change.label, change.who, change.how, replace=False)
        return {**self.state(), "given": len(given), "kept": len(set(change.rows)) - len(set(given))}

    def unlabel(self, change: Rows) -> dict[str, Any]:
        """Take labels away."""
        self._check(change.rows)
        self.session.unlabel(change.rows, change.who)
        return self.state()

    def skip(self, change: Rows) -> dict[str, Any]:
        """Show these images to this person no more."""
        self._check(change.rows)
        self.session.skip(change.rows, change.who)
        return self.state()

    def undo(self, person: Person) -> dict[str, Any]:
        """Take back a person's last change."""
        rows = self.session.undo(person.who)
        shown = [self._shown(self._again(row)) for row in rows[:_MOST]]
        return {**self.state(), "undone": shown, "undone_images": len(rows)}

    def add_class(self, new: NewClass) -> dict[str, Any]:
        """Add a class."""
        self.session.add_class(new.name)
        return self.state()

    def compare(self) -> dict[str, Any]:
        """Start `headstart compare` on the labels so far."""
        counts = [count for count in self.session.counts().values() if count]
        if len(counts) < 2:
            raise HTTPException(422, "give at least two classes some labels before comparing")
        self.comparing.start(sum(counts))
        return self.state()

    def report(self) -> Response:
        """Return the report of the comparison."""
        try:
            found = self.comparing.report()
        except DataError as error:
            raise HTTPException(404, str(error)) from error
        if found is None:
            raise HTTPException(404, "there is no report yet")
        return HTMLResponse(found, headers={"Content-Security-Policy": _REPORT_MAY, "Cache-Control": "no-store"})

    def _again(self, row: int) -> Suggestion:
        """Return an image that somebody looks at once more; one of the random sample still counts as such."""
        return Suggestion(row, RANDOM if row in self.session.in_sample else CHOSEN)

    def _shown(self, each: Suggestion) -> dict[str, Any]:
        """Describe an image; the guess about one of the random sample is kept back, since it would sway the person."""
        session, fitted = self.session, self.session.fitted
        guess = None
        if fitted is not None and each.how != RANDOM and each.row not in session.in_sample:
            scores = fitted.probabilities[each.row]
            best = int(scores.argmax())
            guess = {"label": fitted.classes[best], "probability": round(float(scores[best]), 4)}
        return {
            "row": each.row,
            "name": session.embeddings.dataset.reader.name(each.row),
            "how": each.how,
            "guess": guess,
        }

    def _check(self, rows: list[int]) -> None:
        for row in rows:
            if not 0 <= row < len(self.session.paths):
                raise HTTPException(422, f"there is no image {row}")
