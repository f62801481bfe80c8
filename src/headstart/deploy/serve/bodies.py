"""Reads the body of a request within bounds of size and time, and takes its pictures apart."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator

from fastapi import HTTPException, Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from headstart.deploy.serve.limits import MEBIBYTE, Limits


class Bodies:
    """Reads requests; all of them together hold a bounded number of bytes.

    Args:
        limits: of the server.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._held = 0

    @contextlib.asynccontextmanager
    async def pictures(self, request: Request) -> AsyncIterator[list[tuple[str, bytes]]]:
        """Give name and content of each picture of a request: the body itself, or the files of a form.

        Their bytes count as held until the block ends.

        Raises:
            HTTPException: 408 too slow, 413 too large or too many, 422 no picture, 503 too much in all.
        """
        body = bytearray()
        try:
            await self._read(request, body)
            if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
                found = await self._files(request, bytes(body))
            else:
                found = [("body", bytes(body))] if body else []
            if not found:
                raise HTTPException(
                    422, "no picture: send its bytes as the body, or files in a form (multipart/form-data)"
                )
            yield found
        finally:
            self._held -= len(body)

    async def _read(self, request: Request, body: bytearray) -> None:
        declared = request.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > self.limits.body:
            raise _too_large(self.limits)
        try:
            async with asyncio.timeout(self.limits.seconds):
                async for chunk in request.stream():
                    body += chunk
                    self._held += len(chunk)
                    if len(body) > self.limits.body:
                        raise _too_large(self.limits)
                    if self._held > self.limits.waiting:
                        raise busy("the server holds as many bytes as it may")
        except TimeoutError:
            raise HTTPException(408, f"the request did not arrive within {self.limits.seconds:g} s") from None

    async def _files(self, request: Request, body: bytes) -> list[tuple[str, bytes]]:
        async def stream() -> AsyncGenerator[bytes, None]:
            for start in range(0, len(body), MEBIBYTE):
                yield body[start : start + MEBIBYTE]
            yield b""

        most = self.limits.pictures
        parser = MultiPartParser(request.headers, stream(), max_files=most, max_fields=most)
        try:
            form = await parser.parse()
        except MultiPartException as error:
            raise HTTPException(413 if "Too many" in error.message else 422, f"the form: {error.message}") from None
        except (ValueError, KeyError, LookupError) as error:
            raise HTTPException(422, f"the form cannot be read: {error}") from None
        try:
            uploads = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
            return [(each.filename or f"file {n}", await each.read()) for n, each in enumerate(uploads, start=1)]
        finally:
            await form.close()


def busy(why: str) -> HTTPException:
    """Return the answer of an overloaded server."""
    return HTTPException(503, f"{why}; try again", headers={"Retry-After": "1"})


def _too_large(limits: Limits) -> HTTPException:
    return HTTPException(413, f"a request may have {limits.body // MEBIBYTE} MiB")
