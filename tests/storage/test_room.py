from __future__ import annotations

import subprocess
import sys

import pytest

from headstart.storage.room import check_room

LIMITED = """
import resource
from headstart.storage.room import check_room
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
