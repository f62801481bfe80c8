"""Hooks of MkDocs: the help of each command on the page of commands, and pages that send no request elsewhere."""

from __future__ import annotations

from typing import Any

from typer.testing import CliRunner

MARK = "[every command]"
STARS = ' data-md-component="source"'  # where the theme finds it, it asks api.github.com for the repository's stars


def on_page_markdown(markdown: str, page: Any, **rest: Any) -> str:
    """Put the help texts where a page asks for them."""
    return markdown.replace(MARK, commands()) if MARK in markdown else markdown


def on_post_page(output: str, **rest: Any) -> str:
    """Leave the link to the repository as it is, without a request for its stars."""
    return output.replace(STARS, "")


def on_post_template(output_content: str, **rest: Any) -> str:
    """Do the same with a page of the theme: that of a wrong address."""
    return output_content.replace(STARS, "")


def commands() -> str:
    """Return a section for each command."""
    from headstart.cli.main import app

    names = sorted(each.name or each.callback.__name__.replace("_", "-") for each in app.registered_commands)
    parts = [f"```text\n{help_of()}\n```\n", *(f"## {name}\n\n```text\n{help_of(name)}\n```\n" for name in names)]
    return "\n".join(parts)


def help_of(*name: str) -> str:
    """Return what `headstart NAME --help`, or `headstart --help`, prints at 100 columns."""
    from headstart.cli.main import app

    shown = CliRunner(env={"COLUMNS": "100", "NO_COLOR": "1"}).invoke(app, [*name, "--help"], prog_name="headstart")
    if shown.exit_code:
        raise RuntimeError(f"headstart {' '.join(name)} --help ended with {shown.exit_code}: {shown.output}")
    return shown.output.strip()
