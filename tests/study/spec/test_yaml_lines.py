from __future__ import annotations

import time

import pytest

from headstart.errors import SpecError
from headstart.study.spec.yaml_lines import MAX_DEPTH, load_yaml, place_of, place_of_run, with_defaults, with_override

TEXT = "a: 1\nb:\n  c: [x, y]\n  d:\n    - e: 2\n"


def test_every_key_and_item_has_its_line() -> None:
    value, lines = load_yaml(TEXT, "f.yaml")
    assert value == {"a": 1, "b": {"c": ["x", "y"], "d": [{"e": 2}]}}
    assert lines == {
        (): 1,
        ("a",): 1,
        ("b",): 2,
        ("b", "c"): 3,
        ("b", "c", 0): 3,
        ("b", "c", 1): 3,
        ("b", "d"): 4,
        ("b", "d", 0): 5,
        ("b", "d", 0, "e"): 5,
    }


def test_the_line_of_an_unknown_path_is_that_of_its_nearest_ancestor() -> None:
    _, lines = load_yaml(TEXT, "f.yaml")
    assert place_of("f", ("b", "d", 0, "z", "y"), lines) == "f, line 5"
    assert place_of("f", ("b", "z"), lines) == "f, line 2"
    assert place_of("f", ("z",), lines) == "f, line 1"
    assert place_of("f", ("z",), {}) == "f"


def test_an_empty_file_has_no_lines() -> None:
    assert load_yaml("", "f.yaml") == (None, {})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\nb: 2\na: 3\n", "f.yaml, line 3: 'a' is repeated (first in line 1)"),
        ("r:\n  a: 1\n  a: 3\n", "f.yaml, line 3: 'a' is repeated (first in line 2)"),
        ("a: 1\nb: ]\n", "f.yaml, line 2: this is not YAML: did not find expected node content"),
        ("a: \x00", "f.yaml: this is not YAML: "),
    ],
)
def test_a_mistake_is_named_with_its_line(text: str, says: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_yaml(text, "f.yaml")
    assert str(caught.value).startswith(says.partition("did not")[0]) and "\n" not in str(caught.value)


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGES = "a: &a {k: 1}\n" + "".join(
    f"{new}: &{new} {{<<: [{', '.join([f'*{old}'] * 9)}]}}\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (LAUGHS, r"line \d+: the file has more than 50,000 values, an alias counted as often as it is used"),
        (MERGES, r"line \d+: .*(50,000 values|repeated)"),
        ("a: 1\nb: " + "[" * 100_000, r"line 2: .*nest(ed|ing)"),
        ("a: 1\nb: " + "{x: " * 100_000, "line 2: is nested more than 40 levels deep"),
        ("".join(" " * n + "a:\n" for n in range(900)), "line 41: is nested more than 40 levels deep"),
        ("a: &a [*a]\n", "line 1: .*(deep by its aliases|recursive)"),
        ("x: " + "y" * (1 << 20), "has 1,048,579 characters, more than 1,048,576"),
        ("a: 1\nb: 2020-99-99\n", r"line 2: 2020-99-99 cannot be read \(month must be in 1..12\)"),
        ("a: 1\nb: " + "9" * 5000, "line 2: 9{40} cannot be read"),
        ("a: 1\n? [x]\n: 2\n", "line 2: a key is a word, not a list or a mapping"),
        ("a: 1\nb: !!python/object/apply:os.system [x]\n", "line 2: this is not YAML"),
        ("a: \0", "not YAML"),
        ("a: *b", "line 1: this is not YAML"),
    ],
)
def test_a_hostile_text_is_refused_by_line_within_a_second(text: str, says: str) -> None:
    began = time.process_time()
    with pytest.raises(SpecError, match=rf"^f\.yaml.*{says}") as told:
        load_yaml(text, "f.yaml")
    assert time.process_time() - began < 1
    assert "\n" not in str(told.value) and len(str(told.value)) < 400


def test_aliases_and_merges_within_the_bounds_are_read() -> None:
    value, lines = load_yaml("a: &a {x: 1}\nb: *a\nc: {<<: *a, y: 2}\n", "f.yaml")
    assert value == {"a": {"x": 1}, "b": {"x": 1}, "c": {"x": 1, "y": 2}}
    assert lines["b", "x"] == 1 and lines["c", "y"] == 3
    assert place_of("f.yaml", ("b", "z"), lines) == "f.yaml, line 2" and place_of("f", ("z",), {}) == "f"


def test_a_text_of_40_levels_is_read() -> None:
    load_yaml("[" * MAX_DEPTH + "]" * MAX_DEPTH, "f.yaml")


def test_an_override_replaces_the_lines_of_a_value_and_of_all_in_it() -> None:
    lines = {("a",): 1, ("a", "b"): 2, ("a", "b", "c"): 3, ("d",): 4}
    found = with_override(lines, ("a", "b"), "a.b={}")
    assert set(found) == {("a",), ("a", "b"), ("d",)}
    assert place_of("file", ("a", "b", "x"), found) == "file, override a.b={}"
    assert place_of("file", ("a", "x"), found) == "file, line 1" and place_of("file", ("d",), found) == "file, line 4"


def test_an_override_inside_of_a_value_is_named_beside_the_line_of_the_value() -> None:
    lines = with_override({(): 1, ("a",): 2, ("a", "b"): 3, ("d",): 4}, ("a", "b", "c"), "a.b.c=1")
    assert place_of("f", ("a", "b"), lines) == "f, line 3, with a.b.c=1"
    assert place_of("f", ("a",), lines) == "f, line 2, with a.b.c=1"
    assert place_of("f", ("a", "b", "x"), lines) == "f, line 3" and place_of("f", ("d",), lines) == "f, line 4"


def test_a_value_that_only_an_override_made_is_not_blamed_on_a_line() -> None:
    lines = with_override({(): 1, ("runs",): 2}, ("runs", "b", "recipe", "lr"), "runs.b.recipe.lr=0.1")
    for path in (("runs", "b"), ("runs", "b", "backbone"), ("runs", "b", "recipe", "x")):
        assert place_of("f", path, lines) == "f, override runs.b.recipe.lr=0.1"
    assert place_of("f", ("name",), lines) == "f, line 1"


def test_the_defaults_are_settings_of_every_run_that_has_none_of_its_own() -> None:
    lines = with_override({("defaults",): 2, ("runs", "a"): 5, ("runs", "a", "lr"): 6}, ("defaults", "lr"), "lr=1")
    lines = with_override(lines, ("defaults", "k"), "k=2")
    known = with_defaults("a", lines)
    assert place_of("f", ("runs", "a", "lr"), known) == "f, line 6"
    assert place_of("f", ("runs", "a", "k"), known) == "f, override k=2"
    assert place_of_run("f", "a", lines) == "f, line 5, with k=2"
