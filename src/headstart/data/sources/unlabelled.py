"""Images without labels, as they come to be classified: files, folders, globs, tables, archives and lists of paths.

Nothing is decoded here. An input that cannot be used is an entry with its reason, and the others are not lost.
"""

from __future__ import annotations

import codecs
import glob
import os
import re
import stat
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from headstart.addresses import as_given, is_address, needs_path
from headstart.data.dataset import Reader
from headstart.data.decoding.decode import UndecodableError, open_image
from headstart.data.decoding.pictures import Picture
from headstart.data.image_files import MAX_BYTES
from headstart.data.sources.archives import SUFFIXES as ARCHIVES
from headstart.data.sources.archives import archive_tree
from headstart.data.sources.debris import is_debris
from headstart.data.sources.folders import walk
from headstart.data.sources.layout import image_paths, is_image_name
from headstart.data.sources.manifest import images_of_table, tidy_path
from headstart.data.sources.table_files import SUFFIXES as TABLES
from headstart.data.sources.text_column import MISSING
from headstart.errors import DataError

STANDARD_INPUT = "-"
NO_IMAGE = "no image in it"  # of a folder or archive that was named
_MAGIC = re.compile(r"[*?\[]")
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # as PowerShell writes lists
_BINARY = re.compile(rb"[\x01-\x08\x0b\x0c\x0e-\x1f]")  # what no list of paths contains


@dataclass(frozen=True, slots=True)
class Member:
    """An image inside an archive or a Parquet file."""

    reader: Reader
    row: int


@dataclass(frozen=True, slots=True)
class Unlabelled:
    """One image to classify, or an input that is none.

    Args:
        name: the path as it was given or found, ARCHIVE!MEMBER, or "-" for an image on standard input.
        source: a picture of any kind (a text is a path) or a member of an archive; None with an error.
        error: why there is no image, or None.
    """

    name: str
    source: Picture | Member
    error: str | None = None

    @property
    def path(self) -> Path | None:
        """The image's own file, if it has one."""
        return Path(self.source).expanduser() if isinstance(self.source, str | Path) else None

    def read(self) -> Picture:
        """Return the picture, not decoded yet.

        Raises:
            UndecodableError: there is none, or its archive cannot be read.
        """
        if self.error is not None:
            raise UndecodableError(self.error)
        if not isinstance(self.source, Member):
            return self.source
        try:
            return self.source.reader.read(self.source.row)
        except OSError as error:
            raise UndecodableError(f"cannot be read ({error.strerror or error})") from error
        except DataError as error:
            raise UndecodableError(str(error)) from error


class _Files:
    """Files that were met, however their folders are written."""

    def __init__(self) -> None:
        self._names: dict[str, set[str]] = {}

    def add(self, path: str) -> bool:
        """Add a file; say whether it is new."""
        folder, name = os.path.split(os.path.expanduser(path))  # noqa: PTH111 (there may be a million)
        if folder not in self._names:
            self._names[folder] = self._names.setdefault(_real(folder), set())
        names = self._names[folder]
        before = len(names)
        names.add(os.path.normcase(name))
        return len(names) > before


@dataclass
class Found:
    """What the inputs hold.

    A file that is named itself, as an input or in a list or table, is listed each time, so that rows can be put beside
    those of the list; what folders and globs find is listed only if it is not listed yet.

    Args:
        images: in the order of the inputs; in a folder, a glob or an archive, in the order of their names.
        folders: those that were searched.
        ignored: how many files in them do not have the name of an image, by suffix.
    """

    images: list[Unlabelled] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    _listed: _Files = field(default_factory=_Files, init=False, repr=False, compare=False)
    _passed_over: _Files = field(default_factory=_Files, init=False, repr=False, compare=False)

    def add(self, path: str, *, again: bool) -> None:
        """List an image file; `again`: even if it is listed."""
        if self.meet(path) or again:
            self.images.append(Unlabelled(path, path))

    def meet(self, path: str) -> bool:
        """Note a file that is about to be listed; say whether it was not yet."""
        return self._listed.add(path)

    def ignore(self, path: str) -> None:
        """Count a file that does not have the name of an image, unless it is counted."""
        if self._passed_over.add(path):
            self.ignored[PurePosixPath(path).suffix.lower() or "no suffix"] += 1


def find_images(places: Iterable[str | Path], standard_input: Any = None) -> Found:
    """Return every image of these inputs; see `Found`.

    Args:
        places: files, folders, globs, tables with a column of paths or bytes, zip and tar archives.
        standard_input: an open binary file that "-" stands for: one encoded image, or a list of paths, one a line or
            separated by NUL.
    """
    found, is_read = Found(), False
    for place in map(str, places):
        if place != STANDARD_INPUT or standard_input is None:
            _add(found, place, may_match=True)
        elif not is_read:
            _add_listed(found, standard_input.read(MAX_BYTES + 1))
            is_read = True
    return found


def _add(found: Found, place: str, *, may_match: bool = False, again: bool = True) -> None:
    """Add what one path stands for; `may_match`: it may be a glob; `again`: even if it is listed."""
    if is_address(place):
        found.images.append(_unusable(as_given(place), needs_path(place)))
        return
    path = Path(place).expanduser()
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        absent = isinstance(error, FileNotFoundError | NotADirectoryError | ValueError)
        if absent and may_match and _MAGIC.search(place):
            _add_matches(found, place)
        else:
            reason = "no such file or folder" if absent else f"cannot be read ({getattr(error, 'strerror', error)})"
            found.images.append(_unusable(place, reason))
        return
    if stat.S_ISDIR(mode):
        _add_folder(found, place)
    elif stat.S_ISFIFO(mode):  # such as <(curl …) of a shell; it can be read only once
        with path.open("rb") as file:
            found.images.append(Unlabelled(place, file.read(MAX_BYTES + 1)))
    elif not stat.S_ISREG(mode):
        found.images.append(_unusable(place, "is a device or a socket, not a file"))
    else:
        _add_file(found, place, again=again)


def _add_file(found: Found, place: str, *, again: bool) -> None:
    """Add an image file, the images that a table names, or those in an archive."""
    if not found.meet(place) and not again:
        return
    lowered = place.lower()
    try:
        if lowered.endswith(TABLES):
            _add_table(found, place)
        elif lowered.endswith(ARCHIVES):
            tree = archive_tree(Path(place).expanduser())
            chosen = _chosen(found, place, "!", tree.files)
            reader = tree.reader(chosen)
            found.images += [Unlabelled(f"{place}!{name}", Member(reader, row)) for row, name in enumerate(chosen)]
        else:
            found.images.append(Unlabelled(place, place))
    except DataError as error:
        found.images.append(_unusable(place, _without_name(str(error), place)))


def _add_folder(found: Found, place: str) -> None:
    root = Path(place).expanduser()
    found.folders.append(root)
    unread: list[DataError] = []
    end = "" if place.endswith(("/", os.sep)) else os.sep
    files = list(walk(root, unread))
    for name in _chosen(found, place, end, files, unread=bool(unread)):
        found.add(f"{place}{end}{name.replace('/', os.sep)}", again=False)
    for error in unread:
        folder, _, reason = str(error).rpartition(": ")
        found.images.append(_unusable(folder, reason))


def _chosen(found: Found, place: str, end: str, files: Iterable[str], *, unread: bool = False) -> list[str]:
    """Return the images among these files by their names, as loading would; count the others.

    `end` is what separates the name of the folder or archive from theirs. `unread` says that a part of the folder could
    not be read, which is said already.
    """
    images, others = image_paths(files, any_name=True)
    for skip in others:
        found.ignore(f"{place}{end}{skip.name}")
    if not images and not unread:
        more = f" ({len(others)} other files)" if others else ""
        found.images.append(_unusable(place, f"{NO_IMAGE}{more}"))
    return images


def _add_matches(found: Found, pattern: str) -> None:
    """Add what a glob matches: images, folders unless it searches them itself, tables and archives if it names them."""
    start = next(index for index, part in enumerate(Path(pattern).parts) if _MAGIC.search(part))
    matches = sorted(glob.glob(str(Path(pattern).expanduser()), recursive=True))  # noqa: PTH207 (of any root)
    start += len(Path(pattern).expanduser().parts) - len(Path(pattern).parts)
    images = False
    for match in matches:
        if is_debris("/".join(Path(match).parts[start:])):
            continue
        if Path(match).is_dir():
            if "**" not in pattern:
                _add_folder(found, match)
                images = True
        elif is_image_name(match) or (pattern.lower().endswith((*TABLES, *ARCHIVES))):
            _add(found, match, again=False)
            images = True
        else:
            found.ignore(match)
    if not images:
        more = f" ({len(matches)} other files)" if matches else ""
        found.images.append(_unusable(pattern, f"matches no image{more}"))


def _add_table(found: Found, place: str) -> None:
    """Add the rows of a table: paths relative to it, or the bytes in it."""
    path = Path(place).expanduser()
    rows = images_of_table(path)
    if not isinstance(rows, list):
        found.images += [Unlabelled(f"{place}!{rows.name(row)}", Member(rows, row)) for row in range(len(rows))]
        return
    if not rows:
        found.images.append(_unusable(place, "the table has no rows"))
    for number, text in enumerate(rows, 1):
        if text.strip() in MISSING:
            found.images.append(_unusable(f"{place}!row {number}", "has no path"))
        elif is_address(text):
            _add(found, text.strip())
        else:
            found.add(str(Path(place).parent / tidy_path(text, path.parent)), again=True)


def _add_listed(found: Found, content: bytes) -> None:
    """Add the image that was sent, or what a list of paths names."""
    if not content.strip():
        found.images.append(_unusable(STANDARD_INPUT, "standard input is empty"))
    elif _is_image(content):
        found.images.append(Unlabelled(STANDARD_INPUT, content))
    else:
        for line in _lines(content):
            _add(found, line)


def _is_image(content: bytes) -> bool:
    """Return whether this is an image, perhaps a damaged one, and not a list of paths."""
    try:
        open_image(content).close()
    except UndecodableError:
        return not content.startswith(_UTF_16) and _BINARY.search(content[:4096]) is not None
    return True


def _lines(content: bytes) -> list[str]:
    if content.startswith(_UTF_16):
        content = content.decode("utf-16", "replace").encode()
    content = content.removeprefix(codecs.BOM_UTF8)
    parts = content.split(b"\0") if b"\0" in content else content.splitlines()
    return [os.fsdecode(part) for part in parts if part.strip()]


def _real(folder: str) -> str:
    try:
        return os.path.realpath(folder)
    except ValueError:  # a NUL in the path that a table names; opening it says so
        return folder


def _unusable(name: str, reason: str) -> Unlabelled:
    return Unlabelled(name, None, reason)


def _without_name(message: str, place: str) -> str:
    return message.removeprefix(f"{Path(place).expanduser()}: ")
