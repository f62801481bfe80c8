"""What each stage does under a strategy, and what is refused."""

from __future__ import annotations

import pytest
from tuning_subject import network

from headstart.errors import HeadstartError, ModelError, SpecError
from headstart.transfer.strategy import Strategy, check_size, resolve


def test_a_frozen_prefix_ends_where_it_is_told() -> None:
    resolved = resolve(Strategy("fine_tune", freeze_until="stage1"), network())
    assert resolved.cut == "stage1"
    assert resolved.frozen == ("stem", "stage1")
    assert resolved.trainable == ("stage2", "stage3", "pool")
    assert [group.name for group in resolved.groups] == ["stage2", "stage3"]


def test_a_cut_inside_a_stage_divides_it() -> None:
    tiny = network()
    resolved = resolve(Strategy("fine_tune", freeze_until="stage1.block1"), tiny)
    assert [unit.name for unit in resolved.units] == ["stem", "stage1.block1", "stage1", "stage2", "stage3", "pool"]
    assert resolved.cut == "stage1.block1"
    whole = {id(p) for p in tiny.stages.parameters()}
    assert whole == {id(p) for unit in resolved.units for p in unit.parameters}


def test_train_only_freezes_stages_behind_learned_ones_and_the_cut_lies_before_the_first() -> None:
    resolved = resolve(Strategy("fine_tune", train_only=("stage1", "stage3")), network())
    assert resolved.cut == "stem"
    assert resolved.frozen == ("stem", "stage2", "pool")


def test_a_linear_probe_is_cut_after_the_last_stage() -> None:
    resolved = resolve(Strategy("linear_probe"), network())
    assert resolved.cut == "pool" and resolved.groups == ()


def test_layer_decay_counts_the_stages_between_a_stage_and_the_head() -> None:
    resolved = resolve(Strategy("fine_tune", layer_decay=0.5), network())
    assert {group.name: group.multiplier for group in resolved.groups} == {
        "stem": 0.0625,
        "stage1": 0.125,
        "stage2": 0.25,
        "stage3": 0.5,
    }


def test_gradual_thaws_one_stage_after_another_from_the_end() -> None:
    phases = resolve(Strategy("gradual", thaw_every=2, freeze_until="stem"), network(), epochs=10).phases
    assert [(phase.start, phase.cut) for phase in phases] == [(0, "pool"), (2, "stage2"), (4, "stage1"), (6, "stem")]


def test_gradual_stops_thawing_when_the_epochs_end() -> None:
    phases = resolve(Strategy("gradual", thaw_every=2), network(), epochs=3).phases
    assert [phase.start for phase in phases] == [0, 2]


def test_probing_takes_a_quarter_of_the_epochs_unless_told() -> None:
    assert [p.start for p in resolve(Strategy("lp_ft"), network(), epochs=8).phases] == [0, 2]
    assert [p.start for p in resolve(Strategy("lp_ft", probe_epochs=0), network(), epochs=8).phases] == [0]


def test_truncation_copies_and_the_original_stays() -> None:
    tiny = network()
    resolved = resolve(Strategy("fine_tune", truncate_at="stage2"), tiny)
    assert resolved.backbone.stage_names == ("stem", "stage1", "stage2", "pool")
    assert tiny.stage_names == ("stem", "stage1", "stage2", "stage3", "pool")
    assert not {id(p) for p in tiny.parameters()} & {id(p) for p in resolved.backbone.parameters()}


@pytest.mark.parametrize(
    ("values", "kind", "words"),
    [
        ({"freeze_until": "stage9"}, ModelError, "its stages: input, stem, stage1, stage2, stage3, pool"),
        ({"freeze_until": "pool"}, ModelError, "leaves no stage of tiny to learn; choose 'stage2' or an earlier one"),
        ({"freeze_until": "stage3"}, ModelError, "leaves no stage of tiny to learn"),
        ({"train_only": ("conv1",)}, ModelError, "has no stage 'conv1'"),
        ({"train_only": ("head",)}, SpecError, "train_only names no stage"),
        ({"truncate_at": "stage7"}, ModelError, "has no stage 'stage7'"),
        ({"truncate_at": "stage1", "freeze_until": "stage2"}, ModelError, "has no stage 'stage2'"),
        ({"freeze_until": "stem", "train_only": ("stage1",)}, SpecError, "exclude each other"),
        ({"kind": "scratch", "freeze_until": "stem"}, SpecError, "random weights"),
        ({"kind": "linear_probe", "freeze_until": "stem"}, SpecError, "freezes every stage"),
        ({"kind": "lora", "train_only": ("stem",)}, SpecError, "takes freeze_until"),
        ({"kind": "finetune"}, SpecError, "did you mean 'fine_tune'?"),
        ({"layer_decay": 1.5}, SpecError, "layer_decay"),
        ({"thaw_every": 0}, SpecError, "thaw_every"),
        ({"lora_rank": 0}, SpecError, "lora_rank"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(values: dict[str, object], kind: type[Exception], words: str) -> None:
    with pytest.raises(HeadstartError) as caught:
        resolve(Strategy(**values), network())  # type: ignore[arg-type]
    assert isinstance(caught.value, kind)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_an_image_that_is_too_small_names_the_stage_that_fails() -> None:
    with pytest.raises(ModelError, match=r"tiny cannot take 2 × 2 px images: stage 'stage2' fails .*larger input_size"):
        check_size(network(), 2)


def test_a_lack_of_memory_is_not_taken_for_images_of_a_wrong_size(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise RuntimeError("could not create a primitive")

    backbone = network()
    monkeypatch.setattr(next(backbone.stages.children()), "forward", full)
    with pytest.raises(RuntimeError, match="could not create a primitive"):
        check_size(backbone, 32)
