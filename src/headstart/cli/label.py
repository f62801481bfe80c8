"""What `label` does and prints."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headstart.cli.outputs import check_file
from headstart.deploy.serve.limits import Limits
from headstart.deploy.serve.run import address, listen, run
from headstart.disclosure import show
from headstart.errors import SpecError, require
from headstart.progress import say
from headstart.report.numbers import counted


def label_and_serve(
    folder: str,
    classes: str | None,
    backbone: str,
    weights: str,
    *,
    out: Path | None,
    host: str,
    port: int,
    random: float,
    suggest: bool,
    read: Mapping[str, Any],
    device: str,
) -> None:
    """Serve the page on which people label the images of a folder, until the process is told to stop.

    Args:
        folder, classes, backbone, weights, device: as `label_session` takes them; classes are separated by commas.
        out: the file of labels.
        host, port: where the page is.
        random, suggest: the share of the random sample; show informative images.
        read: the bands in which the images are read, as `asked_bands` returns them.

    Raises:
        SpecError: a port in use, an impossible share, a place that cannot be written.
        DataError: no image, or a file of labels that is another table.
    """
    for package in ("fastapi", "uvicorn"):
        require(package, "headstart label", "serve")
    if not 0 < random < 1:
        raise SpecError(f"--random {random:g}: choose a share between 0 and 1, such as 0.25")
    file = out or Path(f"{Path(folder).expanduser().absolute().name}-labels.csv")
    check_file(file)
    with listen(host, port) as listening:
        from headstart.data.overview import overview
        from headstart.labelling.app import make_app
        from headstart.labelling.folder_session import label_session
        from headstart.labelling.next_command import next_command

        names = [name for name in (classes or "").split(",") if name.strip()]
        network: dict[str, Any] = {"backbone": backbone, "weights": weights, "device": device}
        session = label_session(folder, names, file=file, share=random, suggest=suggest, **network, **read)
        images = session.embeddings.dataset
        for line in overview(images, ""):
            say(line)
        done = sum(session.counts().values())
        say(f"labels: {file}" + (f", {done:,} so far" if done else ""))
        key = secrets.token_urlsafe(12)
        show(f"open {address(host, listening)}/open/{key}  (press Ctrl-C to stop)")
        run(make_app(session, key), listening, Limits())
        done = sum(session.counts().values())
        next_ = next_command(str(file), images.bands)
        say(f"{counted(done, 'image')} labelled; next: {next_}" if done else "no image is labelled yet")
