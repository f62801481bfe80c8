from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest
import typer

import headstart
from headstart.cli.command_line import run_typer, typed_command
from headstart.cli.main import app
from tests.cli.conftest import Call
from tests.test_promises import options

SOURCE = Path(headstart.__file__).parent
STUDY_VERBS = {"run", "compare"}  # those that run studies, and print what the audit finds
VERBS_OF = {  # a folder or file of the source, and the verbs that print its messages
    "cli/listing.py": {"backbones"},
    "cli/outputs.py": {"run", "compare", "plan", "demo", "audit", "explain"},
    "deploy/serve/": {"serve"},
    "deploy/sorting.py": {"predict"},
    "study/evaluation.py": {"evaluate"},
    "study/": STUDY_VERBS,
}
DECLARED = ("cli/main.py", "cli/options.py", "cli/model_verbs.py", "cli/command_line.py")  # not messages
PROGRAMS = ("deploy/export/", "study/results/export_material.py")  # they write programs with options of their own
OTHER_PROGRAMS = re.compile(r"'ray [^']*|pip install.*|headstart (?P<verb>[a-z]+) (?P<options>[^;,)]*)")


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (["compare", "--foo", "x"], r"no such option: --foo.*; see '.* compare --help'"),
        (["--foo"], r"no such option: --foo.*; see '.* --help'"),
        (["compre"], r"no such command 'compre'.*compare.*; see '.* --help'"),
        (["compare"], r"missing argument 'data'; see '.* compare --help'"),
        (["compare", "a", "b"], r"got unexpected extra argument.*\(b\); see .*"),
        (["compare", "a", "--seeds", "x"], r"invalid value for '--seeds': must be a valid integer; see .*"),
        (["compare", "a", "--seeds", "0"], r"invalid value for '--seeds': must be greater than or equal to 1; see .*"),
        (["compare", "a", "--seeds"], r"option '--seeds' requires an argument.*"),
    ],
)
def test_what_cannot_be_read_is_one_line_and_status_2(call: Call, typed: list[str], says: str) -> None:
    code, out, said = call(*typed)
    assert code == 2 and out == "" and re.fullmatch(f"headstart: {says}\n", said), said


def test_without_a_verb_the_help_is_shown(call: Call) -> None:
    code, _, said = call()
    assert code == 2 and "compare" in said and "Usage" in said


def test_the_status_of_a_command_is_that_of_the_process() -> None:
    small = typer.Typer()

    @small.command()
    def end(status: int) -> None:
        raise typer.Exit(status)

    for status in (0, 3):
        with pytest.raises(SystemExit) as ended:
            run_typer(small, [str(status)])
        assert (ended.value.code or 0) == status


def messages(file: Path) -> set[str]:
    """Return the texts of a module that names an option somewhere, but for docstrings."""
    text = file.read_text(encoding="utf-8")
    tree = ast.parse(text if "--" in text else "")
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    texts = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return {str(node.value) for node in texts if id(node) not in docs}


def test_an_option_that_a_message_names_is_one_of_the_verbs_that_print_it() -> None:
    known: dict[str, set[str]] = {}
    for verb, spelled in options():
        known.setdefault(verb, set()).update(spelled)
    wrong = []
    for file in sorted(SOURCE.rglob("*.py")):
        place = file.relative_to(SOURCE).as_posix()
        own = {file.stem} if place.startswith("cli/") and file.stem in known else set()
        verbs = next((found for start, found in VERBS_OF.items() if place.startswith(start)), own)
        for text in messages(file) if not place.startswith((*DECLARED, *PROGRAMS)) else ():
            for other in OTHER_PROGRAMS.finditer(text):
                if other["verb"] in known:
                    named = set(re.findall(r"--[a-z][a-z0-9-]+", other["options"]))
                    wrong += [f"{place}: {other[0]}"] if named - known[other["verb"]] - {"--help"} else []
            for option in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", OTHER_PROGRAMS.sub("", text)):
                lacking = {verb for verb in verbs if option not in known[verb] | known[""] | {"--help", "--json"}}
                if not verbs and option not in set().union(*known.values()):
                    lacking = {"any verb"}
                wrong += [f"{place}: {option} is not an option of {', '.join(sorted(lacking))}"] if lacking else []
    assert wrong == [], wrong
    assert app.info.name == "headstart"


def test_the_command_is_recorded_as_it_was_typed_without_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = ["run", "my study.yaml", "~runs.a", "track=https://me:hunter2@host", str(Path.home() / "x")]
    monkeypatch.setattr(sys, "argv", ["/usr/bin/headstart", *typed])
    assert typed_command() == "headstart run 'my study.yaml' '~runs.a' track=https://***@host ~/x"
