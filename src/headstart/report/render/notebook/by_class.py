"""What shows each object in a notebook."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from markupsafe import Markup

from headstart.audit.audit import Audit
from headstart.data.dataset import Dataset
from headstart.deploy.classifier import Prediction, Predictions
from headstart.explain.compare import Explained
from headstart.fewshot.evaluation import FewShotResult
from headstart.report.render.notebook.data import audit_html, dataset_html
from headstart.report.render.notebook.predictions import explained_html, prediction_html, predictions_html
from headstart.report.render.notebook.studies import drift_html, evaluation_html, fewshot_html, plan_html
from headstart.study.evaluation import Evaluation
from headstart.study.planning.describe import PlanRows
from headstart.study.unlabelled import DriftReport

RENDERERS: Mapping[type, Callable[[Any], Markup]] = {
    Audit: audit_html,
    Dataset: dataset_html,
    DriftReport: drift_html,
    Evaluation: evaluation_html,
    Explained: explained_html,
    FewShotResult: fewshot_html,
    PlanRows: plan_html,
    Prediction: prediction_html,
    Predictions: predictions_html,
}


def html_of(value: Any) -> str:
    """Return the HTML of an object that is `Shown`; nothing in it needs a network or a script."""
    return str(RENDERERS[type(value)](value))
