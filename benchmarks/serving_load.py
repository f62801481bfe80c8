"""Clients for `serving.py`: images at random to POST /predict, as locust sends them.

$SERVING_IMAGES is a folder of images; $SERVING_FORM=1 sends them as a form; $SERVING_PACE is the number of requests a
second of each client (0: the next as soon as the last is answered). Status 503 counts as answered, under its own name.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

from locust import FastHttpUser, constant, constant_throughput, task

IMAGES = [path.read_bytes() for path in sorted(Path(os.environ["SERVING_IMAGES"]).iterdir())]
PACE = float(os.environ.get("SERVING_PACE", "0"))


def form(content: bytes) -> tuple[bytes, dict[str, str]]:
    """Return a form with one file, and its header."""
    head = b'--edge\r\nContent-Disposition: form-data; name="content"; filename="a.jpg"\r\n\r\n'
    return head + content + b"\r\n--edge--\r\n", {"Content-Type": "multipart/form-data; boundary=edge"}


class Client(FastHttpUser):
    """Sends one image after the other."""

    wait_time = constant_throughput(PACE) if PACE else constant(0)
    network_timeout = connection_timeout = 60.0

    @task
    def predict(self) -> None:
        """Send an image."""
        data, headers = random.choice(IMAGES), {"Content-Type": "application/octet-stream"}
        if os.environ.get("SERVING_FORM") == "1":
            data, headers = form(data)
        with self.client.post("/predict", data=data, headers=headers, catch_response=True, name="200") as answer:
            if answer.status_code == 503:
                answer.request_meta["name"] = "503" if answer.headers.get("Retry-After") else "503 without Retry-After"
                answer.success()
