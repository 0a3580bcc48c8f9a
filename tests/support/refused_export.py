"""What `artifactscan export` says where it refuses."""

import pytest

from artifactscan.jobs.export import main as export_job


def refused_export(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What is said, in one sentence, of a command that is refused."""
    capsys.readouterr()
    assert export_job(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1, said
    return said.removeprefix("error: ").strip()
