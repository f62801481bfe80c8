from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from headstart.errors import StoreError
from headstart.report.read.study_files import read_record
from headstart.storage.files import temporary
from headstart.storage.presence import at_work
from headstart.study.results.folder import StudyFolder, json_bytes

SPEC = {"run": "a", "seed": 0}


def write(folder: StudyFolder, key: str = "k", score: float = 0.5, run: str = "a") -> Path:
    files = {"spec.json": json_bytes({**SPEC, "run": run}), "result.json": json_bytes({"score": score})}
    return folder.write_run(run, 0, key, files)


def test_runs_whose_names_look_alike_do_not_share_a_folder(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    names = ["a-b", "a b", "A-b", "a/b", "a" * 300, "a" * 301]
    for number, name in enumerate(names):
        write(folder, key=str(number), run=name)
    for number, name in enumerate(names):
        assert folder.has(name, 0, str(number))
        assert json.loads((folder.run_folder(name, 0) / "spec.json").read_text())["run"] == name
    assert (tmp_path / "runs" / "a-b" / "seed-0").is_dir(), "a name that is safe is the folder"


@pytest.mark.parametrize("content", [b"", b'{\n "score": 0.7\n}\n', None])
def test_a_run_with_a_file_that_was_altered_is_not_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    folder = StudyFolder(tmp_path)
    result = write(folder) / "result.json"
    assert folder.has("a", 0, "k") and not folder.has("a", 0, "other") and capsys.readouterr().err == ""
    result.unlink() if content is None else result.write_bytes(content)
    assert not folder.has("a", 0, "k")
    assert capsys.readouterr().err == f"{result}: has changed since it was written; the run is written again\n"
    write(folder)
    assert folder.has("a", 0, "k")


def test_a_run_whose_manifest_is_damaged_is_not_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = StudyFolder(tmp_path)
    manifest = write(folder) / "manifest.json"
    for content in (manifest.read_text().replace("complete", "failed"), manifest.read_text()[:50], ""):
        manifest.write_text(content)
        assert folder.manifest("a", 0) is None and not folder.has("a", 0, "k")
        assert capsys.readouterr().err == f"{manifest}: has changed since it was written; the run is written again\n"


def test_a_run_that_another_process_finished_meanwhile_is_kept(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    write(folder, score=0.5)
    result = write(folder, score=0.6) / "result.json"
    assert json.loads(result.read_text()) == {"score": 0.5}
    write(folder, key="new", score=0.7)
    assert json.loads(result.read_text()) == {"score": 0.7}
    assert [path.name for path in result.parents[1].iterdir()] == ["seed-0"]


def test_a_failure_does_not_replace_what_another_process_finished(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    write(folder, score=0.5)
    folder.write_run("a", 0, "k", {"spec.json": json_bytes(SPEC)}, error="out of memory")
    assert folder.has("a", 0, "k")
    folder.write_run("a", 0, "new", {"spec.json": json_bytes(SPEC)}, error="out of memory")
    assert folder.manifest("a", 0)["error"] == "out of memory", "that run was of another key"


def test_a_reader_never_misses_a_finished_run_while_it_is_rewritten(tmp_path: Path) -> None:
    """Anchor: of 724 reads 483 failed or missed the run when its folder was deleted and moved into place."""
    folder = StudyFolder(tmp_path)
    place, ended, seen = write(folder), threading.Event(), set()

    def rewrite() -> None:
        for number in range(60):
            write(folder, key=str(number), score=number)
        ended.set()

    thread = threading.Thread(target=rewrite)
    thread.start()
    reads = 0
    while not ended.is_set():
        record = read_record(place)
        reads += 1
        seen.add((record.key, record.result["score"]))
    thread.join()
    assert reads > 20
    assert all(key == ("k" if score == 0.5 else str(int(score))) for key, score in seen), "never half old, half new"


def test_a_study_that_says_it_is_running_while_nobody_is_at_work_was_interrupted(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    folder.write_study({"name": "x", "status": "running"})
    assert StudyFolder(tmp_path).read_study()["status"] == "interrupted"
    with at_work(tmp_path):
        assert StudyFolder(tmp_path).read_study()["status"] == "running"
    folder.write_study({"name": "x", "status": "complete"})
    assert StudyFolder(tmp_path).read_study()["status"] == "complete"


def test_a_study_whose_process_was_killed_is_interrupted(tmp_path: Path) -> None:
    script = "import sys, time\nfrom pathlib import Path\nfrom headstart.storage.presence import at_work\n"
    script += "with at_work(Path(sys.argv[1])):\n    print('at work', flush=True)\n    time.sleep(60)\n"
    StudyFolder(tmp_path).write_study({"name": "x", "status": "running"})
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"at work\n"
        assert StudyFolder(tmp_path).read_study()["status"] == "running"
        process.kill()
    assert StudyFolder(tmp_path).read_study()["status"] == "interrupted"


def test_study_facts_that_were_altered_are_refused(tmp_path: Path) -> None:
    folder, path = StudyFolder(tmp_path), tmp_path / "study.json"
    folder.write_study({"name": "x", "status": "complete", "compare": {"baseline": "a"}})
    assert folder.read_study() == {"name": "x", "status": "complete", "compare": {"baseline": "a"}}
    path.write_text(path.read_text().replace('"a"', '"b"'))
    with pytest.raises(StoreError, match=r"study.json: has changed since it was written"):
        folder.read_study()


def test_a_run_folder_in_the_making_is_no_run(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    place = write(folder)
    temporary(place).mkdir()
    assert [path.name for path in (tmp_path / "runs" / "a").glob("seed-*")] == ["seed-0"]
