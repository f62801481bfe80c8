"""The pages of `label` and `review`: SIGKILL while two people work; what was confirmed in a browser is in the file.

An even seed attacks the page of `headstart review`, an odd one that of `headstart label`.
"""

from __future__ import annotations

import http.client
import json
import multiprocessing
import os
import random
import shutil
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headstart.deploy.serve.limits import Limits
from headstart.deploy.serve.run import listen, run
from headstart.labelling.app import make_app
from headstart.labelling.label_file import LabelFile
from headstart.labelling.review.correction_file import CorrectionFile
from headstart.labelling.review.problems import ReviewItem
from headstart.labelling.review.review_app import make_review_app
from headstart.labelling.review.session import ReviewSession
from headstart.labelling.session import LabelSession
from tests.siege.siege import Attack, Broken
from tests.support.reviewed_folder import CLASSES, draw_classes, embedded_classes
from tests.support.unlabelled_folder import draw_folder, embedded

EACH = 120  # images of a class
KEY = "key"
LONGEST = 0.8  # seconds between the first confirmation and the kill
UNDONE = 0.2  # share of what people do that takes their last change back
SECONDS = 60.0  # for an answer
GONE = ""  # what the file says of an image that it has no row for

Ask = Callable[[str, Any], Any]
"""Sends a path and a body, or None, and returns the answer."""


@dataclass
class Person:
    """One who works on the page until the server is gone.

    Args:
        name: that the server is told.
        confirmed: by image, what the file must say of it.
        sent: an image that an unconfirmed request was about, and what the file may say of it too.
    """

    name: str
    confirmed: dict[str, str] = field(default_factory=dict)
    sent: tuple[str, str] | None = None
    mine: list[tuple[str, str]] = field(default_factory=list)  # what undo takes back: an image, and what was there
    failure: str = ""


class LabelPage:
    """The page of `headstart label`."""

    def __init__(self, scratch: Path) -> None:
        self.embeddings = embedded(draw_folder(scratch / "photos", EACH))

    def serve(self, file: Path, listening: socket.socket) -> None:
        session = LabelSession(self.embeddings, LabelFile(file), ["a", "b", "c"], suggests=True)
        run(make_app(session, KEY), listening, Limits())

    def next(self, ask: Ask, who: str, draw: random.Random) -> tuple[str, str, str, Any]:
        """Return an image, what the file will say of it, and the request that makes it so."""
        (item,) = ask(f"/api/next?who={who}&count=1", None)
        label = draw.choice("abc")
        body = {"rows": [item["row"]], "label": label, "who": who, "how": {item["row"]: item["how"]}}
        return item["name"], label, "/api/label", body

    def read(self, file: Path) -> dict[str, str]:
        return {path.name: given.label for path, given in LabelFile(file).read().items()}

    def touch(self, file: Path) -> None:
        LabelFile(file).change({})


class ReviewPage:
    """The page of `headstart review`, with a finding about every image."""

    def __init__(self, scratch: Path) -> None:
        self.embeddings = embedded_classes(draw_classes(scratch / "classes", EACH, side=16))
        self.problems = [ReviewItem("label", (row,), "wrong", (row,), "red") for row in range(len(self.embeddings))]

    def serve(self, file: Path, listening: socket.socket) -> None:
        session = ReviewSession(self.embeddings, self.problems, CorrectionFile(file))
        run(make_review_app(session, KEY, "classes"), listening, Limits())

    def next(self, ask: Ask, who: str, draw: random.Random) -> tuple[str, str, str, Any]:
        (item,) = ask(f"/api/next?who={who}&count=1", None)
        decision, label = draw.choice(("keep", "relabel", "exclude", "not sure")), draw.choice(CLASSES)
        body = {"place": item["place"], "decision": decision, "who": who, "label": label}
        name, own = item["rows"][0]["name"], item["rows"][0]["label"]
        after = {"relabel": label, "exclude": ""}.get(decision, own)
        return name, f"{decision} {after}", "/api/decide", body

    def read(self, file: Path) -> dict[str, str]:
        return {row.path: f"{row.decision} {row.after}" for row in CorrectionFile(file).read().values()}

    def touch(self, file: Path) -> None:
        CorrectionFile(file).change({})


def prepare(scratch: Path) -> Attack:
    """Return an attack: two people work on one page, whose server is killed at a random moment; three times on end."""
    pages = {"review": ReviewPage(scratch), "label": LabelPage(scratch)}

    def attack(seed: int) -> str:
        draw, place = random.Random(seed), scratch / f"page-{seed}"
        name = ("review", "label")[seed % 2]
        place.mkdir()
        people, count = [Person("ann"), Person("bob")], 0
        try:
            for _ in range(3):
                _work_and_kill(pages[name], place / "rows.csv", people, draw)
                found = pages[name].read(place / "rows.csv")
                for person in people:
                    _check(person, found)
                count = sum(len(person.confirmed) for person in people)
            pages[name].touch(place / "rows.csv")
            if left := [path.name for path in place.iterdir() if path.name != "rows.csv"]:
                raise Broken(f"left {left}")
            if not count:
                raise Broken("nothing was confirmed before the kills")
            return f"{name}: all that was confirmed is there"
        finally:
            shutil.rmtree(place)

    return attack


def _check(person: Person, found: dict[str, str]) -> None:
    """Raise where something confirmed is lost; take over what became of the request that was not answered."""
    if person.failure:
        raise Broken(f"{person.name}: {person.failure}")
    for image, value in person.confirmed.items():
        allowed = {value} | ({person.sent[1]} if person.sent is not None and person.sent[0] == image else set())
        if found.get(image, GONE) not in allowed:
            raise Broken(f"{image} was confirmed as {value!r} to {person.name}, and is {found.get(image, GONE)!r}")
    if person.sent is not None:
        person.confirmed[person.sent[0]] = found.get(person.sent[0], GONE)
    undone = [image for image, value in person.confirmed.items() if value == GONE]
    for image in undone:  # anybody may get it from the next server
        del person.confirmed[image]
    person.sent, person.mine = None, []  # a new server knows nothing to undo


def _work_and_kill(page: LabelPage | ReviewPage, file: Path, people: list[Person], draw: random.Random) -> None:
    listening = listen("127.0.0.1", 0)
    listening.listen(64)  # clients wait until the server answers
    port = listening.getsockname()[1]
    server = multiprocessing.get_context("fork").Process(target=_serve, args=(page, file, listening))
    server.start()
    listening.close()  # what the server has is its own
    first = threading.Event()
    workers = [
        threading.Thread(target=_work, args=(page, person, port, random.Random(draw.random()), first))
        for person in people
    ]
    for worker in workers:
        worker.start()
    while not first.wait(0.05) and server.is_alive() and any(worker.is_alive() for worker in workers):
        pass
    time.sleep(draw.uniform(0, LONGEST))
    server.kill()
    server.join()
    for worker in workers:
        worker.join()
    if server.exitcode != -9:
        raise Broken(f"the server ended with {server.exitcode} before it was killed")


def _serve(page: LabelPage | ReviewPage, file: Path, listening: socket.socket) -> None:
    silent = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(silent, stream)
    page.serve(file, listening)


def _work(page: LabelPage | ReviewPage, person: Person, port: int, draw: random.Random, first: threading.Event) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)

    def ask(path: str, body: Any) -> Any:
        headers = {"Cookie": f"headstart-{port}={KEY}", "Content-Type": "application/json"}
        connection.request("GET" if body is None else "POST", path, body and json.dumps(body), headers)
        answer = connection.getresponse()
        content = json.loads(answer.read())
        if answer.status != 200:
            person.failure = f"{path} was answered by {answer.status}: {content}"
            raise ConnectionAbortedError(person.failure)
        return content

    try:
        while True:
            if person.mine and draw.random() < UNDONE:
                person.sent = person.mine[-1]
                ask("/api/undo", {"who": person.name})
                image, value = person.mine.pop()
            else:
                image, value, path, body = page.next(ask, person.name, draw)
                person.sent = image, value
                ask(path, body)
                person.mine.append((image, person.confirmed.get(image, GONE)))
            person.confirmed[image], person.sent = value, None
            first.set()
    except (OSError, http.client.HTTPException, ValueError):  # the server is gone; an answer may be cut
        pass
    finally:
        connection.close()
