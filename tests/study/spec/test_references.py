from __future__ import annotations

from typing import Any

import pytest

from headstart.errors import SpecError
from headstart.study.spec.load import load_study

RUNS: dict[str, Any] = {
    "a": {},
    "b": {"strategy": "ridge"},
    "pixels": {"backbone": "pixels", "strategy": "ridge"},
    "other": {"data": "elsewhere"},
    "few": {"episodes": {}},
}


def load(**more: Any) -> None:
    load_study({"name": "s", "data": "d", "runs": RUNS, **more})


@pytest.mark.parametrize(
    "more",
    [
        {"ensembles": {"both": ["a", "b"], "with pixels": ["a", "pixels"]}},
        {"explain": {"pairs": [["a", "b"]]}},
        {"similarity": {"stages": [["a", "other"]], "sources": ["other"]}},
    ],
)
def test_what_fits_is_accepted(more: dict[str, Any]) -> None:
    load(**more)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"ensembles": {"a": ["a", "b"]}}, "ensembles.a: a run already has this name; choose another"),
        ({"ensembles": {"e": ["a", "bb"]}}, "ensembles.e: unknown run 'bb'"),
        ({"ensembles": {"e": ["a", "few"]}}, "run 'few' evaluates episodes and produces no classifier"),
        ({"ensembles": {"e": ["a", "other"]}}, "'a' and 'other' are tested on different images"),
        ({"ensembles": {"e": ["a", "b", "a"]}}, "ensembles.e: names a run twice"),
        ({"explain": {"pairs": [["a", "c"]]}}, "explain.pairs: unknown run 'c'"),
        ({"explain": {"pairs": [["pixels", "a"]]}}, "run 'pixels' has no network; it uses raw pixels"),
        ({"explain": {"pairs": [["a", "few"]]}}, "run 'few' evaluates episodes and produces no classifier"),
        ({"explain": {"pairs": [["a", "other"]]}}, "'a' and 'other' have no test images in common"),
        ({"similarity": {"stages": [["a", "pixels"]]}}, "similarity.stages: run 'pixels' has no network"),
        ({"similarity": {"sources": ["a"]}}, "run 'a' learns from the study's own images"),
        ({"similarity": {"sources": ["few"]}}, "run 'few' learns from the study's own images"),
        ({"similarity": {"sources": ["none"]}}, "similarity.sources: unknown run 'none'"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_key(more: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecError) as caught:
        load(**more)
    assert says in str(caught.value) and str(caught.value).startswith("study: ")
