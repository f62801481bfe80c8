from __future__ import annotations

import pytest
from exported_models import linear

from headstart.deploy.export.pictures import Material, noise
from headstart.deploy.export.target import Parts
from headstart.models.bundle import Ensemble


@pytest.fixture(scope="session")
def parts() -> Parts:
    """Return one small model whose graph is exported once for all tests."""
    made = Parts(Ensemble((linear(tta="flip_translate"),)), Material(noise()))
    assert made.float_graph.graph.node
    return made
