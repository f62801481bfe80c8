"""The fast forms of the sieges by hostile input; `python -m tests.siege images --count 100000` is a long one."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.siege import archives, bundles, images, manifests, specs, weights
from tests.siege.guarded import Guarded
from tests.siege.mutators import BYTES, damaged
from tests.siege.siege import Broken, Outcome, Prepare, besiege

pytestmark = pytest.mark.long


def outcome_of(prepare: Prepare, scratch: Path, count: int) -> Outcome:
    outcome = besiege(prepare, scratch, range(count))
    assert outcome.failures == {} and outcome.attempts == count
    return outcome


def test_mutated_images_are_refused_or_kept(tmp_path: Path) -> None:
    outcome = outcome_of(images.prepare, tmp_path, 400)
    assert outcome.ended["refused"] + outcome.ended["refused when looked at"] > outcome.attempts // 3
    checked = sum(count for how, count in outcome.ended.items() if how.startswith("changed: PNG"))
    assert checked == 0  # a PNG has checksums


@pytest.mark.parametrize("prepare", [archives.prepare, manifests.prepare, specs.prepare], ids=lambda p: p.__module__)
def test_mutated_sources_and_studies_are_refused_or_read(
    prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    outcome_of(prepare, tmp_path, 150)


def test_altered_bundles_are_refused_or_give_the_same_predictions(tmp_path: Path) -> None:
    assert outcome_of(bundles.prepare, tmp_path, 150).ended["refused"] > 0


def test_mutated_weights_are_refused_or_read(tmp_path: Path) -> None:
    outcome_of(weights.prepare, tmp_path, 150)


def _hostile(given: str) -> str:
    if given == "hang":
        while True:
            pass
    if given == "memory":
        return str(len(bytes(3 << 30)))
    if given == "escape":
        raise KeyError("x")
    return given


@pytest.mark.parametrize(
    ("given", "says"), [("hang", "hung for over 1 s"), ("memory", "Memory"), ("escape", "KeyError")]
)
def test_a_hang_a_lack_of_memory_and_an_escape_are_failures(given: str, says: str) -> None:
    guarded = Guarded(_hostile, seconds=1.0)
    with pytest.raises(Broken, match=says):
        guarded(given)
    assert guarded("fine") == "fine"
    guarded.close()


def test_mutations_are_seeded() -> None:
    data = bytes(range(256)) * 4
    assert damaged(data, random.Random(3)) == damaged(data, random.Random(3)) != data
    assert {len(damaged(data, random.Random(seed))) for seed in range(200)} > {1024, 1028}
    assert len(BYTES) == 9
