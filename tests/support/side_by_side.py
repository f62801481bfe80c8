"""Commands of headstart that run at the same time, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys

PATIENCE = 300  # seconds
MODULES = ("headstart.api", "headstart.study.execution.tuning.optuna_search", "lightning", "optuna")
FORK = """
import contextlib, importlib, json, os, sys, warnings
modules, commands = json.loads(sys.argv[1])
for module in modules:
    with contextlib.suppress(ImportError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module(module)
from headstart.cli.main import main

def begin(command):  # no tensor operation has run here, so a fork is safe
    read, write = os.pipe()
    process = os.fork()
    if process:
        os.close(write)
        return process, read
    status = 1
    try:
        os.dup2(write, 2)
        main(command)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        os._exit(status)

ended = []
for process, read in [begin(command) for command in commands]:
    with os.fdopen(read, encoding="utf-8", errors="replace") as stream:
        said = stream.read()
    ended.append([os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), said])
json.dump(ended, sys.stdout)
"""


def side_by_side(commands: list[list[str]]) -> list[tuple[int, str]]:
    """Run the commands at once; return the status of each and what it wrote on standard error.

    Where a process can fork, one that has imported everything is forked for each: importing takes longer than the work.
    """
    environment = {**os.environ, "HEADSTART_THREADS": "1"}
    if hasattr(os, "fork"):
        forked = [sys.executable, "-c", FORK, json.dumps([MODULES, commands])]
        done = subprocess.run(forked, env=environment, capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0, done.stderr[-2000:]
        return [(status, said) for status, said in json.loads(done.stdout.splitlines()[-1])]
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "headstart", *command], env=environment, stderr=subprocess.PIPE, text=True
        )
        for command in commands
    ]
    said = [process.communicate(timeout=PATIENCE)[1] for process in both]
    return [(process.returncode, words) for process, words in zip(both, said, strict=True)]
