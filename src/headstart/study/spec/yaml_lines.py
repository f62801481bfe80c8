"""Reads YAML with the line of every key, so that a message can name the line of a mistake."""

from __future__ import annotations

from typing import Any

import yaml

from headstart.errors import SpecError

Path = tuple[str | int, ...]


def load_yaml(text: str, name: str) -> tuple[Any, dict[Path, int]]:
    """Return (the value, the line of every key and item by its path).

    Raises:
        SpecError: the text is not YAML, or a key is repeated; with the line.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        lines: dict[Path, int] = {}
        if node is not None:
            _walk(node, (), lines, name)
        return yaml.safe_load(text), lines
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise SpecError(f"{name}, line {line}: this is not YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise SpecError(f"{name}: this is not YAML: {' '.join(str(error).split())}") from error


def _walk(node: yaml.Node, path: Path, lines: dict[Path, int], name: str) -> None:
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key_node, value_node in node.value:
            key = str(key_node.value)
            line = key_node.start_mark.line + 1
            if (*path, key) in lines:
                raise SpecError(f"{name}, line {line}: {key!r} is repeated (first in line {lines[(*path, key)]})")
            lines[(*path, key)] = line
            _walk(value_node, (*path, key), lines, name)
    elif isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            _walk(item, (*path, position), lines, name)


def line_of(path: Path, lines: dict[Path, int]) -> int | None:
    """Return the line of a path, or of its nearest ancestor."""
    while path:
        if path in lines:
            return lines[path]
        path = path[:-1]
    return lines.get(())
