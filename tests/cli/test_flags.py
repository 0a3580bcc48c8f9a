"""Mistakes on a job's command line: each is one sentence with the flag, the value and what is allowed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT

from artifactscan.cli.flags import parse_settings
from artifactscan.errors import UsageError
from artifactscan.jobs.labels import SETTINGS as LABELS_SETTINGS
from artifactscan.jobs.why import SETTINGS as WHY_SETTINGS
from artifactscan.scoring.settings import ScoreSettings

PLACES = ["--input", "a", "--output", "b"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--input and --output are missing; --help says what to give"),
        (["--input", "a"], "--output is missing; --help says what to give"),
        (["--input"], "--input has no value; write one after it"),
        (["clips", "o2"], "clips and o2 belong to no flag; write --input clips --output o2"),
        (
            ["--input", "a", "b", "--output", "c"],
            "b belongs to no flag; write the flag before it, or quotes around a value with spaces",
        ),
        ([*PLACES, "--decoder", "ffmpeg"], "--decoder is 'ffmpeg'; give one of auto, pyav, decord, nvdec"),
        ([*PLACES, "--limit", "x"], "--limit is 'x'; give a whole number"),
        ([*PLACES, "--decode-actors=1.5"], "--decode-actors is '1.5'; give a whole number"),
        ([*PLACES, "--sample_fps", "two"], "--sample-fps is 'two'; give a number"),
        ([*PLACES, "--price-per-hour", "cheap"], "--price-per-hour is 'cheap'; give numbers"),
        ([*PLACES, "--in", "c"], "flag --in is unknown; did you mean --include or --input?"),
    ],
)
@pytest.mark.parametrize("columns", ["40", "200"])
def test_a_wrong_flag_or_value_is_one_sentence(
    arguments: list[str], said: str, columns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    with pytest.raises(UsageError) as raised:
        parse_settings(ScoreSettings, arguments, description="Scores.")
    assert str(raised.value) == said


def test_missing_arguments_and_renamed_flags_are_named_as_they_are_given() -> None:
    with pytest.raises(UsageError, match=r"^the argument STR and --store are missing; --help says what to give$"):
        parse_settings(WHY_SETTINGS, [], description="Replays.")
    with pytest.raises(UsageError, match=r"^--from is 'xx'; give one of csv, cvat, label-studio, fiftyone$"):
        parse_settings(LABELS_SETTINGS["import"], ["--from", "xx"], description="Imports.")


def test_a_list_for_one_value_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("input: [clips, b]\n")
    with pytest.raises(UsageError, match=r"c\.yaml sets input to a list, \['clips', 'b'\]; give one value"):
        parse_settings(ScoreSettings, ["--config", str(tmp_path / "c.yaml"), "--output", "o"], description="Scores.")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--inptu", "x"], "flag --inptu is unknown; did you mean --input?"),
        ([], "--input and --output are missing; --help says what to give"),
        ([*PLACES, "--decoder", "x"], "--decoder is 'x'; give one of auto, pyav, decord, nvdec"),
        ([*PLACES, "c"], "c belongs to no flag; write the flag before it, or quotes around a value with spaces"),
    ],
)
def test_a_terminal_without_box_characters_gets_the_same_sentences(arguments: list[str], said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "artifactscan", "score", *arguments],
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT / "src"),
            "LC_ALL": "C",
            "PYTHONUTF8": "0",
            "PYTHONCOERCECLOCALE": "0",
        },
    )
    assert (done.returncode, done.stderr) == (2, f"error: {said}\n")
