"""What the user typed: run by Typer, refused in one line, and as the reports show it."""

from __future__ import annotations

import shlex
import sys

import typer

from headstart.disclosure import disclosable
from headstart.errors import SpecError

# Typer has a copy of Click in some versions and imports it in others.
_CLICK_ERROR: type[Exception] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


def run_typer(app: typer.Typer, arguments: list[str] | None) -> None:
    """Run a command, and end the process with its status where that is not 0.

    Raises:
        SpecError: an unknown verb or option, a missing argument, or a value of the wrong kind, with where to look.
    """
    try:
        status = app(arguments, standalone_mode=False)
    except _CLICK_ERROR as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()  # type: ignore[attr-defined]
            sys.exit(2)
        raise SpecError(_in_one_line(error)) from error
    sys.exit(status if isinstance(status, int) else 0)


def typed_command() -> str:
    """Return the command that the user typed, without credentials and home folder."""
    return disclosable(shlex.join(["headstart", *sys.argv[1:]]))


def _in_one_line(error: Exception) -> str:
    said = " ".join(error.format_message().split()).removesuffix(".")  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    helped = f"; see '{context.command_path} --help'" if context is not None else ""
    return f"{said[:1].lower()}{said[1:]}{helped}"
