from __future__ import annotations

import socket

import pytest

from headstart.deploy.classifier import Classifier
from headstart.deploy.serve.http import HEAD

from .conftest import picture, served


def _answer(port: int, *parts: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        found = b""
        try:
            for part in parts:
                client.sendall(part)
            while chunk := client.recv(1 << 16):
                found += chunk
        except ConnectionError:  # the server closed the connection while it was written to
            pass
    return found


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * (64 * HEAD),
        b"GET /health HTTP/1.1\r\nHost: here\r\nX: " + b"a" * (64 * HEAD),
        b"GET /health HTTP/1.1\r\n" + b"X: a\r\n" * (16 * HEAD),
    ],
    ids=["address", "header", "headers"],
)
def test_a_head_without_end_is_cut_off(classifier: Classifier, head: bytes) -> None:
    with served(classifier) as ask:
        found = _answer(ask.port, head)  # type: ignore[attr-defined]
        assert found == b"" or found.startswith(b"HTTP/1.1 400 ")
        assert ask("GET", "/health")[0] == 200


def test_the_head_is_counted_for_each_request_and_without_the_body(classifier: Classifier) -> None:
    body = picture(1, "BMP") + bytes(2 * HEAD)
    ask_again = b"POST /predict HTTP/1.1\r\nHost: here\r\nX: %b\r\nContent-Length: %d\r\n" % (b"a" * 20_000, len(body))
    last = b"GET /health HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"
    with served(classifier) as ask:
        found = _answer(ask.port, *[ask_again + b"\r\n", body] * 5, last)  # type: ignore[attr-defined]
    assert found.count(b"HTTP/1.1 ") == 6 and found.count(b"HTTP/1.1 200") + found.count(b"HTTP/1.1 422") == 6
