from __future__ import annotations

from headstart.explain.explainers import EXPLAINERS
from headstart.explain.names import EXPLAINER_NAMES


def test_the_explainers_that_settings_and_help_name_are_those_that_there_are() -> None:
    assert sorted(EXPLAINER_NAMES) == sorted(EXPLAINERS)
