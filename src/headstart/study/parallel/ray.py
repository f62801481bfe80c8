"""Workers on many machines: the jobs of a study as tasks of a Ray cluster.

Ray assigns jobs to nodes by the cores and GPUs that they request; headstart.study.parallel.dispatcher runs the job of
a lost node again, as with processes. Tasks return their run folders, so that only the cache must be shared: a folder
that all nodes can read, or an address (headstart.storage.remote).
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from headstart import threads
from headstart.errors import ClusterError, MissingExtra, SpecError
from headstart.storage.pinned import make_folder
from headstart.storage.remote import RemoteStore
from headstart.storage.store import Store
from headstart.study.parallel.jobs import Job
from headstart.study.parallel.messages import ListenerCall, Message, WorkerDied
from headstart.study.parallel.ray_node import Mailbox, inspect_node, run_job
from headstart.study.parallel.setup import Setup
from headstart.version import VERSION

LOCAL = "ray"  # the cluster of this machine; started if there is none
_ANSWER = 5.0  # seconds within which a cluster's address must answer
_CONNECT = 60.0  # seconds within which a cluster must accept this machine
_START = 120.0  # seconds within which each node must answer a first task
_HEAD = "node:__internal_head__"


def check_address(on: str) -> None:
    """Refuse an address without a usable cluster.

    Raises:
        MissingExtra: Ray is not installed.
        SpecError: this is not an address.
        ClusterError: nothing answers there, or the cluster refuses this machine.
    """
    if find_spec("ray") is None or (on.startswith("ray://") and find_spec("grpc") is None):
        raise MissingExtra(f"--on {on}", "ray")
    if on == LOCAL:
        return
    host, _, port = on.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise SpecError(f"--on {on}: is not an address; use ray (this machine), HOST:6379 or ray://HOST:10001")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _ANSWER).close()
    except OSError as error:
        raise ClusterError(
            f"--on {on}: no Ray cluster answers there ({error.strerror or error}); start one with 'ray start --head',"
            " or use --on ray for this machine alone"
        ) from error
    _try(on)


def _try(on: str) -> None:
    """Connect in a separate process with a time limit: Ray waits for minutes if a cluster refuses it."""
    connect = "import ray, sys; ray.init(address=sys.argv[1], log_to_driver=False); ray.shutdown()"
    command = [sys.executable, "-P", "-c", connect, on]
    try:
        tried = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_CONNECT)
    except subprocess.TimeoutExpired as error:
        raise _refused(on, f"it did not accept this machine within {_CONNECT:.0f} s") from error
    if tried.returncode != 0:
        lines = [line.strip() for line in tried.stderr.splitlines() if line.strip()]
        raise _refused(on, lines[-1] if lines else f"status {tried.returncode}")


def _refused(on: str, said: str) -> ClusterError:
    return ClusterError(
        f"--on {on}: something answers there, but not as a Ray cluster that accepts this machine ({said}); check that"
        " it runs the same version of Ray, and whether it needs a token (see Ray's documentation of token"
        " authentication)"
    )


class RayPool:
    """The nodes of a Ray cluster.

    Args:
        setup: of the study.
        on: "ray", "HOST:PORT" or "ray://HOST:PORT".
        workers: number of jobs that a node runs at the same time.
        note: shows a line to the user.
        log: the file for what Ray prints; standard output is for results.

    Raises:
        ClusterError: the cluster does not answer, or a node lacks what the study needs.
    """

    def __init__(self, setup: Setup, on: str, workers: int, note: Callable[[str], None], log: Path) -> None:
        import ray

        self._ray = ray
        self._ours = _connect(on)
        make_folder(log.parent)
        self._quiet = contextlib.ExitStack()
        self._quiet.enter_context(contextlib.redirect_stdout(self._quiet.enter_context(log.open("w"))))
        try:
            nodes = _nodes(on)
            self._setup = _remote(setup)
            _check_nodes(nodes, setup.store)
            gpu = self._setup.device == "cuda"
            if gpu and not any(node["Resources"].get("GPU") for node in nodes):
                raise ClusterError(f"--on {on}: no node of the cluster has a GPU; use --device cpu")
            cpus = max(1, min(int(node["Resources"]["CPU"]) for node in nodes) // workers)
            self.slowdown = threads.cores() / cpus
            self._slots = sum(int(node["Resources"]["CPU"]) // cpus for node in nodes)
            note(f"Ray: {len(nodes)} nodes, {self._slots} jobs at a time, {cpus} threads each")
            self._task = ray.remote(run_job).options(
                num_cpus=cpus,
                num_gpus=1 / workers if gpu else 0,
                max_retries=0,
                runtime_env={"env_vars": _environment(setup.store, cpus)},
            )
            self._shared = ray.put(self._setup)
            self._mailbox = ray.remote(Mailbox).options(num_cpus=0, resources={_HEAD: 0.001}).remote()
        except BaseException:
            self._disconnect()
            raise
        self._attempts = itertools.count()
        self._running: dict[Any, tuple[int, int]] = {}  # what a task returns -> (job, attempt)
        self._heard: dict[int, set[int]] = {}  # by attempt: the numbers of the listener calls that have arrived

    def free(self) -> bool:
        """Return whether a node has room for another job."""
        return len(self._running) < self._slots

    def start(self, job: Job) -> None:
        """Hand a job to the cluster."""
        attempt = next(self._attempts)
        self._heard[attempt] = set()
        self._running[self._task.remote(self._shared, job, attempt, self._mailbox)] = (job.number, attempt)

    def listen(self, patience: float) -> list[tuple[int, Message]]:
        """Return the messages with the number of their job; wait at most `patience` seconds for one to end."""
        ended, _ = self._ray.wait(list(self._running), timeout=patience)
        heard: list[tuple[int, Message]] = []
        current = {attempt: number for number, attempt in self._running.values()}
        for attempt, place, message in self._mail():
            if attempt in current and place not in self._heard[attempt]:
                heard.append((current[attempt], message))
                if place is not None:
                    self._heard[attempt].add(place)
        for task in ended:
            number, attempt = self._running.pop(task)
            message, told = self._result(task)
            known = self._heard.pop(attempt)
            heard += [(number, tell) for place, tell in enumerate(told) if place not in known]
            heard.append((number, message))
        return heard

    def close(self) -> None:
        """End all jobs and disconnect from the cluster; stop it if it was started here."""
        for task in self._running:
            with contextlib.suppress(Exception):  # it may have ended, or its node may be lost
                self._ray.cancel(task, force=True)
        with contextlib.suppress(Exception):
            self._ray.kill(self._mailbox)
        self._disconnect()

    def _disconnect(self) -> None:
        if self._ours:
            self._ray.shutdown()
        self._quiet.close()

    def _mail(self) -> list[tuple[int, int | None, Message]]:
        """Return the messages that arrived since the last call.

        Raises:
            ClusterError: the cluster's head is lost.
        """
        from ray.exceptions import RayError

        try:
            mail: list[tuple[int, int | None, Message]] = self._ray.get(self._mailbox.take.remote(), timeout=_START)
        except RayError as error:
            raise ClusterError(
                f"the head of the Ray cluster does not answer ({_first(error)}); finished work is kept: run the"
                " command again when it is back"
            ) from error
        return mail

    def _result(self, task: Any) -> tuple[Message, tuple[ListenerCall, ...]]:
        """Return the last message of a task and its listener calls; a lost worker or node is a death."""
        from ray.exceptions import RayError, RayTaskError, RuntimeEnvSetupError

        try:
            message, told = self._ray.get(task)
        except (RayTaskError, RuntimeEnvSetupError) as error:  # the job's own errors are messages
            raise ClusterError(f"a node of the cluster cannot run headstart: {_first(error)}") from error
        except RayError as error:
            return WorkerDied(f"was lost with its node or its process ({type(error).__name__})"), ()
        return message, told


def _connect(on: str) -> bool:
    """Connect to the cluster, or start one; return whether this call connected, and `close` must disconnect."""
    import ray

    if ray.is_initialized():
        return False
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray.init(address=None if on == LOCAL else on, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # Ray raises many kinds of errors for a missing cluster, or one of another version
        raise ClusterError(f"--on {on}: cannot use the Ray cluster: {_first(error)}") from error
    return True


def _nodes(on: str) -> list[dict[str, Any]]:
    import ray

    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]
    if not nodes:
        raise ClusterError(f"--on {on}: no node of the cluster has a free core")
    return nodes


def _remote(setup: Setup) -> Setup:
    """Return the setup for other machines: without a common study folder, each with its own local cache."""
    store = setup.store.remote if isinstance(setup.store, RemoteStore) else setup.store
    return replace(setup, folder=None, store=store, device=setup.device.partition(":")[0], token=uuid.uuid4().hex)


def _check_nodes(nodes: list[dict[str, Any]], store: Store | str) -> None:
    """Refuse nodes that have another version of headstart, or that cannot read the cache."""
    import ray
    from ray.exceptions import RayError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    mark = _mark(store) if isinstance(store, Store) and not isinstance(store, RemoteStore) else None
    task, place = ray.remote(inspect_node), None if mark is None else str(mark.resolve())
    strategies = [NodeAffinitySchedulingStrategy(node["NodeID"], soft=False) for node in nodes]
    try:
        asked = [task.options(num_cpus=0, max_retries=0, scheduling_strategy=each).remote(place) for each in strategies]
        found = ray.get(asked, timeout=_START)
    except RayError as error:
        raise ClusterError(
            f"a node of the cluster cannot run headstart ({_first(error)}); every node needs headstart {VERSION}"
        ) from error
    finally:
        if mark is not None:
            mark.unlink(missing_ok=True)
    for node, (version, seen) in zip(nodes, found, strict=True):
        name = node["NodeManagerAddress"]
        if version != VERSION:
            raise ClusterError(f"node {name} has headstart {version}, this machine {VERSION}")
        if not seen and isinstance(store, Store):
            raise ClusterError(
                f"node {name} cannot read the cache {store.root}; set --store to a folder that all nodes share,"
                " or an address such as s3://bucket/prefix"
            )


def _mark(store: Store) -> Path:
    """Return a new file in a cache, for other nodes to find."""
    store.root.mkdir(parents=True, exist_ok=True)
    mark = store.root / f".seen-{uuid.uuid4().hex}"
    mark.touch()
    return mark


def _environment(store: Store | str, cpus: int) -> dict[str, str]:
    """Return the environment of a task: its threads, the cache, and the folder of datasets."""
    found = threads.environment(cpus)
    if isinstance(store, RemoteStore):
        found["HEADSTART_REMOTE"] = store.remote
    elif isinstance(store, Store):
        found["HEADSTART_CACHE"] = str(store.root.resolve())
    for name in ("HEADSTART_DATA", "HEADSTART_VERBOSITY"):
        if name in os.environ:
            found[name] = os.environ[name]
    return found


def _first(error: BaseException) -> str:
    """Return the line of an error that names it: the last line of Ray's traces, or else the first one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return lines[-1] if "Traceback" in str(error) or len(lines) > 3 else lines[0]
