"""Ctrl-C and SIGTERM while a command still imports, while it works, and while it stops; real processes and signals."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from paths import ROOT
from signals import heed_signals

from artifactscan.__main__ import JOBS
from artifactscan.cli.interruption import INTERRUPTED, STOP_SIGNALS

SLOW_IMPORT = """
import os, pathlib, time
pathlib.Path(os.environ["REACHED"]).touch()
time.sleep(600)
"""
JOB = """
import os, pathlib, signal, sys, time
from artifactscan.cli import interruption
interruption.take_over_process()
interruption.STOP_LIMIT_S = float(sys.argv[2])
interruption.before_hard_exit(lambda: pathlib.Path(os.environ["REACHED"] + ".ended").touch())
from artifactscan.cli.exit_codes import report_errors
with report_errors() as job_exit:
    try:
        pathlib.Path(os.environ["REACHED"]).touch()
        if sys.argv[1] != "ends":
            time.sleep(600)
    finally:  # as a lease is released
        time.sleep(float(sys.argv[3]))
        print("released", flush=True)
    job_exit.code = 0
sys.exit(job_exit.code)
"""


def run_and_signal(
    command: list[str],
    folder: Path,
    *signals: signal.Signals,
    pause_s: float = 0.2,
    before: Callable[[], None] = heed_signals,
    **env: str,
) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command that gets these signals once it has reached the file REACHED."""
    reached = folder / "reached"
    environment = {**os.environ, "REACHED": str(reached), **env}
    with subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=before,
    ) as process:
        end = time.monotonic() + 60
        while not reached.exists():
            assert process.poll() is None and time.monotonic() < end, process.communicate()
            time.sleep(0.02)
        for signal_ in signals:
            os.killpg(process.pid, signal_)
            time.sleep(pause_s)
        out, said = process.communicate(timeout=60)
    return process.returncode, out, said


@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["-m", "artifactscan", "score"], id="module"),
        pytest.param(["-c", "import sys; from artifactscan.__main__ import main; sys.exit(main())", "score"], id="cli"),
        pytest.param([str(ROOT / "jobs" / "score.py")], id="script"),
        pytest.param(["-P", str(ROOT / "jobs" / "audit.py")], id="script without its folder"),
    ],
)
def test_while_it_imports_a_command_ends_with_one_sentence(
    command: list[str], signal_: signal.Signals, tmp_path: Path
) -> None:
    (tmp_path / "tyro.py").write_text(SLOW_IMPORT)
    path = os.pathsep.join([str(tmp_path), str(ROOT / "src")])
    code, out, said = run_and_signal([sys.executable, *command], tmp_path, signal_, PYTHONPATH=path)
    assert (code, out, said) == (3, "", f"error: {INTERRUPTED}\n")


def test_every_job_takes_over_its_process_first() -> None:
    jobs = list((ROOT / "jobs").glob("[!_]*.py"))
    assert len(jobs) == len(JOBS)
    for path in jobs:
        lines = [line.strip() for line in path.read_text().splitlines()]
        first = next(number for number, line in enumerate(lines) if line.startswith("from artifactscan"))
        assert lines[first] == "from artifactscan.cli import interruption", path
        assert lines[first + 2] == "interruption.take_over_process()", path


@pytest.mark.parametrize(
    "signals",
    [(signal.SIGINT,) * 3, (signal.SIGINT, signal.SIGTERM), (signal.SIGTERM,), (signal.SIGHUP, signal.SIGINT)],
)
def test_further_signals_do_not_disturb_the_stopping(signals: tuple[signal.Signals, ...], tmp_path: Path) -> None:
    code, out, said = run_and_signal([sys.executable, "-c", JOB, "works", "60", "1"], tmp_path, *signals)
    assert (code, out, said) == (3, "released\n", f"error: {INTERRUPTED}\n")
    assert not (tmp_path / "reached.ended").exists()


def test_a_job_that_does_not_stop_in_time_is_ended(tmp_path: Path) -> None:
    started = time.monotonic()
    code, out, said = run_and_signal([sys.executable, "-c", JOB, "works", "0.5", "600"], tmp_path, signal.SIGINT)
    assert (code, out, said) == (3, "", "error: the job took more than 0 s to stop, and was ended\n")
    assert (tmp_path / "reached.ended").exists(), "what it has begun is ended"
    assert time.monotonic() - started < 30


def test_after_its_work_a_signal_does_not_change_the_exit_code(tmp_path: Path) -> None:
    after = JOB.replace("sys.exit(", "pathlib.Path(os.environ['REACHED']).touch(); time.sleep(1); sys.exit(")
    after = after.replace('pathlib.Path(os.environ["REACHED"]).touch()\n', "pass\n", 1)
    code, out, said = run_and_signal([sys.executable, "-c", after, "ends", "60", "0"], tmp_path, signal.SIGINT)
    assert (code, out, said) == (0, "released\n", "")


CRASHES = """
import os, sys
class Crash:
    def __del__(self, kill=os.kill, pid=os.getpid()):
        kill(pid, 11)
sys.crash = Crash()  # as a thread of Ray that is still there when the interpreter is taken apart
"""
LEAVES = """
import atexit, tempfile, threading
atexit.register(print, "exit function")
kept = tempfile.TemporaryDirectory()
threading.Timer(0.3, lambda: print("thread")).start()
"""


@pytest.mark.parametrize(("how", "signals", "code"), [("ends", (), 0), ("works", (signal.SIGINT,) * 6, 3)])
def test_a_job_ends_without_pythons_teardown_and_with_all_else(
    how: str, signals: tuple[signal.Signals, ...], code: int, tmp_path: Path
) -> None:
    before, last = JOB.split("sys.exit(")
    script = f"{before}{CRASHES}{LEAVES}sys.exit({last}"
    tmpdir = tmp_path / "tmp"
    tmpdir.mkdir()
    command = [sys.executable, "-c", script, how, "60", "0"]
    found, out, said = run_and_signal(command, tmp_path, *signals, pause_s=0.1, TMPDIR=str(tmpdir))
    assert (found, out) == (code, "released\nthread\nexit function\n")
    assert said == (f"error: {INTERRUPTED}\n" if signals else "")
    assert list(tmpdir.iterdir()) == []


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("raise ValueError('later')", 1),  # after the job's work
        ("sys.stdout = open('/dev/full', 'w'); print('lost'); sys.exit(0)", 120),
        ("sys.stdout.close(); sys.exit(0)", 0),
    ],
)
def test_pythons_own_exit_codes_stay(end: str, code: int) -> None:
    script = (
        "import sys; from artifactscan.cli import interruption; interruption.take_over_process()\n"
        "from artifactscan.cli.exit_codes import report_errors\n"
        f"with report_errors() as job_exit: job_exit.code = 0\n{end}"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, env={"PYTHONPATH": str(ROOT / "src")})
    assert done.returncode == code


def test_an_exit_function_of_a_tool_that_runs_the_job_is_called(tmp_path: Path) -> None:
    tool = "import atexit; atexit.register(print, 'tool', flush=True)\n"
    code, out, _ = run_and_signal([sys.executable, "-c", tool + JOB, "ends", "60", "0"], tmp_path)
    assert (code, out) == (0, "released\ntool\n")


def test_a_signal_that_the_shell_has_it_ignore_is_ignored(tmp_path: Path) -> None:
    def ignore() -> None:
        for number in (signal.SIGINT, signal.SIGHUP):  # as with `nohup` and `&`
            signal.signal(number, signal.SIG_IGN)

    brief = JOB.replace("time.sleep(600)", "time.sleep(1)")
    signals = signal.SIGINT, signal.SIGHUP
    code, out, said = run_and_signal(
        [sys.executable, "-c", brief, "works", "60", "0"], tmp_path, *signals, before=ignore
    )
    assert (code, out, said) == (0, "released\n", "")


def test_in_a_larger_program_the_handlers_are_those_from_before() -> None:
    from artifactscan.cli.exit_codes import report_errors

    signal.signal(signal.SIGINT, signal.default_int_handler)
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    with report_errors() as job_exit:
        os.kill(os.getpid(), signal.SIGINT)
        signal.pause()
    assert job_exit.code == 3
    assert {number: signal.getsignal(number) for number in before} == before


@pytest.mark.parametrize("fault", ["1 / 0", "os.close(2)", "sys.stdout.close()"])
def test_nothing_keeps_a_job_from_being_ended(fault: str) -> None:
    script = (
        "import os, sys, time; from artifactscan.cli import interruption; interruption.STOP_LIMIT_S = 0.1; "
        f"interruption.before_hard_exit(lambda: {fault}); interruption._end_in_time(3); time.sleep(60)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, timeout=50, env={"PYTHONPATH": str(ROOT / "src")}
    )
    assert done.returncode == 3
