from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from headstart.data.decoding.decode import UndecodableError
from headstart.deploy.classifier import Classifier
from headstart.deploy.serve import batcher as batcher_module
from headstart.deploy.serve.batcher import Batcher, Overloaded
from headstart.deploy.serve.limits import Limits
from tests.deploy.serve.conftest import picture


def held(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> tuple[list[int], threading.Event, threading.Event]:
    """Make the network wait: return the sizes of its batches, when the first is there, and what lets it go on."""
    sizes: list[int] = []
    first, go = threading.Event(), threading.Event()
    true = classifier.answered

    def slow(names: Any, pixels: Any) -> Any:
        sizes.append(len(names))
        first.set()
        assert go.wait(20)
        return true(names, pixels)

    monkeypatch.setattr(classifier, "answered", slow)
    return sizes, first, go


def test_pictures_that_wait_make_one_batch(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, first, go = held(classifier, monkeypatch)

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


def test_workers_run_side_by_side_and_share_the_batch(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    both = threading.Barrier(2)  # passed by two batches at once only
    true = classifier.answered
    expected = np.stack([p.probabilities for p in classifier.predict([picture(n) for n in range(4)])])

    def meeting(names: Any, pixels: Any) -> Any:
        sizes.append(len(names))
        if len(sizes) <= 2:
            both.wait(20)
        return true(names, pixels)

    async def clients() -> None:
        monkeypatch.setattr(classifier, "answered", meeting)
        batcher = Batcher(classifier, Limits(batch=3, workers=2))
        answers = await batcher.predict([(str(n), picture(n)) for n in range(4)])
        batcher.close()
        assert np.allclose([p.probabilities for p in answers], expected, atol=1e-5)
        assert not any(worker.is_alive() for worker in batcher._workers)

    asyncio.run(clients())
    assert sum(sizes) == 4
    assert max(sizes) <= 2


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


def test_pictures_of_a_request_that_was_given_up_wait_until_they_leave_and_are_not_computed(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes, first, go = held(classifier, monkeypatch)
    left: list[int] = []

    def keep() -> Callable[[], None]:
        return lambda: left.append(1)

    async def clients() -> None:
        batcher = Batcher(classifier, Limits(batch=4, queue=4))
        alone = asyncio.create_task(batcher.predict([("a", picture(0))]))
        await asyncio.to_thread(first.wait, 20)
        given_up = asyncio.create_task(batcher.predict([(str(n), picture(n)) for n in range(1, 4)], keep))
        while batcher._ready.qsize() < 3:
            await asyncio.sleep(0.01)
        given_up.cancel()
        await asyncio.wait([given_up])
        await asyncio.sleep(0)
        assert batcher.waiting == 4 and not left
        with pytest.raises(Overloaded):
            await batcher.predict([("late", picture(5))])
        go.set()
        await alone
        while batcher.waiting:
            await asyncio.sleep(0.01)
        assert len(left) == 3
        assert len(await batcher.predict([(str(n), picture(n)) for n in range(4)], keep)) == 4
        assert batcher.waiting == 0 and len(left) == 7
        batcher.close()

    asyncio.run(clients())
    assert sizes[0] == 1 and sum(sizes) == 5


def test_a_picture_that_was_given_up_before_its_turn_is_not_decoded(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[bytes] = []
    begun, go = threading.Semaphore(0), threading.Event()

    def slow(content: bytes, view: Any) -> Any:
        decoded.append(content)
        begun.release()
        assert go.wait(20)
        raise UndecodableError("no picture")

    monkeypatch.setattr(batcher_module, "decode", slow)
    monkeypatch.setattr(batcher_module, "cores", lambda: 1)

    async def clients() -> None:
        batcher = Batcher(classifier, Limits())
        taken = asyncio.create_task(batcher.predict([(str(n), bytes([n])) for n in range(5)]))
        await asyncio.to_thread(begun.acquire, True, 20)
        taken.cancel()
        await asyncio.wait([taken])
        await asyncio.sleep(0)
        assert batcher.waiting == 5
        go.set()
        await asyncio.to_thread(batcher.close)
        assert batcher.waiting == 0

    asyncio.run(clients())
    assert decoded == [b"\x00"]
