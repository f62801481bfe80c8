"""The server: images in, class names and calibrated probabilities out; built for one model.

POST /predict   the image's bytes, or a form with several files; ?top=K
POST /explain   one image; answers with a PNG that shows what supports the class; ?method=lime
GET  /model     classes, preprocessing, provenance         GET /health     GET /metrics
GET  /          a page to drop images on                   GET /docs       this interface, described

It never fetches an address, and stores nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from importlib.resources import files as package_files
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headstart.deploy.classifier import Classifier, Prediction
from headstart.deploy.page_template import BY_SERVER, page_text
from headstart.deploy.prediction_rows import best_classes, judgement
from headstart.deploy.serve.batcher import Batcher, Overloaded
from headstart.deploy.serve.bodies import Bodies, Received, busy
from headstart.deploy.serve.limits import Limits
from headstart.deploy.serve.metrics import Metrics
from headstart.errors import HeadstartError, SpecError
from headstart.evaluate.uncertainty.familiarity import MOST_REJECTED
from headstart.evaluate.uncertainty.selective import Guarantee
from headstart.progress import say
from headstart.units import percent
from headstart.version import VERSION

OPEN = ("/health", "/", "/docs", "/openapi.json")  # what needs no key: browsers cannot send one when they open a page
PREDICTED = {  # what each status means
    200: "every image is classified",
    400: "the client left before its request had arrived",
    401: "the key is missing or wrong",
    408: "the request did not arrive in time",
    413: "the request is too large, or has too many images",
    422: "an image cannot be read: `detail` names it, `predictions` has the others",
    503: "the queue is full, or there was no answer in time; try again after Retry-After",
}
EXPLAINED = {
    **PREDICTED,
    200: "a PNG",
    422: "the image cannot be read, or the method is unknown",
    501: "this server explains nothing",
}
WATCHED = 5.0  # seconds between two looks at the model's file
Explain = Callable[[bytes, str | None, threading.Event], bytes]
"""Draws a picture by a method (None: the default); the event is set as soon as nobody waits for the drawing."""


def make_app(
    classifier: Classifier,
    *,
    files: Sequence[Path] = (),
    limits: Limits | None = None,
    key: str | None = None,
    explain: Explain | None = None,
) -> FastAPI:
    """Return the application, for uvicorn or any other ASGI server.

    Args:
        classifier: the model.
        files: what it was read from; /health and /model say if one of them changed since.
        limits: of requests and queue.
        key: that a client sends as `Authorization: Bearer KEY` or `X-API-Key: KEY`; None asks for none.
        explain: draws an explanation; None answers 501.
    """
    limits = limits or Limits()
    server = _Server(classifier, files, limits, explain)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        watching = asyncio.create_task(server.watch())
        yield
        watching.cancel()
        await asyncio.to_thread(server.batcher.close)

    described = f"{__doc__}\n{_guaranteed_words(classifier)}"
    app = FastAPI(
        title="headstart", version=VERSION, lifespan=lifespan, description=described, docs_url=None, redoc_url=None
    )

    @app.exception_handler(RequestValidationError)
    async def impossible(request: Request, error: RequestValidationError) -> JSONResponse:
        said = (f"{each['loc'][-1]} = {each['input']}: {each['msg']}" for each in error.errors())
        return JSONResponse({"detail": "; ".join(said)}, 422)

    @app.exception_handler(Exception)
    async def defect(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": "the server could not answer; its log says why"}, 500)

    app.add_middleware(_Guard, server=server, key=key)
    app.get("/", include_in_schema=False)(server.page)
    app.get("/docs", include_in_schema=False)(server.interface)
    app.get("/health")(server.health)
    app.get("/model")(server.model)
    app.get("/metrics", include_in_schema=False)(server.figures)
    body: dict[str, Any] = {
        "requestBody": {"content": {"application/octet-stream": {}, "image/*": {}, "multipart/form-data": {}}}
    }
    app.post("/predict", openapi_extra=body, responses=_said(PREDICTED))(server.predict)
    app.post("/explain", openapi_extra=body, responses=_said(EXPLAINED))(server.explanation)
    if key is not None:  # so that /docs has a field for it
        interface = app.openapi()
        schemes = {"key": {"type": "apiKey", "in": "header", "name": "X-API-Key"}}
        interface.setdefault("components", {})["securitySchemes"] = schemes
        interface["security"] = [{"key": []}]
    return app


def _said(statuses: Mapping[int, str]) -> dict[int | str, dict[str, Any]]:
    """Return what each status means, as FastAPI takes it."""
    return {status: {"description": words} for status, words in statuses.items()}


class _Guard:
    """Asks for the key, and counts what was answered; a plain ASGI layer, which costs a request next to nothing."""

    def __init__(self, app: ASGIApp, server: _Server, key: str | None) -> None:
        self.app, self.server, self.key = app, server, key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            if self.key is not None and scope["path"] not in OPEN and not _has_key(Headers(scope=scope), self.key):
                await JSONResponse({"detail": "the key is missing or wrong"}, 401)(scope, receive, sent)
            else:
                await self.app(scope, receive, sent)
        finally:  # a defect, too: what is outside of this layer answers it
            self.server.count(scope, status, started)


class _Server:
    """The answers of one server."""

    def __init__(self, classifier: Classifier, files: Sequence[Path], limits: Limits, explain: Explain | None) -> None:
        self.classifier, self.files, self.limits, self.explain = classifier, files, limits, explain
        self.batcher, self.bodies = Batcher(classifier, limits), Bodies(limits)
        self.metrics = Metrics(lambda: self.batcher.waiting)
        self._stamps = [_stamp(file) for file in files]
        self._explaining = False
        self._page = page_text(BY_SERVER, title="headstart", about="Classifies pictures.")
        self._interface = (package_files("headstart.deploy.serve") / "docs.html").read_text(encoding="utf-8")

    def count(self, scope: Scope, status: int, started: float) -> None:
        """Count a request that was answered; `started` is a time of perf_counter."""
        route = scope.get("route")
        self.metrics.requests.labels(route.path if route is not None else "other", str(status)).inc()
        self.metrics.seconds.observe(time.perf_counter() - started)

    async def page(self) -> HTMLResponse:
        """Return the page to drop images on."""
        return HTMLResponse(self._page)

    async def interface(self) -> HTMLResponse:
        """Return the page that describes this interface, and from which it can be tried; nothing of it is elsewhere."""
        return HTMLResponse(self._interface)

    async def health(self) -> dict[str, Any]:
        """Report that the server answers, and whether the model's file changed on disk since it was read."""
        return {"status": "ok", "model_file_changed": self._changed()}

    async def watch(self) -> None:
        """Report once, in the terminal, that the model's file changed since it was read."""
        while not await asyncio.to_thread(self._changed):
            await asyncio.sleep(WATCHED)
        names = ", ".join(str(file) for file in self.files)
        say(f"{names}: changed on disk; restart the server to use the new version")

    def _changed(self) -> bool:
        return [_stamp(file) for file in self.files] != self._stamps

    async def model(self) -> dict[str, Any]:
        """Describe the model that answers."""
        first = self.classifier.ensemble.members[0]
        return {
            "classes": list(self.classifier.classes),
            "multi_label": first.multi_label,
            "threshold": first.threshold if first.multi_label else None,
            "answers": _how_judged(self.classifier),
            "networks": [bundle.origin.name for bundle in self.classifier.ensemble.members],
            "input_size": [bundle.preprocessing.size for bundle in self.classifier.ensemble.members],
            "provenance": dict(first.provenance),
            "model_file_changed": self._changed(),
            "limits": {"body_bytes": self.limits.body, "images": self.limits.pictures},
            "headstart": VERSION,
        }

    async def figures(self) -> Response:
        """Return counters for Prometheus."""
        return Response(self.metrics.text(), media_type="text/plain; version=0.0.4")

    async def predict(self, request: Request, top: Annotated[int | None, Query(ge=1)] = None) -> JSONResponse:
        """Classify one image, or each file of a form. With images that cannot be read the status is 422."""
        async with self.bodies.pictures(request) as received:
            try:
                async with asyncio.timeout(self.limits.seconds):
                    found = await self.batcher.predict(received.pictures, received.keep)
            except Overloaded:
                raise busy(
                    f"the queue has no room ({self.batcher.waiting} images are waiting); try again later"
                ) from None
            except TimeoutError:
                raise busy(f"no answer within {self.limits.seconds:g} s") from None
        rows = [self._row(prediction, top) for prediction in found]
        unread = [f"{row['image']}: {row['error']}" for row in rows if "error" in row]
        if unread:
            return JSONResponse({"detail": "; ".join(unread), "predictions": rows}, 422)
        return JSONResponse({"predictions": rows})

    def _row(self, prediction: Prediction, top: int | None) -> dict[str, Any]:
        if prediction.error is not None:
            self.metrics.images.labels("unreadable").inc()
            return {"image": prediction.name, "error": prediction.error}
        self.metrics.images.labels("predicted").inc()
        for label in prediction.labels:  # one by one: there may be as many combinations as there are images
            self.metrics.classes.labels(label).inc()
        classes = self.classifier.classes
        return {
            "image": prediction.name,
            "class": prediction.label,
            "probability": round(prediction.probability, 6),
            **({} if self.classifier.judge is None else judgement(prediction)),
            **({} if _guarantee(self.classifier) is None else {"withheld": prediction.withheld}),
            "probabilities": dict(best_classes(prediction, classes, top or len(classes), digits=6)),
        }

    async def explanation(self, request: Request, method: str | None = None) -> Response:
        """Draw which parts of the image support its class: a PNG."""
        if self.explain is None:
            raise HTTPException(501, "this server explains nothing")
        async with self.bodies.pictures(request) as received:
            if len(received.pictures) > 1:
                raise HTTPException(413, "one image is explained at a time")
            if self._explaining:
                raise busy("another image is being explained")
            given_up = threading.Event()
            work = self._explained(received, method, self.explain, given_up)
            try:
                async with asyncio.timeout(self.limits.seconds):
                    png = await asyncio.shield(work)
            except SpecError as error:  # the method
                raise HTTPException(422, str(error)) from None
            except HeadstartError as error:
                raise HTTPException(422, f"{received.pictures[0][0]}: {error}") from None
            except TimeoutError:
                raise busy(f"no explanation within {self.limits.seconds:g} s") from None
            finally:
                given_up.set()
        return Response(png, media_type="image/png")

    def _explained(
        self, received: Received, method: str | None, explain: Explain, given_up: threading.Event
    ) -> asyncio.Task[bytes]:
        """Begin an explanation; no other begins until its thread ends, however long its request waits for it."""
        self._explaining, done = True, received.keep()

        def ended(task: asyncio.Task[bytes]) -> None:
            self._explaining = False
            done()
            if not task.cancelled():
                task.exception()  # read, since the request may be gone

        work = asyncio.create_task(asyncio.to_thread(explain, received.pictures[0][1], method, given_up))
        work.add_done_callback(ended)
        return work


def _how_judged(classifier: Classifier) -> dict[str, Any] | None:
    """Return what the answers of the model guarantee, or None where it was not calibrated to guarantee anything."""
    if classifier.judge is None:
        return None
    own, asked = classifier.judge.uncertainty, classifier.judge.asked
    return {
        "level": asked.level,
        "shortfall": classifier.judge.shortfall,
        "sets": asked.sets,
        "held_out_images": len(own.held_out),
        "familiarity": own.score or None,
        "unfamiliar": MOST_REJECTED if own.score else None,
        "costs": own.costs is not None,
        "notes": list(own.notes),
        "at_least": asked.at_least,
        "promise": _guaranteed_words(classifier),
    }


def _guarantee(classifier: Classifier) -> Guarantee | None:
    return None if classifier.judge is None else classifier.judge.guaranteed


def _guaranteed_words(classifier: Classifier) -> str:
    """Describe what the answers guarantee, for people; "" for a model that was not calibrated to guarantee anything."""
    if classifier.judge is None:
        return ""
    held, asked = len(classifier.judge.uncertainty.held_out), classifier.judge.asked
    level = min(asked.level, float(classifier.judge.thresholds.guaranteed.min()))
    words = f"Sets contain the right class for {percent(level)} of images like those of the study ({held:,} checked)."
    guarantee = _guarantee(classifier)
    if guarantee is None:
        return words
    left = guarantee.left["value"] or 0.0
    return (
        f"{words} Answers that are not withheld are right in at least {percent(guarantee.at_least)} of cases;"
        f" {percent(left)} are withheld for review."
    )


def _has_key(headers: Headers, key: str) -> bool:
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    given = headers.get("x-api-key") or (bearer if scheme.lower() == "bearer" else "")
    return hmac.compare_digest(given.encode(), key.encode())


def _stamp(file: Path) -> tuple[int, int, int]:
    try:
        status = file.stat()
    except OSError:
        return (0, 0, 0)
    return status.st_mtime_ns, status.st_size, status.st_ino
