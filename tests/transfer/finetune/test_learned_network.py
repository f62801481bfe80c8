"""The trained part of a network: the same logits as the whole network, from whichever cut the inputs come."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tuning_subject import Pictures, job, network

from headstart.models.preprocessing import normalise
from headstart.transfer.finetune.assembly import make_learner, new_head
from headstart.transfer.finetune.recipe import Recipe
from headstart.transfer.strategy import Strategy, resolve


@pytest.mark.parametrize("freeze_until", [None, "stage1", "stage1.block1"])
@pytest.mark.parametrize("stored", [True, False])
def test_logits_are_those_of_the_whole_network(freeze_until: str | None, stored: bool, tmp_path: Path) -> None:
    made = job(tmp_path, Strategy("fine_tune", freeze_until=freeze_until), store_activations=stored)
    learner, _ = make_learner(made, "cpu")
    with torch.no_grad():
        learner.network.head.weight.normal_(generator=torch.Generator().manual_seed(0))  # type: ignore[operator, union-attr]
    learner.network.eval()
    batch = next(iter(learner.batches))
    whole, rows = network().eval(), learner.batches.order.batches(0)[0]
    pixels = torch.from_numpy(Pictures().pixels[rows]).permute(0, 3, 1, 2)
    with torch.no_grad():
        expected = learner.network.head(whole(normalise(pixels, whole.preprocessing)))
        found = learner.network.logits(batch.inputs, training=True)
    assert torch.allclose(found, expected, atol=1e-4)


def test_a_phase_decides_what_takes_gradients_and_what_is_in_training_mode(tmp_path: Path) -> None:
    made = job(tmp_path, Strategy("gradual", thaw_every=2), Recipe(epochs=6, batch_size=8))
    made_network = make_learner(made, "cpu")[0].network

    def learned() -> set[str]:
        named = made_network.resolved.backbone.stages.named_parameters()
        return {name.split(".")[0] for name, parameter in named if parameter.requires_grad}

    seen = []
    for epoch in (0, 1, 2, 4):
        made_network.enter(epoch)
        seen.append((learned(), made_network.resolved.backbone.stages[3].training))
    assert seen == [(set(), False), (set(), False), ({"stage3"}, True), ({"stage2", "stage3"}, True)]
    made_network.eval()
    assert not any(module.training for module in made_network.modules())


def test_a_new_head_is_zero_on_a_pretrained_network_and_small_and_seeded_from_scratch(tmp_path: Path) -> None:
    pretrained = new_head(job(tmp_path), resolve(Strategy("fine_tune"), network()))
    assert not pretrained.weight.any() and not pretrained.bias.any()
    heads = [
        new_head(job(tmp_path, Strategy("scratch"), seed=s), resolve(Strategy("scratch"), network())) for s in (1, 1, 2)
    ]
    assert 0.1 < float(heads[0].weight.detach().abs().max()) <= 0.25  # 1 / sqrt(16)
    assert torch.equal(heads[0].weight, heads[1].weight) and not torch.equal(heads[0].weight, heads[2].weight)
