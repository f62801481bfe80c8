"""What `serve` does and prints."""

from __future__ import annotations

import copy
import functools
import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.deploy.serve.limits import MEBIBYTE, Limits
from headstart.deploy.serve.run import address, check_packages, is_local, listen, run, side_by_side, together
from headstart.errors import SpecError
from headstart.evaluate.uncertainty.answers import AnswerOptions
from headstart.progress import say

if TYPE_CHECKING:
    from headstart.deploy.classifier import Classifier
    from headstart.deploy.serve.app import Explain
    from headstart.models.network import Network

KEY = "HEADSTART_API_KEY"


def serve_model(
    model: Path,
    host: str,
    port: int,
    *,
    device: str,
    key: str | None,
    queue: int,
    batch: int | None,
    megabytes: int,
    asked: AnswerOptions,
) -> None:
    """Serve a model until the process is told to stop.

    Raises:
        SpecError: a port in use, an open address without a key, limits that contradict each other, answers that the
            model cannot guarantee.
        WeightsError: there is no model, or it is damaged.
    """
    check_packages()
    if batch is not None and batch > queue:
        raise SpecError(f"--batch {batch}: is more than --queue {queue}, so that no batch would ever be full")
    key = key or os.environ.get(KEY)
    if not is_local(host) and not key:
        raise SpecError(
            f"--host {host}: others can reach this address; set a key that clients must send (--api-key or ${KEY})"
        )
    with listen(host, port) as listening:
        from headstart.deploy.classifier import Classifier
        from headstart.deploy.serve.app import make_app
        from headstart.devices import resolve_device
        from headstart.models.bundle import model_files
        from headstart.models.refitted import refitted_of, words

        device = resolve_device(device)
        workers, threads = side_by_side(device)
        limits = _limits(queue, min(together(device), queue) if batch is None else batch, workers, megabytes)
        files = model_files(model)
        classifier = Classifier.load(model, device, engine=True, asked=asked, threads=threads)
        app = make_app(classifier, files=files, limits=limits, key=key, explain=_explainer(classifier))
        shown = address(host, listening)
        say(f"serving {model} at {shown} (page), {shown}/docs (interface); press Ctrl-C to stop")
        if (refitted := refitted_of(classifier.ensemble.members[0].provenance)) is not None:
            say(words(refitted))
        run(app, listening, limits)


def _limits(queue: int, batch: int, workers: int, megabytes: int) -> Limits:
    limits = replace(Limits(), batch=batch, workers=workers, queue=queue, body=megabytes * MEBIBYTE)
    return replace(limits, waiting=max(limits.waiting, 2 * limits.body), pictures=min(limits.pictures, queue))


class _GivenUpError(Exception):
    """Nobody waits for this explanation."""


def _explainer(classifier: Classifier) -> Explain | None:
    """Return what draws an explanation; None for models of several networks.

    One that is given up ends before the network runs again: else it would keep a core busy, and the server from ending.
    """
    if len(classifier.ensemble.members) > 1:
        return None

    @functools.cache
    def network() -> Network:  # explainers disturb it while the classifier continues
        return copy.deepcopy(classifier.bundle.network)

    def explain(content: bytes, method: str | None, given_up: threading.Event) -> bytes:
        from headstart.data.decoding.decode import UndecodableError, decode
        from headstart.errors import DataError
        from headstart.explain.compare import Subject, columns_of, explain_pictures
        from headstart.explain.explainers import default_explainers
        from headstart.explain.picture import gallery

        try:
            picture = decode(content)
        except UndecodableError as error:
            raise DataError(str(error)) from None
        subject = Subject.of("model", replace(classifier.bundle, network=network()))
        methods = default_explainers([subject.network])[0][-1:] if method is None else [method]

        def check(*_: object) -> None:
            if given_up.is_set():
                raise _GivenUpError

        watched = subject.network.register_forward_pre_hook(check)
        try:
            return gallery(columns_of(explain_pictures([subject], [picture], methods)))
        finally:
            watched.remove()

    return explain
