"""Every error that headstart raises on purpose.

HeadstartError            one clear line for the user; the command line exits with status 2
├── DataError             images, labels, manifests, splits
│   ├── DataAbsent        images that are not here and could not be fetched
│   ├── NoLabels          images without any label
│   ├── Unsuitable        images or weights that a run of a study cannot use; its other runs can
│   ├── ImageTypeError    something that is not an image; a TypeError too
│   └── ArgumentError     images or labels given from Python that cannot be used; a ValueError too
├── SpecError             study files, options, unknown names
├── ModelError            stages, image sizes, networks that do not fit together
│   └── WeightsError      checkpoints: absent, altered, truncated, of another network
│       └── WeightsAbsent published weights that are not here and could not be fetched
├── StoreError            the cache and run folders: full disk, altered files
├── ClusterError          other machines: no cluster answers, or its nodes lack what a study needs
├── RunFailed             a run that could not be finished (a loss that became NaN)
└── MissingExtra          an optional package that is not installed
"""

from __future__ import annotations

import difflib
import errno
import importlib.util
import os
from collections.abc import Iterable, Mapping
from typing import TypeVar

from headstart.disclosure import without_secrets

T = TypeVar("T")
LONGEST_LINE = 1500  # characters of a message
LONGEST = 80  # characters of an unknown name that are shown


class HeadstartError(Exception):
    """Base of every error caused by the input or the machine, not by a defect.

    Its text is one line of bounded length, whatever a file or a library puts into it, and holds no credentials.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*(_one_line(arg) if isinstance(arg, str) else arg for arg in args))


def _one_line(text: str) -> str:
    line = " ".join(without_secrets(text).splitlines())
    return line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]} …"


class DataError(HeadstartError):
    """Images, labels, manifests or splits that cannot be used as they are."""


class DataAbsent(DataError):
    """Images that are not here and could not be fetched: the request itself is valid."""


class NoLabels(DataError):
    """Images whose source says of none what it shows."""


class Unsuitable(DataError):
    """Images or weights that one run cannot use as it is set: too few for a batch, several labels, weights of NaN."""


class ImageTypeError(DataError, TypeError):
    """Something that was given as an image and is not one; the message lists what is accepted."""


class ArgumentError(DataError, ValueError):
    """Images or labels given from Python that are of the right type and cannot be used as they are."""


class SpecError(HeadstartError):
    """A study file, option or name that headstart does not understand."""


class ModelError(HeadstartError):
    """A stage, image size or network that does not fit."""


class WeightsError(ModelError):
    """A checkpoint that is absent, altered, truncated or of another network."""


class WeightsAbsent(WeightsError):
    """Published weights that are not here and could not be fetched: the request itself is valid."""


class StoreError(HeadstartError):
    """The cache or a run folder cannot be read or written as needed."""


class ClusterError(HeadstartError):
    """Other machines cannot be used as they are."""


class RunFailed(HeadstartError):
    """A run that could not be finished; the study continues without it."""


class MissingExtra(HeadstartError):
    """An optional package is not installed; the message says how to get it."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an optional package: pip install 'headstart[{extra}]'")
        self.what, self.extra = what, extra


def require(package: str, what: str, extra: str) -> None:
    """Raise the error that names the extra of a package that is not installed.

    Args:
        package: the name that is imported.
        what: what needs it, as the message begins.
        extra: of headstart.

    Raises:
        MissingExtra: it is not installed.
    """
    if importlib.util.find_spec(package) is None:
        raise MissingExtra(what, extra)


def first_line(error: BaseException) -> str:
    """Return the first line of what another library's error says, or its kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


_UNMAPPED = "failed to map segment from shared object"


def forbidden_library(error: BaseException) -> str | None:
    """Return the library that could not be loaded because its disk is mounted noexec; None if that is not the cause.

    NumPy raises an error of its own from the loader's.
    """
    if isinstance(error, ImportError) and isinstance(error.__cause__, ImportError):
        return forbidden_library(error.__cause__)
    place, _, why = str(error).partition(": ")
    if not isinstance(error, ImportError | OSError) or not why.startswith(_UNMAPPED) or not hasattr(os, "ST_NOEXEC"):
        return None
    try:
        return place if os.statvfs(place).f_flag & os.ST_NOEXEC else None
    except OSError:
        return None


def lacks_memory(error: BaseException) -> bool:
    """Return whether memory ran out, by the messages of Python, PyTorch, oneDNN, the C++ library, linker or Windows."""
    text = str(error)
    if isinstance(error, ImportError | OSError):
        unloaded = text.endswith((_UNMAPPED, "Cannot allocate memory")) and forbidden_library(error) is None
        unloaded |= "paging file is too small" in text
        return unloaded or getattr(error, "errno", None) == errno.ENOMEM
    signs = ("allocate memory", "out of memory", "enough memory", "bad_alloc", "could not create a primitive")
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and any(sign in text for sign in signs))


def unknown_name(kind: str, name: object, known: Iterable[str], limit: int = 20) -> str:
    """Return the line that says `name` is not a known `kind`, with the nearest and the known names."""
    names = sorted(known)
    given = str(name)[:LONGEST]
    begin = [each for each in names if given and each.startswith(given)][:1]
    near = begin or difflib.get_close_matches(given, names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    shown = ", ".join(names[:limit]) + (f", … ({len(names)} in all)" if len(names) > limit else "")
    return f"unknown {kind} {given!r}{hint} (known: {shown})"


def choose(kind: str, name: str, table: Mapping[str, T]) -> T:
    """Return `table[name]`.

    Raises:
        SpecError: no such name; the message gives the known ones and the nearest.
    """
    if name not in table:
        raise SpecError(unknown_name(kind, name, table))
    return table[name]
