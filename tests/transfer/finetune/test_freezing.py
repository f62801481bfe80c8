"""What is frozen stays as it is, to the bit; modes and LoRA additions by strategy."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from tuning_subject import network

from headstart.errors import RunFailed
from headstart.transfer.finetune.freezing import check_kept, kept_digests, prepare, set_modes
from headstart.transfer.strategy import Strategy, resolve

FROZEN = Strategy("fine_tune", freeze_until="stage1")


def test_what_was_to_stay_is_checked() -> None:
    resolved, groups = prepare(resolve(FROZEN, network()), 0)
    before = kept_digests(resolved, groups)
    check_kept(resolved, groups, before)
    resolved.backbone.stages[1].block1[1].running_mean.add_(1)  # type: ignore[operator,union-attr,index]
    with pytest.raises(RunFailed, match=r"stage1.block1.1.running_mean changed although frozen"):
        check_kept(resolved, groups, before)


def training_modules(strategy: Strategy, statistics: str = "batch") -> set[str]:
    resolved, groups = prepare(resolve(strategy, network()), 0)
    set_modes(resolved, groups, resolved.phases[-1], statistics=statistics)
    modules = resolved.backbone.stages.named_modules()
    return {name for name, m in modules if m.training and isinstance(m, (nn.BatchNorm2d, nn.Dropout))}


def test_only_what_is_learned_is_in_training_mode() -> None:
    norms = {"stage1.block1.1", "stage1.block2.1", "stage2.0.1", "stage3.1"}
    drops = {"stage1.block1.3", "stage1.block2.3", "stage2.0.3", "stage3.3"}
    assert training_modules(Strategy("fine_tune")) == norms | drops
    assert training_modules(Strategy("fine_tune"), "frozen") == drops
    assert training_modules(FROZEN) == {"stage2.0.1", "stage3.1", "stage2.0.3", "stage3.3"}
    assert training_modules(Strategy("norm_only")) == norms
    assert training_modules(Strategy("lora")) == set()
    assert training_modules(Strategy("linear_probe")) == set()


def test_norms_only_learn_scales_and_shifts() -> None:
    resolved, groups = prepare(resolve(Strategy("norm_only"), network()), 0)
    learned = {id(p) for group in groups for p in group.parameters}
    named = {name for name, p in resolved.backbone.stages.named_parameters() if id(p) in learned}
    assert named == {
        f"{norm}.{kind}"
        for norm in ("stage1.block1.1", "stage1.block2.1", "stage2.0.1", "stage3.1")
        for kind in ("weight", "bias")
    }


def test_additions_change_nothing_at_the_start_and_depend_on_the_seed() -> None:
    plain, images = network().eval(), torch.rand(2, 3, 16, 16)
    made = [prepare(resolve(Strategy("lora", lora_rank=2), network()), seed) for seed in (0, 0, 1)]
    for resolved, groups in made:
        assert torch.allclose(resolved.backbone.eval()(images), plain(images), atol=1e-6)
        assert {group.name for group in groups} == {"stem", "stage1", "stage2", "stage3"}
    first, same, other = ([p for g in groups for p in g.parameters] for _, groups in made)
    assert all(torch.equal(a, b) for a, b in zip(first, same, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_a_parameter_that_vanishes_is_noticed() -> None:
    resolved, groups = prepare(resolve(FROZEN, network()), 0)
    before = kept_digests(resolved, groups)
    del resolved.backbone.stages[1].block1[0]._parameters["weight"]  # type: ignore[union-attr, index]
    with pytest.raises(RunFailed, match="changed although frozen"):
        check_kept(resolved, groups, before)
