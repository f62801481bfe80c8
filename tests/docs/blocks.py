"""The blocks of a page: what a reader may copy, and hidden comments that prepare it.

Every fenced block says what it is: `python`, `pycon`, `yaml` (a study file, or a part of one), `bash` (commands) or
`text` (output, a tree of files: nothing to run). Hidden comments stand for what a reader has and a test has not:

    <!-- setup
    draw("photos")
    -->                              Python, run where it stands; see `readers_files.py` for what it may call
    <!-- file: flowers.yaml -->      the next block is saved under this name
    <!-- base: studies/a.yaml -->    the next block is a part of this study
    <!-- with: seeds=1 -->           the next block's `headstart` commands get these arguments too, so that they are
    <!-- with compare: --seeds 1 --> quick enough for a test; the second form is for one verb only
    <!-- parse only: a cluster -->   the next block's commands are parsed and not run, for the reason given
    <!-- prints -->                  the next text block is what the block before it printed; "…" stands for anything
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from sybil import Document, Region

LANGUAGES = ("python", "pycon", "yaml", "bash", "text")
DIRECTIVES = ("setup", "file", "base", "with", "parse only", "prints")
_TOKEN = re.compile(
    r"^<!--(?P<comment>.*?)-->[ \t]*$|^```(?P<language>[^\n]*)\n(?P<body>.*?)^```[ \t]*$", re.DOTALL | re.MULTILINE
)
_INDENTED = re.compile(r"(?<=\n\n)(?: {4}[^\n]*\n)+")


@dataclass
class Block:
    """A block to run.

    Args:
        language: one of LANGUAGES, or "setup".
        body: its text.
        options: the comments before it, by name.
    """

    language: str
    body: str
    options: dict[str, str] = field(default_factory=dict)


class UnrunnableError(Exception):
    """A page has a block of which nothing says how it is to be run."""


def blocks_of(document: Document) -> Iterable[Region]:
    """Yield a region for each block and each setup, in the order of the page."""
    options: dict[str, str] = {}
    for found in _TOKEN.finditer(document.text):
        comment = found["comment"]
        if comment is None:
            language, start = found["language"].strip(), found.start("body")
            if language not in LANGUAGES:
                raise UnrunnableError(f"{_where(document, found.start())}: a block of {language or 'no language'!r}")
            yield Region(start, found.end("body"), Block(language, found["body"], options))
            options = {}
            continue
        name, value = _directive(comment)
        if name == "setup":
            start = found.start("comment") + comment.index(value)
            yield Region(start, start + len(value), Block("setup", value))
        elif name in DIRECTIVES or name.startswith("with "):
            options[name] = value
        elif name:
            raise UnrunnableError(f"{_where(document, found.start())}: unknown comment {name!r}")
    if options:
        raise UnrunnableError(f"{document.path}: no block follows {', '.join(options)}")
    for found in _indented(document.text):
        raise UnrunnableError(f"{_where(document, found)}: an indented block; fence it and say what it is")


def _directive(comment: str) -> tuple[str, str]:
    text = comment.strip()
    if text.startswith("setup\n"):
        return "setup", text.removeprefix("setup\n")
    name, _, value = text.partition(":")
    return name.strip(), value.strip()


def _indented(text: str) -> Iterator[int]:
    """Yield where a block is set off by indentation alone, outside fences, comments and lists."""
    plain = _TOKEN.sub(lambda found: re.sub(r"[^\n]", "x", found[0]), text)
    for found in _INDENTED.finditer(plain):
        before = plain[: found.start()].rstrip().rsplit("\n", 1)[-1]
        if not re.match(r"\s*([-*]|\d+\.)\s", before):
            yield found.start()


def _where(document: Document, place: int) -> str:
    return f"{document.path}:{document.text.count(chr(10), 0, place) + 1}"
