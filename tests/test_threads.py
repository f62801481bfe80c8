"""How many threads a process may keep busy: the variable, the affinity and the container's quota."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from threadpoolctl import threadpool_info, threadpool_limits  # type: ignore[import-untyped]

from headstart import threads
from headstart.errors import SpecError


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return the quota file of a machine with 8 cores, without HEADSTART_THREADS."""
    monkeypatch.delenv(threads.VARIABLE, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(threads, "_QUOTA", tmp_path / "cpu.max")
    return tmp_path / "cpu.max"


@pytest.mark.parametrize(
    ("quota", "count"),
    [
        (None, 8),
        ("max 100000\n", 8),
        ("250000 100000\n", 3),  # two and a half cores, rounded up
        ("200000 100000\n", 2),
        ("900000 100000\n", 8),
        ("0 100000\n", 1),
        ("200000", 8),  # without a period there is no quota
    ],
)
def test_the_cores_are_those_of_affinity_and_quota(machine: Path, quota: str | None, count: int) -> None:
    if quota is not None:
        machine.write_text(quota)
    assert threads.machine_cores() == threads.cores() == count


def test_without_affinity_all_cores_count(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert threads.machine_cores() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert threads.machine_cores() == 1


def test_workers_share_the_cores_and_each_gets_one_at_least(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [threads.share(workers) for workers in (1, 2, 3, 8, 9)] == [8, 4, 2, 1, 1]
    monkeypatch.setenv(threads.VARIABLE, "5")
    assert threads.share(2) == threads.cores() == 5


@pytest.mark.parametrize("text", ["0", "-1", "many", "1.5"])
def test_a_variable_that_is_not_a_number_of_threads_is_named(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(threads.VARIABLE, text)
    with pytest.raises(SpecError, match=f"HEADSTART_THREADS='{text}' is not a number of threads; give 1 or more"):
        threads.cores()


def test_the_environment_names_every_library() -> None:
    found = threads.environment(3)
    assert found == dict.fromkeys((threads.VARIABLE, *threads.LIBRARIES), "3") and len(found) == 5


def test_a_process_is_brought_down_and_never_up(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    before, asked = torch.get_num_threads(), []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    for allowed in ("4", "7", "3"):
        monkeypatch.setenv(threads.VARIABLE, allowed)
        threads.hold()
    assert asked == [3] and before >= 1


def test_no_quota_is_a_large_number(tmp_path: Path) -> None:
    assert threads._quota(tmp_path / "absent") == sys.maxsize


def blas_threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_blas_has_one_thread_until_the_last_that_asked_for_it_is_done() -> None:
    with threadpool_limits(2, user_api="blas"):
        before, first, second = blas_threads(), threads.one_blas_thread(), threads.one_blas_thread()
        first.__enter__()
        second.__enter__()
        assert blas_threads() == {1}
        first.__exit__(None, None, None)  # as another thread may, which came first
        assert blas_threads() == {1}
        second.__exit__(None, None, None)
        assert blas_threads() == before == {2}


def test_an_error_gives_blas_its_threads_back() -> None:
    with threadpool_limits(2, user_api="blas"):
        with pytest.raises(ZeroDivisionError), threads.one_blas_thread():
            _ = 1 / 0
        assert blas_threads() == {2}
