"""Finishes a study when its runs are done."""

from __future__ import annotations

from headstart.study.analysis.best_model import save_best
from headstart.study.analysis.dataset_audit import audit_data
from headstart.study.analysis.dataset_card import write_data
from headstart.study.analysis.image_map import place_test_images
from headstart.study.analysis.learning_curves import learning_curves
from headstart.study.analysis.mistakes import explain_mistakes
from headstart.study.analysis.paired_explanations import explain_pairs
from headstart.study.analysis.similarity import measure_similarity
from headstart.study.analysis.training_images import resample_training_images
from headstart.study.analysis.transferability import score_transferability
from headstart.study.analysis.uncertainty import calibrate_best
from headstart.study.execution.session import Session


def close_study(session: Session) -> None:
    """Write the results of the study as a whole: data, audit, best model, uncertainty, wider intervals, mistakes,
    the map of the test images.
    """
    seen: set[str] = set()
    for task in session.plan.tasks:
        dataset = session.resources.dataset(task.run.data)
        if dataset.fingerprint not in seen:
            seen.add(dataset.fingerprint)
            split = session.resources.split(task.run.data, task.seed, task.run.subset)
            write_data(session, task.run.data, dataset, split)
            audit_data(session, dataset, split)
    score_transferability(session)
    learning_curves(session)
    save_best(session)
    calibrate_best(session)
    resample_training_images(session)
    explain_mistakes(session, session.plan.study.spec.explain)
    explain_pairs(session)
    measure_similarity(session)
    place_test_images(session)
