"""What the user typed: run by Typer, refused in one line, and as the reports show it."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import typer
import typer.main
from typer.core import TyperCommand

from headstart.disclosure import disclosable, typed
from headstart.errors import SpecError

# Typer has a copy of Click in some versions and imports it in others.
_CLICK_ERROR: type[Exception] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")

F = TypeVar("F", bound=Callable[..., Any])

_SEVERAL = re.compile(r"<list\[(\w+)\]>")  # the type, as Typer writes it, of what may be given several times
_PARSED = re.compile(r", unable to parse string as an? \w+")  # what follows "must be a valid integer"


class Verb(TyperCommand):
    """A command whose help shows no list types of Python."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments and options."""
        write = formatter.write_dl
        formatter.write_dl = lambda rows, *rest, **options: write(
            [(_several(name), words) for name, words in rows], *rest, **options
        )
        super().format_options(ctx, formatter)


class Verbs(typer.Typer):
    """The commands, each of them a `Verb`."""

    def command(self, name: str | None = None, **options: Any) -> Callable[[F], F]:
        """Add a function as a command."""
        return super().command(name, cls=Verb, **options)


def _several(name: str) -> str:
    """Return a name in the help with a plain type: `--method <str>`, `images... <str>`, `KEY=VALUE...`."""
    if "=" in name:
        return _SEVERAL.sub("...", name).replace(" ...", "...")
    return _SEVERAL.sub(lambda found: f"<{found[1].lower()}>", name).replace(" range>", ">")


def run_typer(app: typer.Typer, arguments: list[str] | None) -> None:
    """Run a command, and end the process with its status where that is not 0.

    Raises:
        SpecError: an unknown verb or option, a missing argument, or a value of the wrong kind, with where to look.
    """
    try:
        status = _built(app)(arguments, standalone_mode=False)
    except _CLICK_ERROR as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()  # type: ignore[attr-defined]
            sys.exit(2)
        raise SpecError(_in_one_line(error)) from error
    sys.exit(status if isinstance(status, int) else 0)


@cache
def _built(app: typer.Typer) -> Callable[..., object]:
    """Return the command that Typer makes of all verbs, which takes a tenth of a second: once, not at each call."""
    return typer.main.get_command(app)


def typed_command() -> str:
    """Return the command that the user typed, without credentials and home folder."""
    return disclosable(typed(["headstart", *sys.argv[1:]]))


def _in_one_line(error: Exception) -> str:
    said = " ".join(error.format_message().split()).removesuffix(".")  # type: ignore[attr-defined]
    said = _PARSED.sub("", said.replace(": Input should be ", ": must be "))
    context = getattr(error, "ctx", None)
    helped = f"; see '{context.command_path} --help'" if context is not None else ""
    return f"{said[:1].lower()}{said[1:]}{helped}"
