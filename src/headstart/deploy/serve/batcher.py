"""Groups the pictures of concurrent requests, so that the network sees them in batches.

Pictures are decoded in threads as they arrive. More threads take what is decoded, as many at once as there are up
to the batch size, and never wait for more: a lone request is answered at once, and under load batches fill by
themselves. On the CPU there are several of them, each with its share of the cores: a network that runs on one core
never waits for a second core that decodes meanwhile. A picture whose request was given up is passed over, and counts
as waiting until then.
"""

from __future__ import annotations

import asyncio
import math
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from headstart.data.decoding.decode import UndecodableError, View, decode, quiet_pillow
from headstart.deploy.classifier import Classifier, Prediction
from headstart.deploy.serve.limits import Limits
from headstart.threads import cores
from headstart.transfer.frozen.views import view_of

Pixels = npt.NDArray[np.uint8]
Leave = Callable[[], None]


def _nothing() -> None:
    return None


class Overloaded(Exception):
    """As many pictures wait as may; try again later."""


@dataclass
class _Item:
    name: str
    left: Leave  # called once, when nothing here uses the picture any longer
    decoded: dict[View, Pixels] = field(default_factory=dict)
    answer: Future[Prediction] = field(default_factory=Future)


class Batcher:
    """Answers pictures from many requests with one model.

    Args:
        classifier: the model.
        limits: `batch`, `queue` and `workers` are used.
    """

    def __init__(self, classifier: Classifier, limits: Limits) -> None:
        self.classifier, self.limits = classifier, limits
        self._batch = math.ceil(limits.batch / limits.workers)
        self._views = [view_of(bundle.preprocessing) for bundle in classifier.ensemble.members]
        self._waiting, self._counting = 0, threading.Lock()
        self._ready: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._decoders = ThreadPoolExecutor(cores(), thread_name_prefix="decode")
        self._workers = [
            threading.Thread(target=self._work, name="predict", daemon=True) for _ in range(limits.workers)
        ]
        self._quiet = quiet_pillow()
        self._quiet.__enter__()
        for worker in self._workers:
            worker.start()

    @property
    def waiting(self) -> int:
        """The number of pictures that are being decoded or wait for the network."""
        return self._waiting

    async def predict(
        self, pictures: Sequence[tuple[str, bytes]], keep: Callable[[], Leave] = lambda: _nothing
    ) -> list[Prediction]:
        """Return the prediction of each picture; one that cannot be read has its error. Call it from one event loop.

        Args:
            pictures: name and content of each.
            keep: called for each picture that is taken; what it returns is called when the picture left, which may
                be after the end of a request that was given up.

        Raises:
            Overloaded: the queue has no room for all of them; none is taken.
        """
        with self._counting:
            if self._waiting + len(pictures) > self.limits.queue:
                raise Overloaded
            self._waiting += len(pictures)
        items = [_Item(name, keep()) for name, _ in pictures]
        for item, (_, content) in zip(items, pictures, strict=True):
            try:
                self._decoders.submit(self._decode, item, content)
            except RuntimeError as error:  # closed
                self._give(item, error)
        return list(await asyncio.gather(*(asyncio.wrap_future(item.answer) for item in items)))

    def _decode(self, item: _Item, content: bytes) -> None:
        if self._given_up(item):
            return
        try:
            item.decoded = {view: decode(content, view) for view in dict.fromkeys(self._views)}
        except UndecodableError as error:
            self._give(item, self.classifier.unread(item.name, str(error)))
        except BaseException as error:
            self._give(item, error)
        else:
            self._ready.put(item)

    def _work(self) -> None:
        end = False
        while not end:
            batch: list[_Item] = []
            while not end and len(batch) < self._batch:
                try:
                    item = self._ready.get(block=not batch)
                except queue.Empty:  # another worker may have taken what was there
                    break
                end = item is None
                if item is not None and not self._given_up(item):
                    batch.append(item)
            if batch:
                self._answer(batch)

    def _answer(self, batch: Sequence[_Item]) -> None:
        answers: Sequence[Prediction | BaseException]
        try:
            answers = self.classifier.answered(
                [item.name for item in batch],
                [np.stack([item.decoded[view] for item in batch]) for view in self._views],
            )
        except Exception as error:  # the requests end with it; the server continues
            answers = [error] * len(batch)
        for item, answer in zip(batch, answers, strict=True):
            self._give(item, answer)

    def _given_up(self, item: _Item) -> bool:
        """Return whether the request of a picture was given up; if so, the picture leaves."""
        if not item.answer.cancelled():
            return False
        self._leave(item)
        return True

    def _give(self, item: _Item, answer: Prediction | BaseException) -> None:
        """Answer one picture, unless its request was given up; it leaves in either case."""
        self._leave(item)
        if not item.answer.set_running_or_notify_cancel():
            return
        if isinstance(answer, BaseException):
            item.answer.set_exception(answer)
        else:
            item.answer.set_result(answer)

    def _leave(self, item: _Item) -> None:
        item.decoded = {}
        with self._counting:
            self._waiting -= 1
        item.left()

    def close(self) -> None:
        """Answer what was taken, then end the threads."""
        self._decoders.shutdown(wait=True)
        for _ in self._workers:  # each takes one
            self._ready.put(None)
        for worker in self._workers:
            worker.join()
        self._quiet.__exit__(None, None, None)
