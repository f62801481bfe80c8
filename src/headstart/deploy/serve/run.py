"""Runs the server in this process until it is told to stop."""

from __future__ import annotations

import contextlib
import gc
import ipaddress
import logging
import socket
from typing import TYPE_CHECKING

from headstart.deploy.serve.limits import Limits
from headstart.errors import SpecError, require
from headstart.threads import cores
from headstart.transfer.loggers import logged_from

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

WORKERS = 4
BATCH, A_CORE = 32, 4  # images that the network takes together: at most, and for each core of the CPU
PACKAGES = ("fastapi", "uvicorn", "httptools", "prometheus_client", "python_multipart")


def check_packages() -> None:
    """Refuse where the packages of the extra `serve` are missing.

    Raises:
        MissingExtra: one is.
    """
    for package in PACKAGES:
        require(package, "headstart serve", "serve")


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens, so that a port in use is known before the model is read.

    Raises:
        SpecError: the address is unknown, or in use.
    """
    if not 0 <= port <= 65535:
        raise SpecError(f"--port {port}: must be between 0 and 65535 (0 takes a free one)")
    found = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
        found.listen(1024)  # clients that come before the server is ready wait
    except OSError as error:
        found.close()
        raise SpecError(f"--port {port}: {host}:{port} cannot be used ({error.strerror or error})") from error
    return found


def address(host: str, listening: socket.socket) -> str:
    """Return the address at which a socket of `listen` is reached, with the port that it was given."""
    return f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"


def is_local(host: str) -> bool:
    """Return whether an address is reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def side_by_side(device: str) -> tuple[int, int]:
    """Return how many threads run the network of a server side by side, and how many cores each keeps busy.

    On the CPU that is one core each, up to four threads: a network on several cores waits for all of them at every
    layer, also for one that decodes an image meanwhile. With more cores each thread has an equal share of them, since
    a lone image is then answered sooner. A GPU takes one batch at a time.
    """
    if not device.startswith("cpu"):
        return 1, cores()
    workers = min(cores(), WORKERS)
    return workers, cores() // workers


def together(device: str) -> int:
    """Return how many images the network takes together, in all of its threads, unless the user says otherwise.

    A GPU wants many. On the CPU a few are cheaper (benchmarks/README.md): what one layer passes on to the next stays in
    the core's cache.
    """
    return min(BATCH, A_CORE * cores()) if device.startswith("cpu") else BATCH


def settings(app: FastAPI, limits: Limits) -> uvicorn.Config:
    """Return how uvicorn serves an application."""
    import uvicorn

    from headstart.deploy.serve.http import BoundedHttp

    return uvicorn.Config(
        app,
        http=BoundedHttp,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nothing here depends on the client's address
        timeout_keep_alive=5,
        timeout_graceful_shutdown=int(2 * limits.seconds),
        limit_concurrency=8 * limits.queue,  # connections; beyond, uvicorn answers 503 by itself
    )


def run(app: FastAPI, listening: socket.socket, limits: Limits) -> None:
    """Serve an application on a socket until SIGINT or SIGTERM; what was begun is answered first."""
    import uvicorn

    gc.collect()
    gc.freeze()  # the model outlives every request: collections need not visit its hundred thousand objects
    try:
        # a malformed form is an error of the client, which gets an answer: a warning for each would fill the log
        with (
            logged_from(logging.ERROR, "python_multipart.multipart"),
            contextlib.suppress(KeyboardInterrupt, SystemExit),  # uvicorn raises the signal again when it is done
        ):
            uvicorn.Server(settings(app, limits)).run(sockets=[listening])
    finally:
        gc.unfreeze()
