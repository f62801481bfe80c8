"""headstart: a workbench for transfer learning in image classification."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from headstart.notebook import import_bars_quietly, show_with
from headstart.version import VERSION

if TYPE_CHECKING:
    from headstart.api import Study, compare
    from headstart.data.dataset import Dataset
    from headstart.data.sources.load import load_dataset
    from headstart.deploy.classifier import Classifier
    from headstart.errors import HeadstartError
    from headstart.estimator import ImageClassifier
    from headstart.labelled_images import audit_images, evaluate_fewshot
    from headstart.labelling.embeddings import embed
    from headstart.labelling.folder_session import label_session
    from headstart.labelling.image_map import map_images
    from headstart.labelling.review.open_review import review_session
    from headstart.labelling.similar import most_similar
    from headstart.models.create import create_backbone
    from headstart.saved_models import (
        benchmark,
        evaluate_models,
        explain_images,
        export,
        measure_drift,
        update_study,
    )

__version__ = VERSION

_WHERE = {
    "Classifier": "headstart.deploy.classifier",
    "Dataset": "headstart.data.dataset",
    "HeadstartError": "headstart.errors",
    "ImageClassifier": "headstart.estimator",
    "Study": "headstart.api",
    "audit_images": "headstart.labelled_images",
    "benchmark": "headstart.saved_models",
    "compare": "headstart.api",
    "create_backbone": "headstart.models.create",
    "embed": "headstart.labelling.embeddings",
    "evaluate_fewshot": "headstart.labelled_images",
    "evaluate_models": "headstart.saved_models",
    "explain_images": "headstart.saved_models",
    "export": "headstart.saved_models",
    "label_session": "headstart.labelling.folder_session",
    "load_dataset": "headstart.data.sources.load",
    "map_images": "headstart.labelling.image_map",
    "measure_drift": "headstart.saved_models",
    "most_similar": "headstart.labelling.similar",
    "review_session": "headstart.labelling.review.open_review",
    "update_study": "headstart.saved_models",
}

__all__ = [
    "Classifier",
    "Dataset",
    "HeadstartError",
    "ImageClassifier",
    "Study",
    "audit_images",
    "benchmark",
    "compare",
    "create_backbone",
    "embed",
    "evaluate_fewshot",
    "evaluate_models",
    "explain_images",
    "export",
    "label_session",
    "load_dataset",
    "map_images",
    "measure_drift",
    "most_similar",
    "review_session",
    "update_study",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'headstart' has no attribute {name!r}")
    return getattr(importlib.import_module(_WHERE[name]), name)


def _drawn(value: Any) -> str:
    found: str = importlib.import_module("headstart.report.render.notebook.by_class").html_of(value)
    return found


show_with(_drawn)
import_bars_quietly()


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
