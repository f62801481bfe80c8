"""A page for people on this machine or network: it answers only those who have its key, and only in their browser.

The address that is printed at the start has the key, and leaves it in a cookie that no other site can use. The page may
load nothing from elsewhere, no other page may show it in a frame, and what another page sends changes nothing: pages of
other ports of this machine have its cookie.
"""

from __future__ import annotations

import contextlib
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from importlib.resources import files as package_files
from urllib.parse import urlsplit

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse

from headstart.errors import HeadstartError

_OPEN = "/open/"
_KINDS = {"html": "text/html", "js": "text/javascript", "css": "text/css"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def nothing() -> None:
    """Do nothing."""


def keyed_app(
    title: str,
    key: str,
    static: Mapping[str, str],
    *,
    texts: Mapping[str, str] | None = None,
    changed: Callable[[], None] = nothing,
    closed: Callable[[], None] = nothing,
) -> FastAPI:
    """Return an application that serves some files of the page to whoever has the key; routes are added to it.

    Args:
        title: of the application.
        key: that the address of the page holds.
        static: path → file in the folder `page`.
        texts: path → content of further files.
        changed: called at the start and after each change.
        closed: called at the end.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        changed()
        try:
            yield
        finally:  # also where the server is not told to stop, but interrupted
            closed()

    app = FastAPI(title=title, lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)

    @app.middleware("http")
    async def guard(request: Request, proceed: Callable[[Request], Awaitable[Response]]) -> Response:
        given = request.url.path.removeprefix(_OPEN) if request.url.path.startswith(_OPEN) else None
        if given is not None and _equal(given, key):
            welcome = RedirectResponse("/", 303)
            welcome.set_cookie(_cookie(request), key, httponly=True, samesite="strict")
            return welcome
        if not _equal(request.cookies.get(_cookie(request), ""), key):
            return JSONResponse({"detail": "open the address that headstart printed; it has the key"}, 401)
        if request.method != "GET" and not _from_own_page(request):
            return JSONResponse({"detail": "only the page that headstart serves can change something"}, 403)
        answer = await proceed(request)
        for name, value in _HEADERS.items():
            answer.headers.setdefault(name, value)
        if request.method == "POST" and answer.status_code == 200:
            changed()
        return answer

    @app.exception_handler(HeadstartError)
    async def refused(request: Request, error: HeadstartError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 422)

    contents = {
        path: (package_files("headstart.labelling") / "page" / file).read_text("utf-8") for path, file in static.items()
    }
    for path, content in {**contents, **(texts or {})}.items():
        app.get(f"/{path}")(_static(content, _KINDS[path.rpartition(".")[2] if path else "html"]))
    return app


def _equal(given: str, key: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), key.encode())


def _from_own_page(request: Request) -> bool:
    """Return whether a page of this server, or a program, sends it; browsers name the page in one of two headers."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        return site in ("same-origin", "none")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


def _cookie(request: Request) -> str:
    return f"headstart-{request.url.port or 80}"  # other ports of this machine share its cookies


def _static(content: str, kind: str) -> Callable[[], Response]:
    def answer() -> Response:
        return Response(content, media_type=kind, headers={"Cache-Control": "no-cache"})

    return answer
