"""What a run's model costs to use: the pass of its network, all networks of an ensemble, each once."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from headstart.report.read.use import use_of


def record(rate: float | None, total: int, strategy: str = "ridge", **spec: Any) -> Any:
    result = {"cost": {"images_per_second": rate}, "parameters": {"total": total}}
    return SimpleNamespace(spec={"strategy": strategy, **spec}, result=result)


def test_the_time_of_an_image_is_that_of_the_pass_and_the_size_four_bytes_a_parameter() -> None:
    found = use_of({"ridge": [record(50.0, 3_000_000, backbone="a")], "tuned": [record(50.0, 10, "fine_tune")]})
    assert found["ridge"] == {"seconds_per_image": 0.02, "megabytes": 12.0}
    assert found["tuned"]["seconds_per_image"] is None  # the pass was that of its frozen part only


def test_an_ensemble_takes_the_time_of_each_of_its_networks_once() -> None:
    runs = {
        "a ridge": [record(50.0, 1, backbone="a")],
        "a knn": [record(50.0, 1, "knn", backbone="a")],
        "b": [record(20.0, 1, backbone="b")],
        "all": [record(None, 8_000_000, "ensemble", members=["a ridge", "a knn", "b"])],
    }
    assert use_of(runs)["all"]["seconds_per_image"] == pytest.approx(1 / 50 + 1 / 20)
    assert use_of(runs)["all"]["megabytes"] == 32.0


def test_what_is_unknown_of_a_member_is_unknown_of_the_ensemble() -> None:
    runs = {"a": [record(None, 1, backbone="a")], "all": [record(None, 2, "ensemble", members=["a", "gone"])]}
    assert use_of(runs)["all"]["seconds_per_image"] is None
    assert (
        use_of({"all": [record(None, 2, "ensemble", members=["a"])], "a": runs["a"]})["all"]["seconds_per_image"]
        is None
    )
