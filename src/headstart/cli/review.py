"""What `review` does and prints."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headstart.cli.outputs import check_file
from headstart.deploy.serve.limits import Limits
from headstart.deploy.serve.run import address, listen, run
from headstart.disclosure import show
from headstart.errors import require
from headstart.progress import say
from headstart.report.numbers import counted


def review_and_serve(
    data: str,
    backbone: str,
    weights: str,
    *,
    label: str | None,
    read: Mapping[str, Any],
    out: Path,
    host: str,
    port: int,
    device: str,
) -> None:
    """Serve the page on which people decide what an audit found, until the process is told to stop.

    Args:
        data, backbone, weights, label, device: as `review_session` takes them.
        read: the bands in which the images are read, as `asked_bands` returns them.
        out: the file of corrections.
        host, port: where the page is.

    Raises:
        SpecError: a port in use, or a place that cannot be written.
        DataError: no labelled image, or a file of corrections that is another table.
    """
    for package in ("fastapi", "uvicorn"):
        require(package, "headstart review", "serve")
    check_file(out)
    with listen(host, port) as listening:
        from headstart.data.overview import given_by, overview
        from headstart.labelling.next_command import next_command
        from headstart.labelling.review.open_review import review_session
        from headstart.labelling.review.problems import KINDS
        from headstart.labelling.review.review_app import make_review_app

        network: dict[str, Any] = {"backbone": backbone, "weights": weights, "device": device}
        session = review_session(data, file=out, label=label, **read, **network)
        for line in overview(session.dataset, given_by(session.dataset)):
            say(line)
        counts = session.counts()
        found = ", ".join(f"{KINDS[kind]} ({whole:,})" for kind, (_, whole) in counts.items())
        left = sum(left for left, _ in counts.values())
        say(f"found: {found or 'nothing'}; {left:,} to decide")
        key = secrets.token_urlsafe(12)
        show(f"open {address(host, listening)}/open/{key}  (press Ctrl-C to stop)")
        next_ = next_command(data, session.dataset.bands, corrections=out, label=label)
        run(make_review_app(session, key, next_), listening, Limits())
        if not out.expanduser().is_file():
            say("nothing is decided yet")
            return
        relabelled, excluded = session.changed()
        say(f"{counted(relabelled, 'label')} changed, {counted(excluded, 'image')} left out; next: {next_}")
