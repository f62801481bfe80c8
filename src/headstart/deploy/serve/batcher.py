"""Groups the pictures of concurrent requests, so that the network sees them in batches.

Pictures are decoded in threads as they arrive. One more thread takes what is decoded, as many at once as there are up
to the batch size, and never waits for more: a lone request is answered at once, and under load batches fill by
themselves.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Sequence
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


class Overloaded(Exception):
    """As many pictures wait as may; try again later."""


@dataclass
class _Item:
    name: str
    decoded: dict[View, Pixels] = field(default_factory=dict)
    answer: Future[Prediction] = field(default_factory=Future)


class Batcher:
    """Answers pictures from many requests with one model.

    Args:
        classifier: the model.
        limits: `batch` and `queue` are used.
    """

    def __init__(self, classifier: Classifier, limits: Limits) -> None:
        self.classifier, self.limits = classifier, limits
        self.batches = 0
        self._views = [view_of(bundle.preprocessing) for bundle in classifier.ensemble.members]
        self._waiting = 0
        self._ready: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._decoders = ThreadPoolExecutor(cores(), thread_name_prefix="decode")
        self._worker = threading.Thread(target=self._work, name="predict", daemon=True)
        self._quiet = quiet_pillow()
        self._quiet.__enter__()
        self._worker.start()

    @property
    def waiting(self) -> int:
        """The number of pictures that are being decoded or wait for the network."""
        return self._waiting

    async def predict(self, pictures: Sequence[tuple[str, bytes]]) -> list[Prediction]:
        """Return the prediction of each picture; one that cannot be read has its error. Call it from one event loop.

        Raises:
            Overloaded: the queue has no room for all of them; none is taken.
        """
        if self._waiting + len(pictures) > self.limits.queue:
            raise Overloaded
        self._waiting += len(pictures)
        try:
            return list(await asyncio.gather(*(self._one(name, content) for name, content in pictures)))
        finally:
            self._waiting -= len(pictures)

    async def _one(self, name: str, content: bytes) -> Prediction:
        item = _Item(name)
        self._decoders.submit(self._decode, item, content)
        return await asyncio.wrap_future(item.answer)

    def _decode(self, item: _Item, content: bytes) -> None:
        try:
            item.decoded = {view: decode(content, view) for view in dict.fromkeys(self._views)}
        except UndecodableError as error:
            _give(item, self.classifier.unread(item.name, str(error)))
        except BaseException as error:
            _give(item, error)
        else:
            self._ready.put(item)

    def _work(self) -> None:
        while (item := self._ready.get()) is not None:
            batch = [item]
            while len(batch) < self.limits.batch and not self._ready.empty():
                if (more := self._ready.get()) is None:
                    self._answer(batch)
                    return
                batch.append(more)
            self._answer(batch)

    def _answer(self, batch: Sequence[_Item]) -> None:
        self.batches += 1
        try:
            scores = self.classifier.averaged(
                [np.stack([item.decoded[view] for item in batch]) for view in self._views]
            )
        except Exception as error:  # the requests end with it; the server goes on
            for item in batch:
                _give(item, error)
            return
        for item, row in zip(batch, scores, strict=True):
            _give(item, self.classifier.said(item.name, row))

    def close(self) -> None:
        """Answer what was taken, then end the threads."""
        self._decoders.shutdown(wait=True)
        self._ready.put(None)
        self._worker.join()
        self._quiet.__exit__(None, None, None)


def _give(item: _Item, answer: Prediction | BaseException) -> None:
    """Answer one picture, unless its request was given up."""
    if not item.answer.set_running_or_notify_cancel():
        return
    if isinstance(answer, BaseException):
        item.answer.set_exception(answer)
    else:
        item.answer.set_result(answer)
