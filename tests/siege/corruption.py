"""Corruption: one stored file is damaged, and the study runs again: the same bits, or one line and then the same bits.

Every kind of file in the cache and in the folder of a study has its turn, in every way that disks, crashes and people
do it; of a finished study, of one that continues from cached fits, features or images, and of one interrupted at each
stage. Up to eight files in different folders are damaged at once, of the kinds that had the fewest turns by then; what
becomes of each is counted by its kind.
"""

from __future__ import annotations

import contextlib
import io
import random
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from headstart.errors import HeadstartError
from tests.siege import narrow_scenes, scene, wide_scene
from tests.siege.siege import Attack, Broken
from tests.siege.turns import UNCHANGED, Aim, Files, Turns

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
    there = [other for other in others if other.exists()]
    other = draw.choice([other for other in there if other.name == path.name and other != path] or there)
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
EVERYWHERE = "every stage interrupted"
_LOGS = re.compile(r"/(training/log|tensorboard)/")  # which are never read
UNSEEN = ("not read", UNCHANGED)


@dataclass(frozen=True)
class Scene:
    """A study, and the states in which its files are damaged.

    Args:
        draw: draws its images into a folder.
        run: runs it on them, in a place.
        moments: by name, the functions after whose first call it is interrupted.
        kept: by name of a state, the kinds of entries that it continues from.
        spared: the kinds of entries that it always has, unless they are what is attacked: they take longest.
    """

    draw: Callable[[Path], Path]
    run: Callable[[Path, Path], object]
    moments: dict[str, str]
    kept: dict[str, tuple[str, ...]]
    spared: tuple[str, ...]

    @property
    def states(self) -> tuple[str, ...]:
        """The names of the states."""
        return ("finished", *self.kept, *self.moments, EVERYWHERE)


_PASS = ("images", "features", "shards", "measurements", "inspections", "measures")
SMALL = Scene(
    scene.draw,
    scene.run,
    scene.MOMENTS,
    {
        "cached fits": ("images", "features", "trials", "fits"),
        "cached features": ("images", "features", "trials"),
        "cached images": ("images", "trials"),
    },
    ("trials",),
)
WIDE = Scene(
    wide_scene.draw,
    wide_scene.run,
    wide_scene.MOMENTS,
    {"cached fits": (*_PASS, "rungs", "fits"), "cached rungs": (*_PASS, "rungs"), "cached passes": _PASS},
    ("measurements",),
)
AUDIT = Scene(
    narrow_scenes.draw, narrow_scenes.audit, narrow_scenes.AUDIT_MOMENTS, {"cached inspections": ("inspections",)}, ()
)
EPISODES = Scene(
    narrow_scenes.draw, narrow_scenes.episodes, narrow_scenes.EPISODE_MOMENTS, {"cached fits": ("images", "fits")}, ()
)


def prepare(scratch: Path, aim: Aim | None = None) -> Attack:
    """Bring the small study into every state that is attacked."""
    return _prepared(scratch, SMALL, aim)


def prepare_wide(scratch: Path, aim: Aim | None = None) -> Attack:
    """Bring the study of shards into every state that is attacked."""
    return _prepared(scratch, WIDE, aim)


def prepare_audit(scratch: Path, aim: Aim | None = None) -> Attack:
    """Bring the study that audits its pictures into every state that is attacked."""
    return _prepared(scratch, AUDIT, aim)


def prepare_episodes(scratch: Path, aim: Aim | None = None) -> Attack:
    """Bring the study that trains on episodes into every state that is attacked."""
    return _prepared(scratch, EPISODES, aim)


def _prepared(scratch: Path, besieged: Scene, aim: Aim | None) -> Attack:
    pictures = besieged.draw(scratch / "pictures")
    with _quiet():
        besieged.run(pictures, scratch / "finished")
        for state, kinds in besieged.kept.items():
            for kind in kinds:
                if (scratch / "finished" / "cache" / kind).exists():
                    shutil.copytree(scratch / "finished" / "cache" / kind, scratch / state / "cache" / kind)
        for moment, function in besieged.moments.items():
            scene.interrupt(pictures, scratch / moment, function, besieged.run)
            for kind in besieged.spared:
                if not (scratch / moment / "cache" / kind).exists():
                    shutil.copytree(scratch / "finished" / "cache" / kind, scratch / moment / "cache" / kind)
    _interrupt_everywhere(pictures, scratch, besieged)
    wanted = scene.results(scratch / "finished")
    stored = {s: _stored(scratch / s, "out" if s == "finished" else "") for s in besieged.states}
    turns = Turns(stored, aim)

    def attack(seed: int) -> list[str]:
        """Damage the files whose turn it is; in another state if the first of them was not read in this one."""
        found: list[str] = []
        for number, (state, files) in enumerate(turns(seed)):
            now = strokes(state, files, random.Random(seed), scratch / f"attempt-{seed}-{number}")
            found += now
            if not now[0].endswith(UNSEEN):
                break
        return found

    def strokes(state: str, files: Files, draw: random.Random, place: Path) -> list[str]:
        shutil.copytree(scratch / state, place)
        try:
            everything = [place / path for paths in turns.stored[state].values() for path in paths]
            struck = [_struck(kind, place / path, draw, everything) for kind, path in files]
            what = "; ".join(f"{one.harm}: {one.path.relative_to(place).as_posix()}" for one in struck)
            said = _survived(partial(besieged.run, pictures, place), place, wanted, f"{state}: {what}")
            return [f"{one.kind}: {_became(one, said)}" for one in struck]
        finally:
            shutil.rmtree(place)

    return attack


def _interrupt_everywhere(pictures: Path, scratch: Path, besieged: Scene) -> None:
    """Bring together what each interruption left, and a second training, so that one attempt damages all of them."""
    second, training = "a second training", besieged.moments.get("a training")
    for first in (scratch / "a training" / "cache" / "trials").glob("*.partial"):
        done = Path("cache") / "trials" / first.stem
        shutil.copytree(scratch / "finished" / done, scratch / second / done)
    if training is not None:
        with _quiet():
            scene.interrupt(pictures, scratch / second, training, besieged.run)
    for state in (*besieged.moments, second):
        for partial_entry in (scratch / state).glob("cache/*/*.partial"):
            there = scratch / EVERYWHERE / partial_entry.relative_to(scratch / state)
            if not there.exists():
                shutil.copytree(partial_entry, there)


@dataclass(frozen=True)
class Struck:
    """A file that was damaged: its kind, how, and what it held before and after that."""

    kind: str
    path: Path
    harm: str
    before: bytes
    damaged: bytes | None


def _struck(kind: str, path: Path, draw: random.Random, others: list[Path]) -> Struck:
    harm, before = draw.choice(sorted(HARMS)), path.read_bytes()
    HARMS[harm](path, draw, others)
    return Struck(kind, path, harm, before, _content(path))


def _became(one: Struck, said: str) -> str:
    """Return what became of a damaged file in a run that ended well and said this."""
    if one.before == one.damaged:
        return UNCHANGED
    entry = re.search(r"[0-9a-f]{32}|runs/[^/]+", one.path.as_posix())
    if (entry is not None and entry[0] in said) or one.path.name in said:
        return "refused" if said.startswith("refused") else "rebuilt with a line"
    return "not read" if _content(one.path) == one.damaged else "replaced"


def _stored(folder: Path, part: str) -> dict[str, list[Path]]:
    """Return the files below a part of a folder that are ever read, by their kind, each by its path in the folder."""
    kinds: dict[str, list[Path]] = {}
    for path in sorted((folder / part).rglob("*")):
        if path.is_file() and not _LOGS.search(path.as_posix()):
            kinds.setdefault(kind_of(path.relative_to(folder).as_posix()), []).append(path.relative_to(folder))
    return kinds


def kind_of(path: str) -> str:
    """Return the kind of a stored file: what is left of its path without keys, names of runs and seeds."""
    name = re.sub(r"[0-9a-f]{32}(\.partial)?", r"*\1", path)
    name = re.sub(r"\d{6,}[^/]*", "*", name)
    return re.sub(r"^out/", "", re.sub(r"seed-\d+", "seed-*", re.sub(r"runs/[^/]+", "runs/*", name)))


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _survived(run: Callable[[], object], place: Path, wanted: dict[str, object], what: str) -> str:
    """Run the study until it ends well, at most twice; compare its results, and return all that it said."""
    told = ""
    for attempt in (1, 2):
        try:
            with _quiet() as said:
                run()
            told += said.getvalue()
            break
        except HeadstartError as error:
            if attempt == 2:
                raise Broken(f"{what}: a dead end: {error}") from error
            told = f"refused: {error}\n"
            if "\n" in str(error):
                raise Broken(f"{what}: not one line: {error}") from error
        except Exception as error:
            raise Broken(f"{what}: {type(error).__name__}: {error}") from error
    if changed := scene.differences(wanted, scene.results(place)):
        raise Broken(f"{what}: {told or 'unnoticed'}, and another result: {changed[:3]}")
    if left := scene.stale(place):
        raise Broken(f"{what}: {told or 'unnoticed'}, and left {left[:5]}")
    return told


@contextlib.contextmanager
def _quiet():  # type: ignore[no-untyped-def]
    with contextlib.redirect_stderr(io.StringIO()) as said, contextlib.redirect_stdout(io.StringIO()):
        yield said
