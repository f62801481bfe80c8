"""The episodic classifiers by name."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from headstart.fewshot.classifiers.baseline_plus_plus import baseline_plus_plus
from headstart.fewshot.classifiers.knn import knn
from headstart.fewshot.classifiers.label_propagation import label_propagation
from headstart.fewshot.classifiers.laplacian_shot import laplacian_shot
from headstart.fewshot.classifiers.logistic import logistic
from headstart.fewshot.classifiers.prototypes import cosine_prototypes, euclidean_prototypes
from headstart.fewshot.classifiers.ridge import ridge
from headstart.fewshot.classifiers.simpleshot import simpleshot
from headstart.fewshot.classifiers.tim import tim
from headstart.fewshot.gram import EpisodeGram

# From the inner products of b episodes to scores [b, ways, queries], the higher the better.
Method = Callable[[EpisodeGram], Tensor]

METHODS: dict[str, Method] = {
    "prototypes": euclidean_prototypes,
    "cosine": cosine_prototypes,
    "simpleshot": simpleshot,
    "ridge": ridge,
    "logistic": logistic,
    "knn": knn,
    "baseline++": baseline_plus_plus,
    "label-propagation": label_propagation,
    "laplacian-shot": laplacian_shot,
    "tim": tim,
}

# These see all queries of an episode together; the others classify each on its own.
TRANSDUCTIVE = frozenset({"label-propagation", "laplacian-shot", "tim"})
