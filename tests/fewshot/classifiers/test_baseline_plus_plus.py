from __future__ import annotations

import numpy as np
import torch
from episode_scene import SHOTS, TARGETS, WAYS, scene, unit

from headstart.fewshot.classifiers.baseline_plus_plus import baseline_plus_plus

SCENE = scene()


def test_baseline_plus_plus_equals_automatic_differentiation() -> None:
    found = baseline_plus_plus(SCENE.gram(), 8.0, 10, 0.05, 0.9).numpy()
    for i in range(10):
        support, query = (torch.from_numpy(unit(part)) for part in SCENE.episode(i))
        start = torch.nn.functional.normalize(support.view(WAYS, SHOTS, -1).mean(dim=1), dim=1)
        weights = start.clone().requires_grad_()
        optimizer = torch.optim.SGD([weights], lr=0.05, momentum=0.9)
        for _ in range(10):
            logits = 8.0 * support @ torch.nn.functional.normalize(weights, dim=1).T
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(logits, torch.from_numpy(TARGETS)).backward()
            optimizer.step()
        expected = 8.0 * query @ torch.nn.functional.normalize(weights.detach(), dim=1).T
        np.testing.assert_allclose(found[i].T, expected.numpy(), atol=1e-3)
