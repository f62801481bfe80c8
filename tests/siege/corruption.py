"""Corruption: one stored file is damaged, and the study runs again: the same bits, or one line and then the same bits.

Every kind of file in the cache and in the folder of a study, in every way that disks, crashes and people do it; of a
finished study, of one that continues from cached fits, features or images, and of one interrupted at each stage.
"""

from __future__ import annotations

import contextlib
import io
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from headstart.errors import HeadstartError
from tests.siege import scene
from tests.siege.siege import Attack, Broken

Harm = Callable[[Path, random.Random, list[Path]], None]


def flip_a_bit(path: Path, draw: random.Random, others: list[Path]) -> None:
    """Change one bit."""
    content = bytearray(path.read_bytes())
    if content:
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


def change_a_digit(path: Path, draw: random.Random, others: list[Path]) -> None:
    """Change a digit, so that text is valid and says something else."""
    content = bytearray(path.read_bytes())
    places = [place for place, byte in enumerate(content) if byte in b"0123456789"]
    if places:
        place = draw.choice(places)
        content[place] = ord(str((int(chr(content[place])) + draw.randrange(1, 10)) % 10))
    path.write_bytes(content)


def cut(path: Path, draw: random.Random, others: list[Path]) -> None:
    """Keep the beginning only."""
    content = path.read_bytes()
    path.write_bytes(content[: draw.randrange(len(content))] if content else content)


def zero_half(path: Path, draw: random.Random, others: list[Path]) -> None:
    """Set the second half to zero, as when blocks never reached the disk."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))


def empty(path: Path, draw: random.Random, others: list[Path]) -> None:
    """Leave nothing in it."""
    path.write_bytes(b"")


def delete(path: Path, draw: random.Random, others: list[Path]) -> None:
    """Delete it."""
    path.unlink()


def lengthen(path: Path, draw: random.Random, others: list[Path]) -> None:
    """Append bytes."""
    path.write_bytes(path.read_bytes() + draw.randbytes(draw.randrange(1, 5000)))


def overwrite(path: Path, draw: random.Random, others: list[Path]) -> None:
    """Replace it by as many random bytes."""
    path.write_bytes(draw.randbytes(path.stat().st_size))


def swap(path: Path, draw: random.Random, others: list[Path]) -> None:
    """Exchange it with a file of the same name elsewhere, or any other."""
    alike = [other for other in others if other.name == path.name and other != path] or others
    other = draw.choice(alike)
    mine, its = path.read_bytes(), other.read_bytes()
    path.write_bytes(its)
    other.write_bytes(mine)


HARMS: dict[str, Harm] = {
    "flip a bit": flip_a_bit,
    "change a digit": change_a_digit,
    "cut": cut,
    "zero half": zero_half,
    "empty": empty,
    "delete": delete,
    "lengthen": lengthen,
    "overwrite": overwrite,
    "swap": swap,
}
KEPT = {"cached fits": ("images", "features", "trials", "fits"), "cached features": ("images", "features")}
KEPT |= {"cached images": ("images",)}
STATES = ("finished", *KEPT, *scene.MOMENTS)
_LOGS = re.compile(r"/(training/log|tensorboard)/")  # which are never read


def prepare(scratch: Path) -> Attack:
    """Run the study once as it should be, and bring it into every state that is attacked."""
    pictures = scene.draw(scratch / "pictures")
    with _quiet():
        scene.run(pictures, scratch / "finished")
        for state, kinds in KEPT.items():
            for kind in kinds:
                shutil.copytree(scratch / "finished" / "cache" / kind, scratch / state / "cache" / kind)
        for moment in scene.MOMENTS:
            scene.interrupt(pictures, scratch / moment, moment)
    wanted = scene.results(scratch / "finished")

    def attack(seed: int) -> str:
        draw = random.Random(seed)
        state, harm = draw.choice(STATES), draw.choice(sorted(HARMS))
        place = scratch / f"attempt-{seed}"
        shutil.copytree(scratch / state, place)
        try:
            victim, files = _victim(place, draw, "out" if state == "finished" else "")
            what = f"{state}: {harm}: {victim.relative_to(place).as_posix()}"
            before = victim.read_bytes()
            HARMS[harm](victim, draw, files)
            damaged = _content(victim)
            ended = _survived(pictures, place, wanted, what)
            if before == damaged:
                return "not changed"
            if ended == "":
                ended = "not read" if _content(victim) == damaged else "replaced"
            return ended
        finally:
            shutil.rmtree(place)

    return attack


def _victim(place: Path, draw: random.Random, part: str) -> tuple[Path, list[Path]]:
    """Return one stored file in this part, each kind of file being as likely as any other, and all of them."""
    files = sorted(path for path in (place / part).rglob("*") if path.is_file() and not _LOGS.search(path.as_posix()))
    kinds: dict[str, list[Path]] = {}
    for path in files:
        name = re.sub(r"[0-9a-f]{32}(\.partial)?|\d{6,}.*", "*", path.relative_to(place).as_posix())
        kinds.setdefault(re.sub(r"runs/[^/]+", "runs/*", name), []).append(path)
    return draw.choice(kinds[draw.choice(sorted(kinds))]), files


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _survived(pictures: Path, place: Path, wanted: dict[str, object], what: str) -> str:
    """Run the study until it ends well, at most twice; compare all that it says."""
    ended = ""
    for attempt in (1, 2):
        try:
            with _quiet() as said:
                scene.run(pictures, place)
            if ended == "" and re.search("damaged|not what was written", said.getvalue()):
                ended = "rebuilt with a line"
            break
        except HeadstartError as error:
            if attempt == 2:
                raise Broken(f"{what}: a dead end: {error}") from error
            ended = "refused"
            if "\n" in str(error):
                raise Broken(f"{what}: not one line: {error}") from error
        except Exception as error:
            raise Broken(f"{what}: {type(error).__name__}: {error}") from error
    if changed := scene.differences(wanted, scene.results(place)):
        raise Broken(f"{what}: {ended or 'unnoticed'}, and another result: {changed[:3]}")
    if left := scene.stale(place):
        raise Broken(f"{what}: {ended or 'unnoticed'}, and left {left[:5]}")
    return ended


@contextlib.contextmanager
def _quiet():  # type: ignore[no-untyped-def]
    with contextlib.redirect_stderr(io.StringIO()) as said, contextlib.redirect_stdout(io.StringIO()):
        yield said
