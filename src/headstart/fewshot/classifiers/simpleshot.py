"""SimpleShot: Wang, Chao, Weinberger and van der Maaten 2019, SimpleShot: revisiting nearest-neighbor
classification for few-shot learning (1911.04623)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from headstart.fewshot.classifiers.prototypes import euclidean_prototypes
from headstart.fewshot.gram import EpisodeGram


def simpleshot(gram: EpisodeGram) -> Float[Tensor, "b ways q"]:
    """Score by nearest prototype after centring on the base classes' mean and scaling to length one (CL2N).

    Without a base mean, features are scaled only (the paper's L2N).
    """
    return euclidean_prototypes(gram.centred.unit)
