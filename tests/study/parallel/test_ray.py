"""Real Ray clusters of two nodes on this machine.

One is of this process, each of its nodes with a cache of its own, and a node is killed in the middle. The other is one
that `ray start` makes, which wants a token.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
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
    return table_of(run_study(load_study(spec), out, device="cpu", listener=told, **how).root)


def table_of(root: Path) -> dict[str, Any]:
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


TOKEN = "a-token-of-this-test-and-of-nothing-else"
BOTH = """
import sys, time, ray
for _ in range(5):
    try:
        ray.init(sys.argv[1], log_to_driver=False)
        break
    except ConnectionError:
        time.sleep(1)
while sum(node["Alive"] for node in ray.nodes()) < 2:
    time.sleep(0.1)
"""


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@pytest.fixture(scope="module")
def started() -> Iterator[tuple[str, dict[str, str]]]:
    """Return the address of a cluster for clients, and an environment with its token."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'headstart[ray]'")
    head, client, *agents = free_ports(4)
    own = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN, "RAY_USAGE_STATS_ENABLED": "0", "HEADSTART_THREADS": "1"}
    environment = {**os.environ, **own}
    with contextlib.ExitStack() as ends:
        place = ends.enter_context(tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True))
        roles = (
            ["--head", f"--port={head}", f"--ray-client-server-port={client}", f"--temp-dir={place}"],
            [f"--address=127.0.0.1:{head}"],
        )
        for role, agent in zip(roles, agents, strict=True):
            room = ["--num-cpus=1", "--object-store-memory=80000000", f"--dashboard-agent-listen-port={agent}"]
            command = [str(Path(sys.executable).with_name("ray")), "start", *role, *room, "--block"]
            log = ends.enter_context(tempfile.TemporaryFile())
            node = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
            ends.callback(end, node)
            if "--head" in role:
                wait_for(client, node)
        on = f"ray://127.0.0.1:{client}"
        subprocess.run([sys.executable, "-c", BOTH, on], env=environment, capture_output=True, timeout=120, check=True)
        yield on, environment


def wait_for(port: int, node: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until and node.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise AssertionError(f"the head of the cluster does not answer (status {node.poll()})")


def end(node: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(node.pid, signal.SIGTERM)
    try:
        node.wait(5)
    except subprocess.TimeoutExpired:
        os.killpg(node.pid, signal.SIGKILL)
        node.wait()


def run_there(study: Path, out: Path, on: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "headstart", "run", str(study), "--on", on, "--device", "cpu", "--out", str(out)]
    store = ["--store", str(out.parent / "shared")]
    return subprocess.run(
        [*command, *store], env=dict(environment), capture_output=True, text=True, timeout=600, check=False
    )


def test_a_cluster_that_was_started_by_hand_takes_whoever_has_its_token(
    started: tuple[str, dict[str, str]], chain: dict[str, Any], alone: dict[str, Any], tmp_path: Path
) -> None:
    on, environment = started
    study = tmp_path / "chain.yaml"
    study.write_text(yaml.safe_dump(chain))
    done = run_there(study, tmp_path / "out", on, environment)
    assert done.returncode == 0, done.stderr
    assert table_of(tmp_path / "out" / "chain") == alone
    assert "Ray: 2 nodes, 2 jobs at a time, 1 threads each" in done.stdout + done.stderr
    kept = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert kept and not [path for path in kept if TOKEN.encode() in path.read_bytes()]
    bare = {name: value for name, value in environment.items() if not name.startswith("RAY_AUTH")}
    others = (bare, {**bare, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "another"})
    with ThreadPoolExecutor() as pool:  # Ray tries for a while
        for refused in pool.map(lambda each: run_there(study, tmp_path / "no", on, each), others):
            *_, line = refused.stderr.strip().splitlines()
            assert refused.returncode == 2 and line.startswith(f"headstart: --on {on}: ") and "token" in line, line
            assert "Traceback" not in refused.stderr and not (tmp_path / "no").exists()
