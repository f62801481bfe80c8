from __future__ import annotations

import asyncio
import threading
from typing import Any

import numpy as np
import pytest

from headstart.deploy.classifier import Classifier
from headstart.deploy.serve.batcher import Batcher, Overloaded
from headstart.deploy.serve.limits import Limits
from tests.deploy.serve.conftest import picture


def test_pictures_that_wait_make_one_batch(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    first, go = threading.Event(), threading.Event()
    true = classifier.averaged

    def slow(pixels: Any) -> Any:
        sizes.append(len(pixels[0]))
        first.set()
        assert go.wait(20)
        return true(pixels)

    monkeypatch.setattr(classifier, "averaged", slow)

    async def clients() -> None:
        batcher = Batcher(classifier, Limits(batch=4))
        alone = asyncio.create_task(batcher.predict([("a", picture(0))]))
        await asyncio.to_thread(first.wait, 20)
        many = [asyncio.create_task(batcher.predict([(str(n), picture(n))])) for n in range(1, 7)]
        while batcher._ready.qsize() < 6:
            await asyncio.sleep(0.01)
        go.set()
        answers = [*await alone, *(one for each in await asyncio.gather(*many) for one in each)]
        batcher.close()
        expected = np.stack([p.probabilities for p in classifier.predict([picture(n) for n in range(7)])])
        assert np.allclose([p.probabilities for p in answers], expected, atol=1e-5)

    asyncio.run(clients())
    assert sizes[:3] == [1, 4, 2]


def test_a_full_queue_takes_none_of_a_request(classifier: Classifier) -> None:
    async def clients() -> None:
        batcher = Batcher(classifier, Limits(queue=2))
        with pytest.raises(Overloaded):
            await batcher.predict([(str(n), picture(n)) for n in range(3)])
        assert batcher.waiting == 0
        assert len(await batcher.predict([("a", picture(1)), ("b", b"nothing")])) == 2
        assert batcher.waiting == 0
        batcher.close()

    asyncio.run(clients())


def test_what_was_taken_is_answered_before_the_end(classifier: Classifier) -> None:
    async def clients() -> None:
        batcher = Batcher(classifier, Limits())
        open_ = asyncio.create_task(batcher.predict([(str(n), picture(n)) for n in range(20)]))
        for _ in range(3):  # until every picture is taken
            await asyncio.sleep(0)
        await asyncio.to_thread(batcher.close)
        assert len(await open_) == 20

    asyncio.run(clients())
