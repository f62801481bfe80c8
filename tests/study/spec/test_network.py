from __future__ import annotations

from headstart.study.spec.network import NetworkSpec, Subset


def test_random_weights_follow_the_seed_only_where_they_are_redrawn() -> None:
    assert [NetworkSpec("lenet5").random_seed(seed) for seed in (0, 3)] == [0, 0]
    assert [NetworkSpec("lenet5", redrawn=True).random_seed(seed) for seed in (0, 3)] == [0, 3]


def test_the_default_is_imagenet_and_all_images() -> None:
    assert NetworkSpec("x").weights.name == "imagenet"
    assert (Subset().fraction, Subset().shots) == (None, None)
