"""Fine-tuning: from a job to a trained network and its history; after an interruption the result has the same bits."""

from __future__ import annotations

from pathlib import Path

import lightning.pytorch as pl

from headstart.models.adapt import merge_lora
from headstart.models.network import Network
from headstart.progress import progress
from headstart.transfer.finetune.assembly import make_learner
from headstart.transfer.finetune.checkpoint import CheckpointWriter, Progress, claim_folder, load_epoch
from headstart.transfer.finetune.freezing import check_kept, kept_digests
from headstart.transfer.finetune.job import TuneJob as TuneJob
from headstart.transfer.finetune.job import TuneResult as TuneResult
from headstart.transfer.finetune.job import check_job, device_of, identity
from headstart.transfer.finetune.learner import Diverged, Learner
from headstart.transfer.finetune.malloc import large_blocks_kept
from headstart.transfer.finetune.outcome import restore_chosen
from headstart.transfer.finetune.routes import Route
from headstart.transfer.finetune.trainer_setup import (
    accelerator,
    open_loggers,
    own_randomness,
    quiet,
    several,
    warn_of_slow,
)


def finetune(job: TuneJob) -> TuneResult:
    """Train, and return the network of the best epoch on validation (without validation images, of the last epoch).

    The network before the first step counts as epoch 0. If the loss is no longer finite, training ends and the best
    epoch so far is returned, with a note.

    Raises:
        DataError: too few images or classes, labels that do not fit.
        ModelError: stages or image sizes that do not fit.
        SpecError: settings that exclude each other.
        RunFailed: training diverged and not even its start is better than guessing, or one image does not fit into
            memory.
    """
    check_job(job)
    device = device_of(job)
    learner, routes = make_learner(job, device)
    resume = claim_folder(job.folder, identity(job))
    network, statistics = learner.network, job.recipe.norm_statistics
    before = kept_digests(network.resolved, network.groups, statistics=statistics)
    failure = _fit(job, learner, device, resume)
    learner.cpu()
    check_kept(network.resolved, network.groups, before, statistics=statistics)
    return _result(job, learner, routes, failure)


def _fit(job: TuneJob, learner: Learner, device: str, resume: Path | None) -> Diverged | None:
    """Run the epochs; return how the training ended if it diverged."""
    epochs = job.recipe.epochs if job.stop_after is None else min(job.recipe.epochs, job.stop_after)
    if epochs == 0:
        return None
    warn_of_slow(job.recipe.precision, device)
    kind, chosen = accelerator(device, job.devices)
    title = f"training {job.backbone.name}"
    with progress(title, epochs * len(job.train)) as ticker, quiet(), own_randomness(), large_blocks_kept():
        trainer = pl.Trainer(
            accelerator=kind,
            devices=chosen,
            precision=job.recipe.precision,  # type: ignore[arg-type]
            max_epochs=epochs,
            logger=open_loggers(job.loggers, job.folder),
            callbacks=[CheckpointWriter(job.folder, job.checkpoint_every), Progress(ticker)],
            strategy=several(device) if job.devices > 1 else "auto",
            num_sanity_val_steps=-1 if resume is None else 0,  # all of validation, before the first step: epoch 0
            enable_progress_bar=False,
            enable_model_summary=False,
            log_every_n_steps=1,
            default_root_dir=job.folder,
        )
        try:
            trainer.fit(learner, learner.batches, learner.checked, ckpt_path=resume, weights_only=True)
        except Diverged as failure:
            return failure
    if job.devices > 1:  # it ran in other processes, which left their result in the folder
        load_epoch(job.folder, learner)
    return None


def _result(job: TuneJob, learner: Learner, routes: list[Route], failure: Diverged | None) -> TuneResult:
    best, notes = restore_chosen(job, learner, failure)
    network, rows = learner.network, learner.history.rows
    resolved = network.resolved
    learned = sum(p.numel() for g in network.groups for p in g.parameters)
    learned += sum(p.numel() for p in network.head.parameters())
    total = sum(p.numel() for unit in resolved.units for p in unit.parameters)
    total += sum(p.numel() for p in network.head.parameters())
    if resolved.additions:
        merge_lora(resolved.backbone.stages)
    seconds = sum((float(row["seconds"] or 0) for row in rows), 0.0)
    notes = [*learner.micro_batches.notes, *notes, *(f"{r.mode}: {r.reason}" for r in routes if r.mode != "pixels")]
    if len(job.validation) == 0:
        notes.append(f"no validation images: the last epoch ({best}) is used")
    return TuneResult(
        network=Network(resolved.backbone.requires_grad_(True), network.head).eval(),
        history=rows,
        best_epoch=best,
        notes=notes,
        seconds=seconds,
        images_per_second=len(job.train) * len(rows) / seconds if seconds else 0.0,
        learned_parameters=learned,
        total_parameters=total,
        routes=routes,
        start=learner.history.start,
    )
