"""Requests without a server: the body comes in the chunks that a test gives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from fastapi import HTTPException
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect

from headstart.deploy.serve.bodies import Bodies, busy
from headstart.deploy.serve.limits import Limits
from tests.deploy.serve.conftest import form

SMALL = Limits(body=1000, waiting=1500, pictures=2, seconds=0.05)


class Arriving:
    """A request that arrives in chunks; `late` waits before the last one, `left` ends before it."""

    def __init__(
        self, *chunks: bytes, headers: dict[str, str] | None = None, late: bool = False, left: bool = False
    ) -> None:
        self.chunks, self.headers, self.late, self.left, self.read = chunks, Headers(headers or {}), late, left, 0

    async def stream(self) -> AsyncIterator[bytes]:
        for number, chunk in enumerate(self.chunks):
            if self.late and number == len(self.chunks) - 1:
                await asyncio.sleep(10)
            if self.left and number == len(self.chunks) - 1:
                raise ClientDisconnect
            self.read += 1
            yield chunk


def received(bodies: Bodies, *requests: Any) -> list[Any]:
    """Return what is found in each request, read one while the former are still held; or the error's status."""

    async def read(rest: Sequence[Any]) -> list[Any]:
        if not rest:
            return []
        try:
            async with bodies.pictures(rest[0]) as found:
                return [found.pictures, *await read(rest[1:])]
        except HTTPException as error:
            return [error.status_code, *await read(rest[1:])]

    return asyncio.run(read(requests))


def test_a_body_is_a_picture_and_a_form_has_files() -> None:
    body, headers = form([("a.png", b"first"), ("b.png", b"second")])
    bodies = Bodies(SMALL)
    requests = [Arriving(b"ab", b"cd"), Arriving(body[:50], body[50:], headers=headers)]
    assert received(bodies, *requests) == [[("body", b"abcd")], [("a.png", b"first"), ("b.png", b"second")]]
    assert bodies._held == 0


def test_fields_that_are_no_files_are_passed_over_and_files_without_a_name_are_numbered() -> None:
    head = b'--edge\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
    body = head % (b"note", b"", b"text") + head % (b"x", b'; filename=""', b"one") + b"--edge--\r\n"
    request = Arriving(body, headers={"content-type": "Multipart/Form-Data; boundary=edge"})
    assert received(Bodies(SMALL), request) == [[("file 1", b"one")]]


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (Arriving(), 422),
        (Arriving(b""), 422),
        (Arriving(b"x" * 1000, b"x"), 413),
        (Arriving(b"x", b"y", late=True), 408),
        (Arriving(b"x", b"y", left=True), 400),
        (Arriving(b"--edge", headers={"content-type": "multipart/form-data"}), 422),
        (Arriving(*(part for part in [form([])[0]]), headers=form([])[1]), 422),
        (Arriving(form([("a", b"1"), ("b", b"2"), ("c", b"3")])[0], headers=form([])[1]), 413),
    ],
)
def test_what_cannot_be_taken_has_its_status_and_leaves_nothing_held(request_: Arriving, status: int) -> None:
    bodies = Bodies(SMALL)
    assert received(bodies, request_) == [status] and bodies._held == 0


def test_a_declared_size_beyond_the_limit_is_refused_unread() -> None:
    large, exact = (Arriving(b"x", headers={"content-length": size}) for size in ("1001", "1000"))
    assert received(Bodies(SMALL), large, exact) == [413, [("body", b"x")]]
    assert (large.read, exact.read) == (0, 1)


def test_all_requests_together_are_bounded_and_what_was_answered_is_free_again() -> None:
    bodies = Bodies(SMALL)
    assert received(bodies, Arriving(b"x" * 900), Arriving(b"y" * 600), Arriving(b"z")) == [
        [("body", b"x" * 900)],
        [("body", b"y" * 600)],
        503,
    ]
    assert bodies._held == 0 and received(bodies, Arriving(b"z" * 1000)) == [[("body", b"z" * 1000)]]


def test_bytes_count_as_held_until_the_last_user_is_done() -> None:
    bodies = Bodies(SMALL)

    async def given_up() -> list[int]:
        async with bodies.pictures(Arriving(b"x" * 900)) as received:  # type: ignore[arg-type]
            first, second = received.keep(), received.keep()
        held = [bodies._held]
        for done in (first, second):
            done()
            held.append(bodies._held)
        return held

    assert asyncio.run(given_up()) == [900, 900, 0]


def test_an_overloaded_server_says_when_to_come_back() -> None:
    error = busy("too much")
    assert (error.status_code, error.detail, error.headers) == (503, "too much; try again", {"Retry-After": "1"})
