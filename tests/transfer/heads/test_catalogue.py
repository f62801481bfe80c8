"""One place names the heads, and everyone who fits them agrees with it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from headstart.errors import SpecError
from headstart.study.spec.schema import STRATEGIES, RunSpec
from headstart.transfer.heads.catalogue import HEADS, check_options, complete
from headstart.transfer.heads.fit import SOLVERS, TOGETHER


def test_every_head_has_a_solver_and_is_a_strategy() -> None:
    assert SOLVERS.keys() == HEADS.keys() and set(HEADS) <= set(STRATEGIES) and TOGETHER.keys() <= HEADS.keys()


def test_the_kinds_that_depend_on_a_seed_and_those_that_do_not_look_at_the_image() -> None:
    assert [name for name, kind in HEADS.items() if kind.seeded] == ["sgd"]
    assert [name for name, kind in HEADS.items() if kind.baseline] == ["majority"]
    assert [name for name, kind in HEADS.items() if kind.polished] == ["logistic"]
    assert RunSpec(strategy="majority").is_baseline and RunSpec(strategy="ridge", backbone="pixels").is_baseline
    assert not RunSpec(strategy="ridge").is_baseline and not RunSpec(strategy="fine_tune").is_baseline


def test_grids_of_penalties_are_even_on_a_logarithmic_scale() -> None:
    np.testing.assert_allclose(HEADS["ridge"].options["penalty"], np.logspace(-7, 0, 15), rtol=1e-12)
    np.testing.assert_allclose(HEADS["logistic"].options["penalty"], np.logspace(0, -3, 7), rtol=1e-5)


def test_options_are_completed_from_the_defaults() -> None:
    assert complete("prototypes", {"metric": "cosine"}) == {**HEADS["prototypes"].options, "metric": "cosine"}
    check_options("knn", {"half": True, "k": 3})
    with pytest.raises(SpecError, match=r"unknown option of a knn head 'kk'.*did you mean 'k'"):
        check_options("knn", {"kk": 3})
    with pytest.raises(SpecError, match=r"unknown head 'rigde'.*did you mean 'ridge'"):
        check_options("rigde", {})


def test_the_names_are_known_without_torch() -> None:
    program = "import sys, headstart.transfer.heads.catalogue; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
