"""How each kind of block is run: Python as Python, commands as commands, study files loaded and planned."""

from __future__ import annotations

import contextlib
import doctest
import io
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from sybil import Example

from headstart.api import Study
from headstart.cli import main as command_line
from headstart.errors import DataAbsent, MissingExtra, WeightsAbsent
from headstart.storage.opening import default_store
from headstart.study.planning.planner import make_plan
from headstart.study.resources import Resources
from headstart.study.spec.run import ResolvedStudy
from headstart.study.spec.schema import RunSpec, StudySpec
from tests.docs.blocks import Block, UnrunnableError

REPOSITORY = Path(__file__).parents[2]
BASE: dict[str, Any] = {
    "name": "page",
    "data": {"source": "photos/"},
    "runs": {"pixels": {"backbone": "pixels"}},
}
UNAVAILABLE = (DataAbsent, WeightsAbsent, MissingExtra)


class Runner:
    """Runs the blocks of one page, top to bottom, in the current folder.

    Args:
        setting: sets an environment variable until the page is done.
    """

    def __init__(self, setting: Callable[[str, str], None]) -> None:
        self.setting, self.printed = setting, ""

    def __call__(self, example: Example) -> None:
        """Run one block.

        Raises:
            AssertionError, UnrunnableError, …: whatever goes wrong.
        """
        block: Block = example.parsed
        if "file" in block.options:
            Path(block.options["file"]).write_text(block.body, encoding="utf-8")
        if block.language in ("python", "setup"):
            code = compile("\n" * (example.line - 1) + block.body, example.path, "exec")
            with captured() as printed:
                exec(code, example.namespace)
            self.printed = printed.getvalue() if block.language == "python" else self.printed
        elif block.language == "pycon":
            run_session(block.body, example)
        elif block.language == "bash":
            with captured() as printed:
                run_commands(block, self.setting)
            self.printed = printed.getvalue()
        elif block.language == "yaml":
            load_fragment(block)
        elif "prints" in block.options:
            compare(block.body, self.printed)


@contextlib.contextmanager
def captured() -> Iterator[io.StringIO]:
    """Collect what is printed; of a failing block it is shown."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        yield printed


def compare(shown: str, printed: str) -> None:
    """Refuse output that is not what the page shows; "…" stands for anything."""
    wanted = ".*?".join(re.escape(part) for part in shown.strip().split("…"))
    assert re.fullmatch(wanted, printed.strip(), re.DOTALL), f"the page shows:\n{shown}\nbut it printed:\n{printed}"


def run_session(text: str, example: Example) -> None:
    """Run an interactive session and compare what it shows."""
    test = doctest.DocTestParser().get_doctest(text, example.namespace, example.path, example.path, example.line)
    said = io.StringIO()
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False)
    runner.run(test, out=said.write, clear_globs=False)
    example.namespace.update(test.globs)
    assert not runner.failures, said.getvalue()


def run_commands(block: Block, setting: Callable[[str, str], None]) -> None:
    """Run a block of commands, one after the other; each must succeed."""
    lines = block.body.replace("\\\n", " ").splitlines()
    for line in lines:
        words = shlex.split(line, comments=True)
        while words:
            command = words[: words.index("&&")] if "&&" in words else words
            words = words[len(command) + 1 :]
            run_command(command, block.options, setting)


def run_command(words: list[str], options: Mapping[str, str], setting: Callable[[str, str], None]) -> None:
    """Run one command: `headstart` itself; of pip, Python and pytest it is checked that what they name is there."""
    while re.match(r"[A-Z_]+=", words[0]):
        setting(*words.pop(0).split("=", 1))
    program, *arguments = words
    if program == "headstart":
        if "parse only" in options:
            parse(arguments)
        else:
            more = options.get(f"with {arguments[0]}", options.get("with", ""))
            headstart([*arguments, *shlex.split(more)])
    elif program == "pip":
        check_extras(arguments)
    elif program in ("python", "pytest", "cd"):
        for name in arguments:
            if "/" in name and not name.startswith("-"):
                assert (REPOSITORY / name).exists(), f"{name} is not in the repository"
    elif program not in ("git", "pre-commit", "curl", "jupyter"):
        raise UnrunnableError(f"{program}: no command that a page may use")


def headstart(arguments: list[str]) -> None:
    """Run the command line; it must end with status 0."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            command_line.main(arguments)
    except SystemExit as end:
        assert not end.code, f"headstart {shlex.join(arguments)} ended with status {end.code}: {said.getvalue()}"


def parse(arguments: list[str]) -> None:
    """Check a command against the command line, without running it."""
    import typer.main

    root = typer.main.get_command(command_line.app)
    with root.make_context("headstart", list(arguments), resilient_parsing=False) as context:
        name, verb, rest = root.resolve_command(context, [*context._protected_args, *context.args])  # type: ignore[attr-defined]
        assert verb is not None, f"no verb {name}"
        verb.make_context(name, rest, parent=context)


def check_extras(arguments: list[str]) -> None:
    """Refuse an extra that the package does not have."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for word in arguments:
        found = re.fullmatch(r"(?:\.|headstart)\[([\w,]+)\]", word)
        for extra in found[1].split(",") if found else ():
            assert extra in project["optional-dependencies"], f"{word}: no extra {extra!r}"


def load_fragment(block: Block) -> ResolvedStudy:
    """Load a study file, or a part of one laid on the page's base, and plan it where its images are at hand.

    A part is some keys of a study, the keys of one run, or runs by name.
    """
    found = yaml.safe_load(block.body)
    if "name" in found and "runs" in found:
        study = found
    else:
        base = block.options.get("base")
        study = yaml.safe_load(Path(base).read_text(encoding="utf-8")) if base else {**BASE}
        if set(found) <= set(StudySpec.model_fields):
            runs = found.get("runs", {}) if base is None else {**study["runs"], **found.get("runs", {})}
            study = {**study, **found, "runs": runs or study["runs"]}
        elif set(found) <= {*RunSpec.model_fields, "trials"}:
            study = {**study, "runs": {**study["runs"], "the page's": found}}
        else:
            study = {**study, "runs": {**study["runs"], **found}}
    resolved = Study(study)
    with contextlib.suppress(*UNAVAILABLE):
        make_plan(resolved.study, Resources(default_store(), "cpu"))
    return resolved.study
