from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from headstart.storage import arrow as gate
from headstart.storage.arrow import arrow, arrow_compute, arrow_csv, arrow_json, arrow_parquet, check_room

GIVEN = [arrow, arrow_compute, arrow_csv, arrow_json, arrow_parquet]
LIMITED = """
import resource
from headstart.storage.arrow import check_room
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (32 << 20), -1))
check_room(1 << 20)
try:
    check_room()
except MemoryError as error:
    print(error)
"""


def test_room_that_is_there_is_no_error() -> None:
    check_room()


@pytest.mark.skipif(sys.platform != "linux", reason="reads how much memory is used from /proc")
def test_memory_beyond_the_limit_of_the_process_is_an_error() -> None:
    ended = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True)
    assert ended.stdout == "64 MiB of memory are not available\n", ended.stderr


@pytest.mark.parametrize("given", GIVEN, ids=lambda given: given.__name__)
def test_each_function_gives_the_module_of_its_name(given: Callable[[], Any]) -> None:
    assert given().__name__ == given.__name__.replace("arrow", "pyarrow").replace("_", ".")


@pytest.mark.parametrize("given", GIVEN, ids=lambda given: given.__name__)
def test_no_module_of_arrow_is_given_without_memory(given: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    given()  # whether it was imported before makes no difference

    def none(place: int, size: int) -> None:
        raise OSError("Cannot allocate memory")

    monkeypatch.setattr(gate.mmap, "mmap", none)
    with pytest.raises(MemoryError, match="64 MiB of memory are not available"):
        given()
