"""The command line of the scoring job, frozen; and its YAML file."""

from dataclasses import MISSING, fields
from datetime import UTC, datetime
from pathlib import Path

import pytest

from artifactscan.cli.flags import parse_settings
from artifactscan.corpus.listing import VIDEO_PATTERNS
from artifactscan.decode.input_spec import InputSpec
from artifactscan.errors import UsageError
from artifactscan.scoring.settings import ScoreSettings

BOTH = ["--input", "in", "--output", "out"]

FLAGS = {
    "input": MISSING,
    "output": MISSING,
    "checkpoint": "builtin",
    "include": VIDEO_PATTERNS,
    "exclude": (),
    "limit": None,
    "since": None,
    "retry_failed": False,
    "plan": False,
    "sample_fps": 2.0,
    "decoder": "auto",
    "segment_frames": 64,
    "video_timeout_s": 300.0,
    "child_memory_bytes": 4 << 30,
    "max_pixels": 36_000_000,
    "max_video_s": 14_400.0,
    "max_object_bytes": 4 << 30,
    "batch_frames": 0,
    "device": "auto",
    "precision": "auto",
    "compile": False,
    "executor": "auto",
    "decode_actors": 0,
    "classify_actors": 0,
    "slice_bytes": 128 << 20,
    "shared_filesystem": False,
    "node_wait_s": 0.0,
    "price_per_hour": (),
    "node_cpus": 16,
    "max_failed": 0.05,
    "quiet": False,
    "log_format": "text",
}


def parse(*arguments: str) -> ScoreSettings:
    return parse_settings(ScoreSettings, [*BOTH, *arguments], description="")


def test_the_flags_and_their_defaults_are_frozen() -> None:
    assert {field.name: field.default for field in fields(ScoreSettings)} == FLAGS


def test_flags_fill_the_settings() -> None:
    settings = parse(
        "--include", "*.mp4", "*.gif", "--limit", "5", "--decoder", "decord", "--compile", "--max-pixels", "9"
    )
    assert settings.include == ("*.mp4", "*.gif")
    assert settings.listing().limit == 5
    assert settings.limits().max_pixels == 9
    assert settings.decoding(InputSpec(height=8, width=8)).decoder == "decord"
    assert settings.classifying().compile


def test_since_is_utc_unless_it_says_otherwise() -> None:
    assert parse("--since", "2026-11-01").listing().since == datetime(2026, 11, 1, tzinfo=UTC)
    assert parse("--since", "2026-11-01T02:00:00+02:00").listing().since == datetime(2026, 11, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--sample-fps", "0"], "--sample-fps is 0.0; give a number above 0"),
        (["--video-timeout-s", "nan"], "--video-timeout-s is nan; give a number above 0"),
        (["--limit", "0"], "--limit is 0; give a number above 0"),
        (["--limit", "9" * 30], f"--limit is {'9' * 30}; give at most 9007199254740992"),
        (["--sample-fps", "inf"], "--sample-fps is inf; give at most 1000"),
        (["--batch-frames", "-1"], "--batch-frames is -1; give 0 or more"),
        (["--max-failed", "5"], "--max-failed is 5.0; give a share between 0 and 1"),
        (["--since", "yesterday"], "--since 'yesterday' is not an ISO 8601 time; write e.g. 2026-11-01T06:00:00+00:00"),
    ],
)
def test_wrong_values_are_one_sentence(flags: list[str], words: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse(*flags)
    assert str(raised.value) == words


def test_a_yaml_file_fills_the_same_settings_and_flags_win(tmp_path: Path) -> None:
    path = tmp_path / "score.yaml"
    path.write_text("sample_fps: 4\nexclude: ['a/', 'b/']\ncompile: true\nmax-failed: 0.5\nlimit: null\n")
    settings = parse("--config", str(path), "--max-failed", "0.25")
    assert (settings.sample_fps, settings.exclude, settings.compile) == (4.0, ("a/", "b/"), True)
    assert (settings.max_failed, settings.limit) == (0.25, None)


def test_a_yaml_file_may_take_in_another_part_of_it(tmp_path: Path) -> None:
    path = tmp_path / "score.yaml"
    path.write_text("<<: {limit: 3}\nsample-fps: 4\n")
    assert (parse(f"--config={path}").limit, parse(f"--config={path}").sample_fps) == (3, 4.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("quiet: 'yes please'", "sets quiet to 'yes please'; give true or false"),
        ("sample_rate: 2", "sets sample-rate; did you mean sample-fps? known are batch-frames, "),
        ("- 1", "has no settings; write `setting: value` lines, `sample-fps: 2` say"),
        ("# nothing", "is empty; write `setting: value` lines, `sample-fps: 2` say"),
        ("limit: true", "sets limit to True; give it the value that --limit takes"),
        ("device: {name: cpu}", "sets device to {'name': 'cpu'}; give it the value that --device takes"),
        (
            "limit: 1\nquiet: true\nlimit: 2",
            "is not YAML: the key 'limit' is given twice in line 3, column 1; correct it there",
        ),
        ("sample_fps: 1\nsample-fps: 2", "sets sample-fps twice, with - and with _; keep one"),
        ("limit: !!map x", "is not YAML: expected a mapping node"),
        ("a: [", "is not YAML: "),
    ],
)
def test_a_yaml_file_that_cannot_be_used(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "score.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as raised:
        parse(f"--config={path}")
    assert str(raised.value).startswith(f"--config {path} ")
    assert words in str(raised.value)


def test_the_help_names_the_yaml_file(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("--help")
    assert "--config FILE" in capsys.readouterr().out


def test_a_yaml_file_that_is_not_there() -> None:
    with pytest.raises(UsageError, match=r"--config nowhere\.yaml cannot be read: No such file"):
        parse("--config", "nowhere.yaml")
    with pytest.raises(UsageError, match="--config needs the path of a YAML file"):
        parse("--config")
