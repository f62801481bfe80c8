from __future__ import annotations

import pytest

from headstart.errors import SpecError
from headstart.study.spec.yaml_lines import line_of, load_yaml

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
    assert line_of(("b", "d", 0, "z", "y"), lines) == 5
    assert line_of(("b", "z"), lines) == 2
    assert line_of(("z",), lines) == 1
    assert line_of(("z",), {}) is None


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
