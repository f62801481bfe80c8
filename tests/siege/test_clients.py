"""The fast form of the siege by hostile clients; `python -m tests.siege clients --count 10000` is the long one."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.siege import clients
from tests.siege.siege import Broken, besiege


@pytest.fixture(scope="module")
def attack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[clients.Clients]:
    found = clients.prepare(tmp_path_factory.mktemp("served"))
    assert isinstance(found, clients.Clients)
    yield found
    found.server.close()


@pytest.mark.long
def test_a_server_outlives_hostile_clients_and_shows_them_no_traceback(attack: clients.Clients, tmp_path: Path) -> None:
    outcome = besiege(lambda scratch: attack, tmp_path, range(80))
    assert outcome.failures == {}
    assert outcome.attempts == 80 and sum(n for how, n in outcome.ended.items() if "422" in how) > 10
    attack.server.check()
    attack.server.check_answer()


def test_a_bomb_is_refused_by_its_size(attack: clients.Clients) -> None:
    for content in (clients.claimed(65_535, 65_535), clients.bomb(clients.BOMB_SIDE)):
        answer = attack.server.send(clients.request("POST", "/predict", content))
        assert answer.startswith(b"HTTP/1.1 422") and b"pixels" in answer
    attack.server.check()


@pytest.mark.long
def test_a_server_that_died_is_noticed(attack: clients.Clients) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    server = copy.copy(attack.server)
    server._process = ended
    with pytest.raises(Broken, match="the server died"):
        server.check()
    attack.server.check()
