"""Reads the body of a request within bounds of size and time, and takes its pictures apart."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable

from fastapi import HTTPException, Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from headstart.deploy.serve.limits import MEBIBYTE, Limits


class Received:
    """The pictures of one request, whose bytes count as held until nobody uses them.

    Args:
        count: takes the number of bytes that are held more (below zero: fewer).
    """

    def __init__(self, count: Callable[[int], object]) -> None:
        self.pictures: list[tuple[str, bytes]] = []
        self.size = 0
        self._count, self._users, self._lock = count, 0, threading.Lock()

    def keep(self) -> Callable[[], None]:
        """Count the bytes as held until the returned function is called, once, from any thread."""
        with self._lock:
            self._users += 1
        return self._done

    def _done(self) -> None:
        with self._lock:
            self._users -= 1
            last = self._users == 0
        if last:
            self._count(-self.size)


class Bodies:
    """Reads requests; all of them together hold a bounded number of bytes.

    The bound is of bytes as they arrive. While a form is taken apart its files are in memory twice (those above 1 MiB
    wait on the disk), and a body is copied once, so memory may reach 2.2 times the bound. Decoded pixels are extra;
    their number is bounded by `Limits.queue`.

    Args:
        limits: of the server.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._held, self._counting = 0, threading.Lock()

    @contextlib.asynccontextmanager
    async def pictures(self, request: Request) -> AsyncIterator[Received]:
        """Give name and content of each picture of a request: the body itself, or the files of a form.

        Their bytes count as held until the block ends, and until all who keep them are done.

        Raises:
            HTTPException: 400 the client left, 408 too slow, 413 too large or too many, 422 no picture, 503 too much.
        """
        received = Received(self._count)
        done = received.keep()
        try:
            body = bytearray()
            await self._read(request, body, received)
            if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
                received.pictures = await self._files(request, body)
            elif body:
                received.pictures = [("body", bytes(body))]
            del body
            if not received.pictures:
                raise HTTPException(
                    422, "no image: send its bytes as the body, or files in a form (multipart/form-data)"
                )
            yield received
        finally:
            done()

    def _count(self, size: int) -> int:
        """Count more bytes as held, or fewer; return how many are held in all."""
        with self._counting:
            self._held += size
            return self._held

    async def _read(self, request: Request, body: bytearray, received: Received) -> None:
        declared = request.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > self.limits.body:
            raise _too_large(self.limits)
        try:
            async with asyncio.timeout(self.limits.seconds):
                async for chunk in request.stream():
                    body += chunk
                    received.size += len(chunk)
                    held = self._count(len(chunk))
                    if len(body) > self.limits.body:
                        raise _too_large(self.limits)
                    if held > self.limits.waiting:
                        raise busy("the server's limit for request memory is reached; try again later")
        except TimeoutError:
            raise HTTPException(408, f"the request did not arrive within {self.limits.seconds:g} s") from None
        except ClientDisconnect:  # nobody reads this; the figures count it
            raise HTTPException(400, "the client left before its request had arrived") from None

    async def _files(self, request: Request, body: bytearray) -> list[tuple[str, bytes]]:
        async def stream() -> AsyncGenerator[bytes, None]:
            for start in range(0, len(body), MEBIBYTE):
                yield bytes(body[start : start + MEBIBYTE])
            yield b""

        most = self.limits.pictures
        parser = MultiPartParser(request.headers, stream(), max_files=most, max_fields=most)
        try:
            form = await parser.parse()
        except MultiPartException as error:
            raise HTTPException(413 if "Too many" in error.message else 422, f"the form: {error.message}") from None
        except (ValueError, KeyError, LookupError) as error:
            raise HTTPException(422, f"the form cannot be read: {error}") from None
        body.clear()  # the form has its own copy
        found: list[tuple[str, bytes]] = []
        try:
            for each in (value for _, value in form.multi_items() if isinstance(value, UploadFile)):
                found.append((each.filename or f"file {len(found) + 1}", await each.read()))
                await each.close()
            return found
        finally:
            await form.close()


def busy(why: str) -> HTTPException:
    """Return the answer of an overloaded server."""
    return HTTPException(503, f"{why}; try again", headers={"Retry-After": "1"})


def _too_large(limits: Limits) -> HTTPException:
    return HTTPException(413, f"a request may have {limits.body // MEBIBYTE} MiB")
