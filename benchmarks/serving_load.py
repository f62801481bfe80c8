"""Clients for `serving.py`: images at random to POST /predict, as locust sends them.

$SERVING_IMAGES is a folder of images; $SERVING_FORM=1 sends them as a form; $SERVING_PACE is the number of requests a
second of each client, at random times (a Poisson process; one that is due while another is under way follows it at
once). Status 503 counts as answered, under its own name.
What all clients saw is written to $SERVING_OUT as JSON when the last of them has its answer.
"""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path
from typing import Any

from locust import FastHttpUser, events, task

IMAGES = [path.read_bytes() for path in sorted(Path(os.environ["SERVING_IMAGES"]).iterdir())]
PACE = float(os.environ["SERVING_PACE"])


@events.quitting.add_listener
def write(environment: Any, **rest: Any) -> None:
    """Write what the clients saw, by what they were answered."""
    found = {
        entry.name: {
            "answered": entry.num_requests - entry.num_failures,
            "lost": entry.num_failures,
            "seconds": (entry.last_request_timestamp or 0) - entry.start_time,
            "p95_ms": entry.get_response_time_percentile(0.95),
        }
        for entry in environment.stats.entries.values()
    }
    Path(os.environ["SERVING_OUT"]).write_text(json.dumps(found), encoding="utf-8")


def form(content: bytes) -> tuple[bytes, dict[str, str]]:
    """Return a form with one file, and its header."""
    head = b'--edge\r\nContent-Disposition: form-data; name="content"; filename="a.jpg"\r\n\r\n'
    return head + content + b"\r\n--edge--\r\n", {"Content-Type": "multipart/form-data; boundary=edge"}


class Client(FastHttpUser):
    """Sends one image after the other."""

    due = 0.0
    network_timeout = connection_timeout = 60.0

    def on_start(self) -> None:
        """Draw when the first image is sent: not all clients begin together."""
        time.sleep(self.wait_time())

    def wait_time(self) -> float:
        """Return the seconds until the next image is due."""
        now = time.monotonic()
        self.due = (self.due or now) + random.expovariate(PACE)
        return max(0.0, self.due - now)

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
