from __future__ import annotations

from pathlib import Path

from headstart.transfer.finetune.event_logger import EventLogger
from tests.transfer.test_event_file import read


def test_the_file_is_begun_with_the_first_value_and_continued_after_the_end(tmp_path: Path) -> None:
    logger = EventLogger(tmp_path / "log" / "tensorboard")
    logger.log_hyperparams({"lr": 1})
    logger.finalize("success")
    assert (logger.name, logger.version) == ("log", "tensorboard") and not logger.folder.exists()
    for step in (0, 1):
        logger.log_metrics({"loss": 2.0 - step}, step)
        logger.finalize("success")
    logger.log_metrics({"loss": 0.0})
    logger.finalize("failed")
    found = sorted((each.step, each.value) for path in logger.folder.iterdir() for each in read(path).Scalars("loss"))
    assert found == [(0, 0.0), (0, 2.0), (1, 1.0)]
