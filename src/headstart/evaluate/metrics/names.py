"""The names of measures, as people read them."""

from __future__ import annotations

MEASURES = {
    "accuracy": "accuracy",
    "top5_accuracy": "top-5 accuracy",
    "balanced_accuracy": "balanced accuracy",
    "subset_accuracy": "subset accuracy",
    "label_accuracy": "label accuracy",
    "precision_macro": "macro precision",
    "recall_macro": "macro recall",
    "f1_macro": "macro F1",
    "precision_weighted": "weighted precision",
    "recall_weighted": "weighted recall",
    "f1_weighted": "weighted F1",
    "precision_micro": "micro precision",
    "recall_micro": "micro recall",
    "f1_micro": "micro F1",
    "mcc": "Matthews correlation",
    "roc_auc": "ROC AUC",
    "map": "mean average precision",
    "log_loss": "log loss",
    "brier": "Brier score",
    "ece": "calibration error (ECE)",
    "binned_ece": "binned calibration error",
}


def measure_name(measure: str) -> str:
    """Return the name of a measure inside a sentence; of an unknown one its key, without underscores."""
    return MEASURES.get(measure) or measure.replace("_", " ")
