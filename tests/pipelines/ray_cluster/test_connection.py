"""Joining Ray: addresses, error messages and output, without starting it."""

import os
import signal
import sys

import pytest
from paths import ROOT
from ray._private import utils as ray_utils
from ray._private import worker as ray_worker
from ray.exceptions import AuthenticationError
from s3_server import S3Server

from artifactscan.errors import UsageError
from artifactscan.pipelines.ray_cluster import connection
from artifactscan.pipelines.ray_cluster.connection import IMPORT_ROOT, _explain_join_error, _silent_stderr


def test_workers_find_the_package_where_the_driver_does() -> None:
    assert IMPORT_ROOT == ROOT / "src"


def test_only_stderr_is_hidden_and_only_within_the_context(capfd: pytest.CaptureFixture[str]) -> None:
    os.write(2, b"before ")
    with _silent_stderr():
        os.write(2, b"during ")
        os.write(1, b"result")
    os.write(2, b"after")
    assert capfd.readouterr() == ("result", "before after")


def test_messages_of_ray_go_to_stderr(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(ray_worker, "print_to_stdstream", ray_worker.print_to_stdstream)  # put back afterwards
    for _ in range(2):
        connection._send_ray_messages_to_stderr()
    ray_worker.print_to_stdstream({"lines": ["a node died"], "pid": "raylet", "is_err": False}, ignore_prefix=False)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("a node died") == 1


def test_messages_of_ray_have_no_colours_in_a_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ray_worker, "print_to_stdstream", ray_worker.print_to_stdstream)
    monkeypatch.setenv("RAY_COLOR_PREFIX", "0")  # as connect() sets it where stderr is no terminal
    connection._send_ray_messages_to_stderr()
    line = "\x1b[36mray::f()\x1b[39m (pid=7) failed. There are infinite retries remaining"
    ray_worker.print_to_stdstream({"lines": [line], "pid": "raylet", "is_err": False}, ignore_prefix=False)
    assert capsys.readouterr().err == "(raylet) ray::f() (pid=7) failed. There are infinite retries remaining\n"


def test_a_workers_error_that_the_job_reports_is_not_printed_by_ray_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ray_worker, "print_to_stdstream", ray_worker.print_to_stdstream)
    connection._send_ray_messages_to_stderr()
    raised = "Traceback (most recent call last):\n  File …\n{}: --device cuda: Ray sees a GPU"
    for error in ("artifactscan.errors.UsageError", "ValueError"):
        lines = [raised.format(error)]
        ray_worker.print_to_stdstream({"lines": lines, "pid": "raylet", "is_err": False}, ignore_prefix=False)
    said = capsys.readouterr().err
    assert "UsageError" not in said and said.count("ValueError: --device cuda") == 1


def test_retries_of_a_task_are_not_announced(capsys: pytest.CaptureFixture[str]) -> None:
    """On a full disk, or where a bucket vanishes, the job is about to end when Ray says so."""
    connection._send_ray_messages_to_stderr()
    retried = [
        f"Task MapWorker(MapBatches(Decode)).submit failed. There are {left} remaining, so it will be retried. Error:"
        for left in ("infinite retries", "2 retries", "1 oom retries")
    ]
    lines = [*retried, f"\x1b[33m{retried[0]}\x1b[39m", "the disk of a node is full"]
    ray_worker.print_to_stdstream({"lines": lines, "pid": "raylet", "is_err": False}, ignore_prefix=False)
    said = capsys.readouterr().err
    assert said.endswith(" the disk of a node is full\n") and said.count("\n") == 1


def test_sigterm_while_ray_starts_goes_to_the_handler_of_the_job() -> None:
    def stop(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    of_ray = ray_utils.set_sigterm_handler
    try:
        with pytest.raises(KeyboardInterrupt), connection._keep_sigterm_handler():
            ray_utils.set_sigterm_handler(lambda number, _frame: sys.exit(number))  # as ray.init calls it
            os.kill(os.getpid(), signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is stop
        assert ray_utils.set_sigterm_handler is of_ray
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_version_mismatch_has_its_own_message() -> None:
    sides = "started with:\n    Ray: {}\n    Python: {}\n"
    mismatch = RuntimeError("The cluster was " + sides.format("2.9", "3.9.1") + sides.format("2.60.0", "3.11.7"))
    assert "the cluster runs Ray 2.9 and Python 3.9.1, this process Ray 2.60.0 and Python" in _explain_join_error(
        mismatch
    )
    assert _explain_join_error(OSError("no one\nthere")).startswith(
        "the Ray cluster cannot be joined (no one there); start"
    )


def test_stderr_is_restored_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConnectionError, match="no cluster"), _silent_stderr():
        os.write(2, b"during")
        raise ConnectionError("no cluster")
    print("said", file=sys.stderr, flush=True)
    assert capfd.readouterr().err == "said\n"


def test_a_missing_token_has_its_own_message() -> None:
    said = _explain_join_error(AuthenticationError("Token authentication is enabled\nbut no token was found"))
    assert said.startswith("the Ray cluster cannot be joined (no token that it accepts was found); ")
    assert "give its token in ~/.ray/auth_token or RAY_AUTH_TOKEN, with RAY_AUTH_MODE=token, or" in said


@pytest.mark.parametrize("address", ["ray://127.0.0.1:10001", "http://127.0.0.1:8265"])
def test_an_address_with_a_scheme_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(UsageError, match=f"RAY_ADDRESS {address} is not where a job can join a cluster; give the host"):
        connection._init(local=False, import_path="")


def test_another_server_at_the_address_is_recognised(_s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    address = _s3_server.env["AWS_ENDPOINT_URL"].removeprefix("http://")
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(UsageError, match=rf"RAY_ADDRESS {address}: .* \(what listens there is no Ray head, or"):
        connection._init(local=False, import_path="")


def test_a_timeout_of_the_start_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**_: object) -> None:
        raise Exception("The current node timed out during startup. This could happen because …")

    monkeypatch.setattr(connection.ray, "init", init)
    with pytest.raises(UsageError, match="Ray did not start on this machine in time"):
        connection._init(local=True, import_path="")
