"""A server of an untrained network in this process, and what a client sends to it."""

from __future__ import annotations

import http.client
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import uvicorn
from PIL import Image

from headstart.deploy.classifier import Classifier
from headstart.deploy.serve.app import make_app
from headstart.deploy.serve.limits import Limits
from headstart.deploy.serve.run import listen, settings
from headstart.models.bundle import Bundle, Origin
from headstart.models.create import create_backbone
from headstart.models.heads import LinearHead
from headstart.models.network import Network

Answer = tuple[int, Any, dict[str, str]]
Ask = Callable[..., Answer]


def untrained() -> Classifier:
    """Return a network whose answers depend on the picture."""
    backbone, _ = create_backbone("lenet5", None, seed=3)
    torch.manual_seed(0)
    head = LinearHead(backbone.feature_dim, 3)
    torch.nn.init.normal_(head.weight)
    return Classifier(Bundle(Network(backbone, head).eval(), Origin("lenet5", seed=3), ("ant", "bee", "cat")))


def picture(seed: int, kind: str = "PNG") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind)
    return out.getvalue()


def form(files: list[tuple[str, bytes]]) -> tuple[bytes, dict[str, str]]:
    parts = [
        b'--edge\r\nContent-Disposition: form-data; name="files"; filename="%s"\r\n\r\n%s\r\n'
        % (name.encode(), content)
        for name, content in files
    ]
    return b"".join(parts) + b"--edge--\r\n", {"Content-Type": "multipart/form-data; boundary=edge"}


@contextmanager
def served(classifier: Classifier, **options: Any) -> Iterator[Ask]:
    """Run a server; give a function that sends a request and returns status, answer and headers."""
    listening = listen("127.0.0.1", 0)
    server = uvicorn.Server(settings(make_app(classifier, **options), options.get("limits") or Limits()))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    port = listening.getsockname()[1]
    end = time.monotonic() + 30
    while not server.started and time.monotonic() < end:
        time.sleep(0.01)

    def ask(method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        content: Any = response.read()
        if response.headers.get_content_type() == "application/json":
            content = json.loads(content)
        connection.close()
        return response.status, content, {key.lower(): value for key, value in response.getheaders()}

    ask.port = port  # type: ignore[attr-defined]
    try:
        yield ask
    finally:
        server.should_exit = True
        thread.join(30)


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return untrained()


@pytest.fixture
def model_file(classifier: Classifier, tmp_path: Path) -> Path:
    return classifier.save(tmp_path / "model.safetensors")
