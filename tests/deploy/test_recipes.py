"""The recipes for other schedulers, each run by the scheduler itself, with a stand-in that ends with each exit code."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from paths import ROOT
from tool_venv import python_of, tool_venv

DEPLOY = ROOT / "deploy"
WORKFLOW = DEPLOY / "github" / "audit.yaml"
AIRFLOW, DAGSTER = DEPLOY / "airflow" / "audit_dag.py", DEPLOY / "dagster" / "audit_job.py"
VERDICT = "100% of motion rose; the scorer stood still."
ERROR = "error: --corpus s3://bucket/vidoes: no such bucket"
FINAL = {1: "the policy says that the night fails", 2: "wrong usage or configuration", 4: "the scorer itself moved"}


@dataclass(frozen=True)
class StandIn:
    """An `artifactscan` on the PATH that ends with the codes it is given, one after the other, and keeps what it was
    called with."""

    folder: Path

    @property
    def env(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        return {**kept, "PATH": f"{self.folder}{os.pathsep}{os.environ['PATH']}"}

    @property
    def calls(self) -> list[list[str]]:
        file = self.folder / "calls"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def ends_with(self, codes: Sequence[int]) -> None:
        (self.folder / "codes").write_text(" ".join(map(str, codes)))
        script = self.folder / "artifactscan"
        script.write_text(
            f"#!{sys.executable}\n"
            "import json, os, pathlib, sys\n"
            f"folder = pathlib.Path({str(self.folder)!r})\n"
            "with (folder / 'calls').open('a') as calls: print(json.dumps(sys.argv[1:]), file=calls)\n"
            "done = len((folder / 'calls').read_text().splitlines())\n"
            f"print({VERDICT!r}, 'and a second line', sep='\\n')\n"
            f"print({ERROR!r}, file=sys.stderr)\n"
            "codes = (folder / 'codes').read_text().split()\n"
            "code = int(codes[min(done, len(codes)) - 1])\n"
            "sys.stdout.flush(), sys.stderr.flush()\n"
            "os.kill(os.getpid(), -code) if code < 0 else sys.exit(code)\n"
        )
        script.chmod(0o755)


@pytest.fixture
def stand_in(tmp_path: Path) -> StandIn:
    (tmp_path / "bin").mkdir()
    return StandIn(tmp_path / "bin")


AUDIT = ["audit", "--corpus", "s3://bucket/videos/", "--store", "s3://bucket/audit/"]
CASES = [((0,), 1), ((1,), 1), ((2,), 1), ((4,), 1), ((3, 0), 2), ((3, 3, 1), 3), ((3,), 3), ((-9, 0), 2)]
"""Codes that the command ends with in turn, below 0 by a signal, and how often it must have been called."""


def id_of(value: Any) -> str | None:
    return "-".join(map(str, value)) if isinstance(value, tuple) else None


# GitHub Actions


def workflow() -> dict[str, Any]:
    return yaml.safe_load(WORKFLOW.read_text())


def test_github_takes_the_workflow() -> None:
    """By the schema that check-jsonschema brings along, as by GitHub's own."""
    pytest.importorskip("check_jsonschema", reason="check-jsonschema is not installed")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(WORKFLOW)]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("codes", "calls", "command"),
    [
        ((0,), 1, f"::notice title=Audit passed::{VERDICT}"),
        ((1,), 1, f"::error title=Audit failed::{VERDICT} Look at latest.html in s3://bucket/audit/"),
        ((2,), 1, "::error title=Audit not configured::nothing was done"),
        ((4,), 1, f"::error title=Scorer moved::{VERDICT} The corpus was not scored"),
        ((3, 0), 2, f"::notice title=Audit passed::{VERDICT}"),
        ((3, 3, 1), 3, f"::error title=Audit failed::{VERDICT}"),
        ((3,), 3, "::error title=Audit cut off::3 tries did not finish it"),
        ((77,), 1, "::error title=Audit ended with 77::see the log"),
    ],
    ids=id_of,
)
def test_the_workflows_step(
    codes: tuple[int, ...], calls: int, command: str, stand_in: StandIn, tmp_path: Path
) -> None:
    told = workflow()
    (step,) = told["jobs"]["audit"]["steps"]
    stand_in.ends_with(codes)
    env = {**stand_in.env, **told["env"], "FLAGS": "--policy policy.yaml", "RETRY_AFTER_S": "0"}
    script = tmp_path / "step.sh"
    script.write_text(step["run"])
    shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)]  # as GitHub starts `shell: bash`
    ran = subprocess.run(shell, capture_output=True, text=True, env=env, cwd=tmp_path)
    assert ran.returncode == codes[-1]
    assert stand_in.calls == [[*AUDIT, "--policy", "policy.yaml"]] * calls
    escaped = command.replace("%", "%25")
    assert [line for line in ran.stdout.splitlines() if line.startswith(escaped)], ran.stdout
    assert ran.stdout.count("::warning title=Audit cut off::") == calls - 1
    assert ran.stdout.startswith(VERDICT)


# Airflow

_RUN_DAGS = """
import json, pathlib, runpy, sys
from datetime import datetime, timedelta, timezone
dag_file, folder, cases = sys.argv[1], pathlib.Path(sys.argv[2]), json.loads(sys.argv[3])
dag = runpy.run_path(dag_file)["audit_dag"]
for number, codes in enumerate(cases):
    (folder / "codes").write_text(" ".join(map(str, codes)))
    (folder / "calls").unlink(missing_ok=True)
    print(f"case {number}", flush=True)
    run = dag.test(logical_date=datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(days=number))
    [instance] = run.get_task_instances()
    calls = (folder / "calls").read_text().splitlines()
    print("ended", json.dumps([str(run.state), str(instance.state), calls]), flush=True)
"""


@pytest.mark.slow
def test_airflow(stand_in: StandIn, tmp_path: Path) -> None:
    """All cases in one process, as Airflow takes most of a minute to load."""
    python, home = python_of(tool_venv("airflow", "apache-airflow==3.3.2")), tmp_path / "airflow"
    env = {**stand_in.env, "AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "false"}
    env |= {"AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"), "NO_COLOR": "1"}
    (home / "dags").mkdir(parents=True)
    subprocess.run([python, "-m", "airflow", "db", "migrate"], env=env, capture_output=True, check=True)
    dag = home / "dags" / "audit_dag.py"
    dag.write_text(without_pause(AIRFLOW, "timedelta(minutes=1)", "timedelta(seconds=0)"))
    stand_in.ends_with((0,))
    command = [python, "-c", _RUN_DAGS, str(dag), str(stand_in.folder), json.dumps([codes for codes, _ in CASES])]
    ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env, timeout=540)
    assert ran.returncode == 0, ran.stdout[-3000:]
    parts = re.split(r"^case \d+$", ran.stdout, flags=re.MULTILINE)[1:]
    for (codes, calls), said in zip(CASES, parts, strict=True):
        [ended] = [line.removeprefix("ended ") for line in said.splitlines() if line.startswith("ended ")]
        run_state, task_state, called = json.loads(ended)
        state = "success" if codes[-1] == 0 else "failed"
        assert (run_state, task_state) == (state, state), said
        check_words(codes, said)
        assert [json.loads(line) for line in called] == [AUDIT] * calls, codes


# Dagster

_RUN_JOB = """
import runpy, sys
from dagster import DagsterInstance
job = runpy.run_path(sys.argv[1])["artifactscan_audit"]
result = job.execute_in_process(raise_on_error=False, instance=DagsterInstance.ephemeral())
print("ended", result.success, len(result.get_step_retry_events() if hasattr(result, "get_step_retry_events") else
      [event for event in result.all_events if event.event_type_value == "STEP_UP_FOR_RETRY"]))
for event in result.all_events:
    if event.is_step_failure:
        print("failure", event.step_failure_data.user_failure_data.description)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("codes", "calls"), CASES, ids=id_of)
def test_dagster(codes: tuple[int, ...], calls: int, stand_in: StandIn, tmp_path: Path) -> None:
    python = python_of(tool_venv("dagster", "dagster==1.13.28"))
    stand_in.ends_with(codes)
    recipe = tmp_path / "audit_job.py"
    recipe.write_text(without_pause(DAGSTER, "RETRY_AFTER_S = 60", "RETRY_AFTER_S = 0"))
    env = {**stand_in.env, "DAGSTER_HOME": str(tmp_path), "DAGSTER_DISABLE_TELEMETRY": "true"}
    ran = subprocess.run([python, "-c", _RUN_JOB, str(recipe)], capture_output=True, text=True, env=env, timeout=300)
    said = ran.stdout + ran.stderr
    assert ran.returncode == 0, said[-3000:]
    assert f"ended {codes[-1] == 0} {calls - 1}" in said, said
    check(codes, calls, said, stand_in)


def without_pause(recipe: Path, pause: str, none: str) -> str:
    """The text of a recipe that tries again at once."""
    text = recipe.read_text()
    assert text.count(pause) == 1
    return text.replace(pause, none)


def check(codes: tuple[int, ...], calls: int, said: str, stand_in: StandIn) -> None:
    """What was called, and what a person reads of it."""
    assert stand_in.calls == [AUDIT] * calls
    check_words(codes, said)


def check_words(codes: tuple[int, ...], said: str) -> None:
    """What a person reads after these codes."""
    last = codes[-1]
    for code, message in FINAL.items():
        assert (message in said) == (code == last), (code, said)
    if last in (1, 4):
        assert f": {VERDICT}" in said
    if last == 2:
        assert f"nothing was done: {ERROR}" in said
    for code in {code for code in codes if code in (3, -9)}:
        assert f"the audit was cut off with code {code}: {ERROR}" in said
