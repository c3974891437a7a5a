"""A forked interpreter is one in everything but its start: pipes, exit code, environment, signals, process number."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from opd.demo.settings import demo_config
from warm_interpreters import WarmPopen

pytestmark = pytest.mark.usefixtures("warm_interpreters")
PIPELINE = [sys.executable, "-P", "-m", "opd.pipeline"]


def test_pipes_and_exit_code_are_those_of_the_module() -> None:
    done = subprocess.run(PIPELINE, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "usage: python -m opd.pipeline RUN_DIR\n")
    request = json.dumps({"config": demo_config().model_dump(mode="json"), "key": None})
    probe = [sys.executable, "-P", "-m", "opd.teachers.probe_process"]
    report = subprocess.run(probe, input=request, capture_output=True, text=True, check=True)
    assert json.loads(report.stdout)["finding"]


def test_environment_folder_and_session_are_those_that_were_asked_for(tmp_path: Path) -> None:
    environment = {**os.environ, "OPD_DATA_DIR": str(tmp_path / "elsewhere")}
    child = subprocess.Popen(
        [*PIPELINE, "run"], cwd=tmp_path, env=environment, stdin=subprocess.PIPE, start_new_session=True
    )
    assert isinstance(child, WarmPopen)
    process = psutil.Process(child.pid)
    assert Path(process.cwd()) == tmp_path
    assert os.getsid(child.pid) == child.pid != os.getsid(0)
    assert child.poll() is None, "it reads its keys"
    child.send_signal(signal.SIGKILL)
    assert child.wait(60) == -signal.SIGKILL
    assert child.poll() == -signal.SIGKILL
    assert child.stdin is not None
    child.stdin.close()


def test_other_commands_are_started_as_ever() -> None:
    for command in (["true"], [sys.executable, "-c", ""], [sys.executable, "-m", "opd.cli", "--version"]):
        assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert subprocess.run([sys.executable, "-c", "raise SystemExit(3)"], check=False).returncode == 3
