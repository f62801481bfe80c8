"""Reads YAML with the line of every key, so that a message can name the line of a mistake.

A text is read within bounds: its length, how deep it is nested, and how many values it has where an alias counts as
often as it is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from headstart.errors import SpecError

Path = tuple[str | int, ...]

MAX_TEXT = 1 << 20  # characters
MAX_DEPTH = 40
MAX_VALUES = 50_000
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_yaml(text: str, name: str) -> tuple[Any, dict[Path, int]]:
    """Return (the value, the line of every key and item by its path).

    Raises:
        SpecError: the text is not YAML, is out of bounds, or a key is repeated; with the line.
    """
    if len(text) > MAX_TEXT:
        raise SpecError(f"{name}: has {len(text):,} characters, more than {MAX_TEXT:,}")
    loader = None
    try:
        _check_depth(text, name)
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None, {}
        reader = _Reader(loader, name)
        reader.walk(node, ())
        return loader.construct_document(node), reader.lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise SpecError(f"{name}, line {line}: this is not YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise SpecError(f"{name}: this is not YAML: {' '.join(str(error).split())}") from error
    except (ValueError, TypeError, ArithmeticError, RecursionError) as error:  # of constructing values
        raise SpecError(f"{name}: this is not YAML: {' '.join(str(error).split()):.200}") from error
    finally:
        if loader is not None:
            loader.dispose()


def _check_depth(text: str, name: str) -> None:
    """Refuse what is nested so deeply that nobody wrote it, before anything follows the nesting."""
    depth = 0
    events: Any = yaml.parse(text, Loader=_Loader)
    for event in events:
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                mark = event.start_mark
                line = mark.line + 1 if mark else 1
                raise SpecError(f"{name}, line {line}: is nested more than {MAX_DEPTH} levels deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


class _Reader:
    """Goes through every value of a text, as often as it is used.

    Args:
        loader: makes a value of a node.
        name: of the file, for messages.
    """

    def __init__(self, loader: Any, name: str) -> None:
        self.loader, self.name = loader, name
        self.lines: dict[Path, int] = {}
        self.seen = 0

    def walk(self, node: yaml.Node, path: Path) -> None:
        """Note the line of a value and of all in it."""
        line = node.start_mark.line + 1
        self.seen += 1
        if self.seen > MAX_VALUES:
            raise SpecError(
                f"{self.name}, line {line}: the file has more than {MAX_VALUES:,} values, an alias counted as often as"
                " it is used"
            )
        if len(path) > MAX_DEPTH:
            raise SpecError(f"{self.name}, line {line}: is nested more than {MAX_DEPTH} levels deep by its aliases")
        self.lines.setdefault(path, line)
        if isinstance(node, yaml.MappingNode):
            self._mapping(node, path)
        elif isinstance(node, yaml.SequenceNode):
            for position, item in enumerate(node.value):
                self.walk(item, (*path, position))
        else:
            self._scalar(node, line)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> None:
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise SpecError(f"{self.name}, line {line}: a key is a word, not a list or a mapping")
            key = str(key_node.value)
            if (*path, key) in self.lines:
                first = self.lines[(*path, key)]
                raise SpecError(f"{self.name}, line {line}: {key!r:.80} is repeated (first in line {first})")
            self.lines[(*path, key)] = line
            self._scalar(key_node, line)
            self.walk(value_node, (*path, key))

    def _scalar(self, node: yaml.Node, line: int) -> None:
        """Make the value once alone, so that the message about one that cannot be made has its line."""
        if node.tag == "tag:yaml.org,2002:merge":
            return
        try:
            self.loader.construct_object(node)
        except yaml.YAMLError:
            raise
        except Exception as error:  # dates and numbers that cannot be
            said = " ".join(str(error).split())
            shown = " ".join(str(node.value).split())
            raise SpecError(f"{self.name}, line {line}: {shown:.40} cannot be read ({said:.100})") from error


class Typed(int):
    """In place of the line of a setting that is not in the file: the override that was typed."""

    text: str

    def __new__(cls, text: str) -> Typed:
        """Return one that is no line of any file."""
        typed = super().__new__(cls, 0)
        typed.text = text
        return typed


def with_override(lines: Mapping[Path, int], path: Path, text: str) -> dict[Path, int]:
    """Return the lines once an override replaced the value at a path, and all that was in it."""
    left = {key: line for key, line in lines.items() if key[: len(path)] != path}
    return {**left, path: Typed(text)}


def place_of(name: str, path: Path, lines: Mapping[Path, int]) -> str:
    """Return what a message begins with: the file's name, and where a path was set, as far as that is known.

    That is the line of the path, with the overrides of what is in it; or the override that set it; or, for a path that
    is nowhere, the same of its nearest ancestor that is somewhere.
    """
    for length in range(len(path), -1, -1):
        place = path[:length]
        line, inside = lines.get(place), _typed_in(place, lines)
        if isinstance(line, Typed):
            return f"{name}, override {line.text:.100}"
        if line is None and inside and place:  # only overrides made it
            return f"{name}, override {', '.join(inside):.200}"
        if line is not None:
            more = f", with {', '.join(inside):.200}" if inside and place == path else ""
            return f"{name}, line {line}{more}"
    return name


def _typed_in(path: Path, lines: Mapping[Path, int]) -> list[str]:
    """Return the overrides of what is in the value at a path."""
    return [
        line.text
        for key, line in lines.items()
        if isinstance(line, Typed) and key[: len(path)] == path and len(key) > len(path)
    ]


def with_defaults(run: str, lines: Mapping[Path, int]) -> dict[Path, int]:
    """Return the lines with those of `defaults` as settings of a run, where the run has none of its own."""
    taken = {("runs", run, *path[1:]): line for path, line in lines.items() if path[:1] == ("defaults",) and path[1:]}
    return {**taken, **lines}


def place_of_run(name: str, run: str, lines: Mapping[Path, int]) -> str:
    """Return the place of a run as `place_of` does, with the overrides of what is in it and of the defaults."""
    return place_of(name, ("runs", run), with_defaults(run, lines))
