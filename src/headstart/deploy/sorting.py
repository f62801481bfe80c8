"""Classified images sorted into one folder a class: copies or links, and nothing is ever overwritten."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from headstart.data.decoding.decode import open_image
from headstart.data.sources.unlabelled import Found, Member, Unlabelled
from headstart.deploy.classifier import Prediction
from headstart.errors import DataError, SpecError, StoreError
from headstart.storage.files import disk_errors

NO_CLASS = "no class"  # of multi-label models: none is above the threshold
_LONGEST = 200  # bytes of a name, of the 255 that file systems take, so that a number fits behind it
_FORBIDDEN = re.compile(r'[\x00-\x1f<>:"/\\|?*\ud800-\udfff]')  # on one of the usual file systems
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)  # on Windows


class Sorter:
    """Puts images into `root`/CLASS/NAME.

    Names that are taken get a number; a file that is there already with the same content is not copied again. An
    image with several labels is put into each of their folders; one that was not read, into none.

    Args:
        root: the folder of the class folders.
        classes: the class names; what a file system does not take in them is replaced by "_".
        link: make symbolic links instead of copies; members of archives are copied all the same.
    """

    def __init__(self, root: Path, classes: Sequence[str], *, link: bool = False) -> None:
        self.root, self.link = root, link
        *names, self._without = _folder_names((*classes, NO_CLASS))
        self._folders = dict(zip(classes, names, strict=True))
        self._placed: set[tuple[str, str]] = set()
        self._made: set[Path] = set()
        self._numbers: dict[Path, int] = {}

    def check_apart(self, found: Found) -> None:
        """Refuse to sort into a folder that images are read from.

        Raises:
            SpecError: the folder that images are read from.
        """
        root = self.root.resolve()
        places = {root, *(root / name for name in (*self._folders.values(), self._without))}
        for folder in found.folders:
            read = folder.resolve()
            if any(place.is_relative_to(read) for place in places):
                raise SpecError(
                    f"--sort-into {self.root}: images are read from {folder}; choose a folder outside of it"
                )
        for folder in {image.path.parent for image in found.images if image.path is not None}:
            if folder.resolve() in places:
                raise SpecError(f"--sort-into {self.root}: images are read from {folder}; choose another folder")

    def place(self, image: Unlabelled, prediction: Prediction) -> None:
        """Copy or link one image into the folder of each of its classes.

        Raises:
            DataError: the image can no longer be read.
            StoreError: the place cannot be written, or links are impossible there.
        """
        if prediction.error is not None:
            return
        content: bytes | None = None
        for name in [self._folders[label] for label in prediction.labels] or [self._without]:
            folder = self.root / name
            if (image.name, name) in self._placed:  # given twice
                continue
            self._placed.add((image.name, name))
            if content is None and not (self.link and image.path is not None):
                content = _content(image)
            file = _file_name(image, content)
            with disk_errors(folder):
                folder.mkdir(parents=True, exist_ok=True)
                self._put(image, content, folder / file)

    def _put(self, image: Unlabelled, content: bytes | None, wanted: Path) -> None:
        """Make the file under the first name that is free, or find that it is there; without content, a link."""
        number = self._numbers.get(wanted, 1)
        while True:
            target = wanted if number == 1 else wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}")
            number += 1
            if target in self._made:
                continue
            if _is_there(image, content, target) or _make(image, content, target):
                self._made.add(target)
                self._numbers[wanted] = number
                return


def _is_there(image: Unlabelled, content: bytes | None, target: Path) -> bool:
    """Return whether the file is what an earlier run made of this image."""
    if content is None:
        return image.path is not None and target.is_symlink() and target.readlink() == image.path.absolute()
    if not target.is_file() or target.is_symlink():
        return False
    return target.stat().st_size == len(content) and target.read_bytes() == content


def _make(image: Unlabelled, content: bytes | None, target: Path) -> bool:
    """Write the file and return True; return False where something else has this name."""
    path = image.path
    if content is None:
        return path is not None and _linked(path, target)
    try:
        with target.open("xb") as file:
            file.write(content)
    except FileExistsError:
        return False
    except OSError:
        target.unlink(missing_ok=True)  # no half of a copy
        raise
    if path is not None:
        shutil.copystat(path, target)
    return True


def _linked(path: Path, target: Path) -> bool:
    try:
        target.symlink_to(path.absolute())
    except FileExistsError:
        return False
    except OSError as error:  # Windows without the privilege, file systems without links
        raise StoreError(f"{target}: links are impossible there ({error.strerror}); drop --link to copy") from error
    return True


def _content(image: Unlabelled) -> bytes:
    if image.path is not None:
        try:
            return image.path.read_bytes()
        except OSError as error:
            raise DataError(f"{image.path}: can no longer be read ({error.strerror}); classify it again") from error
    content = image.read()
    assert isinstance(content, bytes), "only encoded images are sorted"
    return content


def _file_name(image: Unlabelled, content: bytes | None) -> str:
    """Return the file's own name, or one made of the row's, with the suffix of its format."""
    if image.path is not None:
        return image.path.name
    name = image.source.reader.name(image.source.row) if isinstance(image.source, Member) else "standard input"
    safe = _safe(PurePosixPath(name.replace("\\", "/")).name)
    if not PurePosixPath(safe).suffix and content is not None:
        with open_image(content) as opened:
            safe += f".{(opened.format or 'image').lower()}"
    return safe


def _folder_names(classes: Iterable[str]) -> list[str]:
    """Return a folder name for each class, no two alike even where case does not matter."""
    names: list[str] = []
    taken: set[str] = set()
    for title in classes:
        safe, number = _safe(title), 1
        name = safe
        while name.casefold() in taken:
            number += 1
            name = f"{safe}-{number}"
        taken.add(name.casefold())
        names.append(name)
    return names


def _safe(name: str) -> str:
    """Return a name that every usual file system takes."""
    name = _FORBIDDEN.sub("_", name).encode()[:_LONGEST].decode("utf-8", "ignore").strip(" ").rstrip(".")
    return f"_{name}" if not name or name.startswith(".") or _RESERVED.match(name) else name
