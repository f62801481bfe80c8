"""The model that was chosen on validation, saved as one file, or refitted on all images if the study asks for it."""

from __future__ import annotations

from pathlib import Path

from headstart.evaluate.metrics.scoring import merit
from headstart.models.bundle import MODEL, model_bytes, read_ensemble
from headstart.storage.files import disk_errors, link_or_copy, read_json, write_atomic
from headstart.study.analysis.refit_on_all import refit_on_all
from headstart.study.execution.session import Session
from headstart.study.planning.ensemble_keys import expected
from headstart.study.results.model_selection import Candidate, best_single, choose, representative
from headstart.study.results.state import Kept


def save_best(session: Session) -> None:
    """Write the run that is best on validation, on the study's own images, as one whole model file; or its refit."""
    folder, ensembles = session.folder, session.plan.study.spec.ensembles
    done = [(t.run.name, t.seed) for t in session.plan.own_tasks if session.finished(t)]
    gone = {(row["run"], row["seed"]) for row in session.state.left_out}
    averaged = [(row["run"], row["seed"]) for row in expected(session.plan.study.spec)]
    done += [(name, seed) for name, seed in averaged if (name, seed) not in gone and (ensembles[name][0], seed) in done]
    metric = session.plan.study.spec.compare.metric
    baselines = {t.run.name for t in session.plan.own_tasks if t.run.spec.is_baseline}
    found = [
        Candidate(
            run=name,
            score=merit(score, metric),
            folder=place,
            baseline=name in baselines,
            parameters=_parameters(place),
            seed=seed,
            log_loss=folder.score(name, seed, "validation", "log_loss") or 0.0,
        )
        for name, seed in done
        if (score := folder.score(name, seed, "validation", metric)) is not None
        and (place := folder.run_folder(name, seed))
    ]
    if not found:
        return
    best, by = choose(found, ensembles, metric)

    def kept(name: str, by: str) -> Kept:
        one = representative(found, name)
        seeds = len({(folder.manifest(name, each.seed) or {}).get("key") for each in found if each.run == name})
        return Kept(run=name, folder=str(one.folder.relative_to(folder.root)), by=by, seed=one.seed, seeds=seeds)

    session.state.best = kept(best, by)
    with disk_errors(folder.root):
        if not refit_on_all(session, session.state.best):
            _write_whole(folder.root / session.state.best["folder"], folder.root / MODEL)
    if best in ensembles:  # what can be looked into is one network
        session.state.best_network = kept(*best_single(found, ensembles, metric))


def _parameters(run: Path) -> int:
    count: int = read_json(run / "result.json")["parameters"]["total"]
    return count


def _write_whole(run: Path, target: Path) -> None:
    """Write the model of a run folder as one file that needs nothing else: its own file where that is whole."""
    if (run / MODEL).is_file():
        link_or_copy(run / MODEL, target)
    else:
        write_atomic(target, model_bytes(read_ensemble(run, agreed=True)))
