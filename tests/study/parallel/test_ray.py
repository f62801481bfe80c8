"""A real Ray cluster of two nodes on this machine, each with a cache of its own; a node is killed in the middle."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from told import Told

from headstart.errors import ClusterError
from headstart.study.parallel.ray import check_address
from headstart.study.run import run_study
from headstart.study.spec.load import load_study

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # Ray's own
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'headstart[ray]'")
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 80_000_000}
    with pytest.MonkeyPatch.context() as own:
        own.setenv("RAY_USAGE_STATS_ENABLED", "0")
        own.setenv("HEADSTART_THREADS", "1")
        own.setenv("HEADSTART_CACHE", str(tmp_path_factory.mktemp("cache of the head")))
        made = Cluster(initialize_head=True, head_node_args=node)
        made.cache_of_other = tmp_path_factory.mktemp("cache of the other node")
        own.setenv("HEADSTART_CACHE", str(made.cache_of_other))
        made.other = made.add_node(**node)
        yield made
        made.shutdown()


@pytest.fixture
def chain(pictures: Path) -> dict[str, Any]:
    recipe = {"epochs": 4, "batch_size": 8, "lr": 0.01}
    return {
        "name": "chain",
        "data": str(pictures),
        "seeds": 2,
        "audit": False,
        "defaults": {"backbone": "lenet5", "weights": "none"},
        "runs": {
            "first": {"strategy": "scratch", "recipe": recipe},
            "second": {"strategy": {"each": ["ridge", "prototypes"]}, "weights": {"run": "first"}},
        },
    }


def execute(spec: dict[str, Any], out: Path, told: Told, **how: Any) -> dict[str, Any]:
    root = run_study(load_study(spec), out, device="cpu", listener=told, **how).root
    assert json.loads((root / "study.json").read_text())["status"] == "complete"
    found = {}
    for path in sorted(root.glob("runs/*/*/result.json")):
        result, arrays = json.loads(path.read_text()), np.load(path.parent / "predictions.npz")
        found[str(path.parent.relative_to(root))] = (
            result["metrics"],
            result["chosen"],
            arrays["test_probabilities"].tobytes(),
        )
    return found


@pytest.fixture
def alone(chain: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("HEADSTART_THREADS", "1")
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "local cache"))
    return execute(chain, tmp_path / "local", Told())


def test_two_nodes_leave_the_same_table_as_this_machine_alone(
    cluster: Any, chain: dict[str, Any], alone: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "shared folder"))
    told = Told()
    assert execute(chain, tmp_path / "ray", told, on=cluster.address) == alone
    assert told.broken == {} and len(told.ran) == 6 and sorted(set(told.began)) == sorted(told.ran)
    assert told.notes[0].startswith("Ray: 2 nodes, 2 jobs at a time, 1 threads each")
    again = Told()
    assert execute(chain, tmp_path / "ray", again, on=cluster.address) == alone and again.ran == []


def test_what_answers_but_is_no_cluster_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'headstart[ray]'")
    monkeypatch.setattr("headstart.study.parallel.ray._CONNECT", 8.0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(ClusterError, match="not as a Ray cluster that accepts this machine") as caught:
            check_address(address)
    assert "\n" not in str(caught.value)


def test_a_node_that_does_not_see_the_store_is_named(
    cluster: Any, chain: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headstart.study.parallel.ray._mark", lambda store: tmp_path / "elsewhere")
    with pytest.raises(ClusterError, match=r"cannot read the cache .*; set --store to a folder that all nodes share"):
        run_study(load_study(chain), tmp_path / "ray", device="cpu", on=cluster.address)


class Killer(Told):
    """Kills the other node as soon as it is in the middle of a job: an entry of its own cache is half written."""

    def __init__(self, cluster: Any) -> None:
        super().__init__()
        self.cluster = cluster

    def running(self, run: str) -> None:
        super().running(run)
        if self.cluster.other is not None and self._other_is_at_work():
            self.cluster.remove_node(self.cluster.other, allow_graceful=False)
            self.cluster.other = None

    def _other_is_at_work(self) -> bool:
        """Wait for that: both nodes were given a job before the first of them could say that it runs."""
        until = time.monotonic() + 60
        while time.monotonic() < until:
            if any(self.cluster.cache_of_other.glob("*/*.partial")):
                return True
            time.sleep(0.005)
        return False


def test_a_node_killed_in_the_middle_changes_nothing(
    cluster: Any, chain: dict[str, Any], alone: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "own cache"))
    monkeypatch.setenv("HEADSTART_REMOTE", f"file://{tmp_path / 'bucket'}")
    killer = Killer(cluster)
    assert execute(chain, tmp_path / "storm", killer, on=cluster.address) == alone
    assert cluster.other is None and killer.broken == {}
    assert [note for note in killer.notes if note.endswith("another worker runs the job again")]
