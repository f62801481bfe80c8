"""SimpleShot: Wang, Chao, Weinberger and van der Maaten 2019, SimpleShot: revisiting nearest-neighbor
classification for few-shot learning (1911.04623), transformation CL2N."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from headstart.fewshot.classifiers.prototypes import euclidean_prototypes
from headstart.fewshot.gram import EpisodeGram


def simpleshot(gram: EpisodeGram) -> Float[Tensor, "b ways q"]:
    """Score by nearest prototype after centring and scaling to length one.

    The centre is the base classes' mean where it is known, as in the paper, else that of the support set.
    """
    return euclidean_prototypes(gram.centred.unit)
