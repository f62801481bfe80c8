"""Hostile clients of a server: damaged pictures and forms, bombs, wrong types, slow senders, cut connections, bad HTTP.

The server answers 200, 4xx or 503, or closes a connection that is no HTTP; it shows no traceback, keeps its memory, and
goes on giving the same answer for a sound picture.
"""

from __future__ import annotations

import atexit
import io
import json
import os
import random
import re
import socket
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from headstart.data.decoding.bounds import MAX_MEMORY
from headstart.threads import environment
from tests.deploy.serve.conftest import untrained
from tests.siege.images import FORMATS, encoded
from tests.siege.mutators import damaged
from tests.siege.siege import Attack, Broken

SECONDS = 60.0  # for an answer
PATIENCE = 0.3  # seconds of a client that has not sent all
MEMORY = MAX_MEMORY + (1 << 29)  # bytes beyond what the server has when it begins
EVERY = 10  # attempts between two sound pictures
FORM = "multipart/form-data; boundary=edge"
PATHS = (
    "/predict",
    "/predict?top=2",
    "/predict?top=0",
    "/explain",
    "/model",
    "/..%2f..%2fetc/passwd",
    "/" + "a" * 3000,
)
BOMB_SIDE = 14_000  # of a picture that is small as a file and has 196 million pixels
LARGE_SIDE = 4_000  # of one that is taken

Make = Callable[[random.Random], bytes]


class Served:
    """A server of a small network in a process of its own, and its clients.

    Args:
        scratch: a folder for the model and the log.
    """

    def __init__(self, scratch: Path) -> None:
        self.log = scratch / "server.log"
        model = untrained().save(scratch / "model.safetensors")
        command = [sys.executable, "-m", "headstart", "serve", str(model), "--port", "0"]
        with self.log.open("wb") as log:
            settings = {**os.environ, **environment(1), "PYTHONUNBUFFERED": "1"}
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=settings)
        atexit.register(self.close)
        self.port = self._port()
        self.sound = encoded("JPEG", 0)
        self.expected = self._answer_to_a_sound_picture()
        self.before = self.peak = self._memory()

    def _port(self) -> int:
        end = time.monotonic() + 120
        while time.monotonic() < end:
            found = re.search(r"http://127\.0\.0\.1:(\d+)", self.log.read_text(errors="replace"))
            if found:
                return int(found[1])
            if self._process.poll() is not None:
                break
            time.sleep(0.1)
        raise Broken(f"the server did not start: {self.log.read_text(errors='replace')[-500:]}")

    def send(self, data: bytes, pause: float = 0.0, *, cut: bool = False, whole: bool = True) -> bytes:
        """Send raw bytes, with a pause in the middle; return the answer, or nothing where the connection is `cut`.

        Where the request is not `whole`, the server may wait for the rest, and the client leaves soon.
        """
        with socket.create_connection(("127.0.0.1", self.port), timeout=SECONDS) as client:
            try:
                middle = len(data) // 2
                client.sendall(data[:middle])
                if pause:
                    time.sleep(pause)
                client.sendall(data[middle:])
                if cut:  # with a reset, as a client that crashes does
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return b""
                client.settimeout(SECONDS if whole else PATIENCE)
                return self._read(client)
            except (ConnectionResetError, BrokenPipeError):  # the server closed what is no HTTP
                return b""
            except TimeoutError:
                if whole:
                    raise Broken(f"no answer within {SECONDS:.0f} s to {data[:200]!r}") from None
                return b""

    def _read(self, client: socket.socket) -> bytes:
        found = bytearray()
        try:
            while part := client.recv(1 << 16):
                found += part
        except ConnectionResetError:  # the server left a part of the body unread: what it said before is an answer
            if not found:
                raise
        return bytes(found)

    def check(self) -> None:
        """Raise where the server died, forgot itself or grew."""
        if self._process.poll() is not None:
            raise Broken(f"the server died: {self.log.read_text(errors='replace')[-500:]}")
        self.peak = max(self.peak, self._memory())
        if self.peak - self.before > MEMORY:
            raise Broken(f"the server grew by {(self.peak - self.before) / 1e6:.0f} MB")
        if "Traceback" in self.log.read_text(errors="replace"):
            raise Broken(f"the server's log has a traceback: {self.log.read_text(errors='replace')[-1000:]}")

    def check_answer(self) -> None:
        """Raise where a sound picture has another answer than at first."""
        if self._answer_to_a_sound_picture() != self.expected:
            raise Broken("a sound picture has another answer than before")

    def _answer_to_a_sound_picture(self) -> object:
        answer = self.send(request("POST", "/predict", self.sound))
        if not answer.startswith(b"HTTP/1.1 200"):
            raise Broken(f"a sound picture was answered by {answer[:200]!r}")
        return json.loads(answer.partition(b"\r\n\r\n")[2])

    def _memory(self) -> int:
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        return 0 if found is None else 1024 * int(found[1])

    def close(self) -> None:
        """End the server."""
        self._process.kill()
        self._process.wait()
        atexit.unregister(self.close)


def request(method: str, path: str, body: bytes, *headers: str, length: int | None = None) -> bytes:
    """Return an HTTP request as it goes over the wire."""
    lines = [f"{method} {path} HTTP/1.1", "Host: here", f"Content-Length: {len(body) if length is None else length}"]
    return "\r\n".join([*lines, "Connection: close", *headers, "", ""]).encode() + body


def form(files: list[tuple[str, bytes]]) -> bytes:
    """Return a form of several files; its boundary is `edge`."""
    parts = [
        b'--edge\r\nContent-Disposition: form-data; name="files"; filename="%s"\r\n\r\n%s\r\n'
        % (name.encode(), content)
        for name, content in files
    ]
    return b"".join(parts) + b"--edge--\r\n"


def bomb(side: int) -> bytes:
    """Return a picture of side × side grey pixels, a few kilobytes."""
    out = io.BytesIO()
    Image.fromarray(np.zeros((side, side), bool)).save(out, "PNG", optimize=True)
    return out.getvalue()


def claimed(width: int, height: int) -> bytes:
    """Return a PNG that says it is larger than it is."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _bodies() -> dict[str, Make]:
    """Return kinds of bodies."""
    kinds = [kind for kind, (weight, _) in FORMATS.items() for _ in range(weight)]
    sound = {kind: [encoded(kind, seed) for seed in range(3)] for kind in FORMATS}
    large, bombs = bomb(LARGE_SIDE), bomb(BOMB_SIDE)

    def picture(rng: random.Random) -> bytes:
        return rng.choice(sound[rng.choice(kinds)])

    def wrong(rng: random.Random) -> bytes:
        texts = [
            b"",
            b"hello",
            b'{"image": "x"}',
            b"<html>",
            b"PK\x03\x04" + bytes(50),
            b"%PDF-1.7",
            b"GIF89a",
            b"\xff\xd8",
        ]
        return rng.choice([*texts, rng.randbytes(rng.randrange(5000))])

    return {
        "damaged picture": lambda rng: damaged(picture(rng), rng),
        "sound picture": picture,
        "wrong type": wrong,
        "large": lambda rng: rng.choice((large, bombs, claimed(rng.choice((1, 65_535, 2**31 - 1)), 65_535))),
    }


def _owed(answer: bytes) -> bytes:
    """Return an answer that there must be."""
    if not answer:
        raise Broken("no answer")
    return answer


def prepare(scratch: Path) -> Attack:
    """Return the attack on a server."""
    return Clients(Served(scratch), _bodies())


class Clients:
    """One hostile client an attempt.

    Args:
        server: that they attack.
        bodies: kinds of bodies, each from a generator.
    """

    def __init__(self, server: Served, bodies: dict[str, Make]) -> None:
        self.server, self.bodies = server, bodies
        self.how = {
            "body": self._body,
            "form": self._form,
            "cut": self._cut,
            "slow": self._slow,
            "bad HTTP": self._bad_http,
            "wrong length": self._wrong_length,
        }

    def __call__(self, seed: int) -> str:
        """Return what the server answered."""
        rng = random.Random(seed)
        name = rng.choices(list(self.how), (6, 4, 2, 1, 2, 2))[0]
        answer = self.how[name](rng)
        status = answer[9:12].decode("latin-1") if answer.startswith(b"HTTP/1.1 ") else "nothing"
        if status not in ("nothing", "200", "503") and not status.startswith("4"):
            raise Broken(f"{name}: answered {answer[:300]!r}")
        if b"Traceback" in answer or b'File "' in answer:
            raise Broken(f"{name}: a traceback was shown: {answer[:500]!r}")
        self.server.check()
        if seed % EVERY == 0:
            self.server.check_answer()
        return f"{name}: {status}"

    def _made(self, rng: random.Random) -> bytes:
        return self.bodies[rng.choices(list(self.bodies), (6, 1, 2, 1))[0]](rng)

    def _body(self, rng: random.Random) -> bytes:
        kind = rng.choice(
            ("image/png", "application/json", FORM, "multipart/form-data", "text/plain; charset=\x00", "")
        )
        path = rng.choice(PATHS[:3] + PATHS) if rng.random() < 0.3 else "/predict"
        method = rng.choice(("GET", "PUT", "DELETE", "OPTIONS")) if rng.random() < 0.05 else "POST"
        headers = [f"Content-Type: {kind}"] if kind and rng.random() < 0.5 else []
        answer = self.server.send(request(method, path, self._made(rng), *headers))
        refused = method != "POST" or "top=0" in path or any("\x00" in header for header in headers)
        read = path.startswith("/predict") and not refused
        return _owed(answer) if read else answer  # else the body is not read, and the reset may overtake the answer

    def _form(self, rng: random.Random) -> bytes:
        names = ["a.png", "", "../../x", "\u00e9.jpg", "n" * 500]
        body = form([(rng.choice(names), self._made(rng)) for _ in range(rng.randint(0, 5))])
        if rng.random() < 0.5:
            body = damaged(body, rng)
        return _owed(self.server.send(request("POST", "/predict", body, f"Content-Type: {FORM}")))

    def _cut(self, rng: random.Random) -> bytes:
        whole = request("POST", "/predict", self._made(rng))
        return self.server.send(whole[: rng.randrange(len(whole) + 1)], cut=rng.random() < 0.7, whole=False)

    def _slow(self, rng: random.Random) -> bytes:
        whole = request("POST", "/predict", self._made(rng))
        kept = whole if rng.random() < 0.5 else whole[: rng.randrange(len(whole))]
        return self.server.send(kept, pause=rng.uniform(0.0, 0.2), cut=rng.random() < 0.3, whole=kept is whole)

    def _bad_http(self, rng: random.Random) -> bytes:
        whole = request("POST", "/predict", self._made(rng), "X-API-Key: " + "k" * rng.choice((1, 100, 20_000)))
        return self.server.send(damaged(whole[:300], rng) + whole[300:], whole=False)

    def _wrong_length(self, rng: random.Random) -> bytes:
        body = self._made(rng)
        if rng.random() < 0.3:
            parts = b"".join(
                rng.choice((b"5\r\nhello\r\n", b"zz\r\n", b"ffffffff\r\nx", b"0\r\n\r\n")) for _ in range(3)
            )
            head = b"POST /predict HTTP/1.1\r\nHost: here\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
            return self.server.send(head + parts, whole=False)
        length = rng.choice((-1, 0, 1, len(body) + 1, 2**40))
        return self.server.send(request("POST", "/predict", body, length=length), whole=False)
