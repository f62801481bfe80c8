"""A file of which stretches of bytes are read: on disk, or at an address that fsspec opens, such as s3:// or https://.

Of a remote file whole windows are fetched and the last few kept, so that images that follow one another in a shard
cost one request for many.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

from headstart.addresses import is_address
from headstart.data.image_files import file_state
from headstart.errors import DataError, first_line
from headstart.storage.presence import Held

WINDOW = 4 << 20  # bytes
_KEPT = 16  # windows of a file in memory


class FileRanges(Protocol):
    """A file whose bytes can be read from any place on, by several threads at once."""

    @property
    def place(self) -> str:
        """The path or address."""
        ...

    def size(self) -> int:
        """Return the number of bytes."""
        ...

    def state(self) -> str:
        """Return what changes when the content may have changed; after the last "|" the time of that in ns, or 0."""
        ...

    def open(self) -> BinaryIO:
        """Return the file, opened to be read from its beginning."""
        ...

    def read(self, start: int, size: int) -> bytes:
        """Return `size` bytes from `start` on; fewer where the file ends."""
        ...


class LocalFile:
    """A file on disk.

    Args:
        path: where it is.
        place: what messages call it, if not that.
        held: keeps it in the store, if it is there.
    """

    def __init__(self, path: Path, place: str | None = None, held: Held | None = None) -> None:
        self.path, self.place, self.held = path, place or str(path), held

    def size(self) -> int:
        """Return the number of bytes."""
        return self.path.stat().st_size

    def state(self) -> str:
        """Return size, inode and times."""
        return file_state(self.path)

    def open(self) -> BinaryIO:
        """Return the file, opened."""
        return self.path.open("rb")

    def read(self, start: int, size: int) -> bytes:
        """Return `size` bytes from `start` on."""
        with self.path.open("rb", buffering=0) as file:
            file.seek(start)
            return file.read(size)


class RemoteFile:
    """A file at an address.

    Raises:
        DataError: it is not there, its package is not installed, or it does not answer.
    """

    def __init__(self, place: str) -> None:
        self.place = place
        with answers(place):
            info = file_system(place)[0].info(file_system(place)[1])
        if info.get("size") is None:
            raise DataError(f"{place}: the server does not say how long it is; download it and give the file's path")
        self._size = int(info["size"])
        facts = {key: str(value) for key, value in sorted(info.items()) if key not in ("atime", "nlink")}
        self._state = f"{self._size}|{hashlib.blake2b(repr(facts).encode(), digest_size=8).hexdigest()}|0"
        self._prepare()

    def __getstate__(self) -> dict[str, Any]:
        return {"place": self.place, "_size": self._size, "_state": self._state}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._prepare()

    def _prepare(self) -> None:
        self._windows: OrderedDict[int, _Window] = OrderedDict()
        self._lock = threading.Lock()

    def size(self) -> int:
        """Return the number of bytes, as the server said when the file was found."""
        return self._size

    def state(self) -> str:
        """Return the size and a digest of what the server said of the file."""
        return self._state

    def open(self) -> BinaryIO:
        """Return the file, opened; blocks are read ahead."""
        with answers(self.place):
            system, path = file_system(self.place)
            return cast(BinaryIO, system.open(path, "rb", block_size=WINDOW))

    def read(self, start: int, size: int) -> bytes:
        """Return `size` bytes from `start` on.

        Raises:
            DataError: the server does not answer.
        """
        stop = min(start + size, self._size)
        if start >= stop:
            return b""
        windows = range(start // WINDOW, (stop - 1) // WINDOW + 1)
        data = b"".join(self._window(index) for index in windows)
        begin = start - windows.start * WINDOW
        return data[begin : begin + stop - start]

    def _window(self, index: int) -> bytes:
        """Return one window; the first thread that needs it fetches it, others wait."""
        with self._lock:
            window = self._windows.setdefault(index, _Window())
            self._windows.move_to_end(index)
            if len(self._windows) > _KEPT:
                self._windows.popitem(last=False)
        with window.lock:
            if window.data is None:
                with answers(self.place):
                    system, path = file_system(self.place)
                    stop = min((index + 1) * WINDOW, self._size)
                    window.data = bytes(system.cat_file(path, start=index * WINDOW, end=stop))
            return window.data


class _Window:
    """Some bytes of a remote file, once they are fetched."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.data: bytes | None = None


def file_at(place: str) -> FileRanges:
    """Return the file at a path or an address.

    Raises:
        DataError: it is not there.
    """
    if is_address(place):
        return RemoteFile(place)
    if not Path(place).is_file():
        raise DataError(f"no such file: {place}")
    return LocalFile(Path(place))


def file_system(place: str) -> tuple[Any, str]:
    """Return the fsspec file system of an address and the path in it."""
    import fsspec

    system, path = fsspec.core.url_to_fs(place)
    return system, str(path)


@contextlib.contextmanager
def answers(place: str) -> Iterator[None]:
    """Turn whatever the client of a file system raises into one line.

    Raises:
        DataError: what went wrong and what to do.
    """
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"no such file: {place}") from error
    except ImportError as error:
        protocol = place.partition("://")[0]
        raise DataError(f"{place}: {protocol}:// needs a package that is not installed: {error}") from error
    except Exception as error:  # each fsspec implementation passes on what its own client raises
        raise DataError(
            f"{place}: cannot be read ({first_line(error)}); check the address and the credentials, then run the"
            " command again: finished work is kept"
        ) from error
