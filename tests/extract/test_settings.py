"""The command line of the extraction job, frozen; and what it refuses."""

from dataclasses import MISSING, fields

import pytest

from artifactscan.annotation.selection import SelectionLimits
from artifactscan.cli.flags import parse_settings
from artifactscan.corpus.listing import VIDEO_PATTERNS
from artifactscan.decode.input_spec import InputSpec
from artifactscan.errors import UsageError
from artifactscan.extract.settings import ExtractSettings
from artifactscan.scoring.settings import ScoreSettings

FLAGS = {
    "input": MISSING,
    "output": MISSING,
    "choose": "all",
    "checkpoint": (),
    "count": None,
    "per_video": None,
    "min_gap_s": 0.0,
    "measure": "variance",
    "scores": "",
    "export": (),
    "labels": "",
    "image_format": "png",
    "jpeg_quality": 95,
    "height": 0,
    "width": 0,
    "replace": False,
    "include": VIDEO_PATTERNS,
    "exclude": (),
    "limit": None,
    "since": None,
    "sample_fps": 2.0,
    "decoder": "auto",
    "segment_frames": 64,
    "video_timeout_s": 300.0,
    "child_memory_bytes": 4 << 30,
    "max_pixels": 36_000_000,
    "max_video_s": 14_400.0,
    "max_object_bytes": 4 << 30,
    "device": "auto",
    "precision": "auto",
    "decode_actors": 0,
    "shared_filesystem": False,
    "node_wait_s": 0.0,
    "max_failed": 0.05,
    "quiet": False,
}


def parse(*arguments: str) -> ExtractSettings:
    return parse_settings(ExtractSettings, ["--input", "in", "--output", "out/", *arguments], description="")


def test_the_flags_and_their_defaults_are_frozen() -> None:
    assert {field.name: field.default for field in fields(ExtractSettings)} == FLAGS


def test_what_the_two_jobs_share_has_one_meaning() -> None:
    shared = {field.name: field.default for field in fields(ScoreSettings) if field.name in FLAGS}
    assert {name: FLAGS[name] for name in shared} == shared | {"checkpoint": ()}
    settings = parse("--sample-fps", "4", "--exclude", "a/", "--max-failed", "0.5", "--choose", "all", "--quiet")
    scoring = settings.scoring("builtin")
    assert (scoring.input, scoring.output, scoring.checkpoint) == ("in", "out/scores", "builtin")
    assert (scoring.sample_fps, scoring.exclude, scoring.max_failed, scoring.quiet) == (4.0, ("a/",), 1.0, True)
    assert parse("--scores", "s3://b/nightly").scoring("c").output == "s3://b/nightly"


def test_flags_fill_the_settings() -> None:
    settings = parse(
        *("--choose", "disagree", "--checkpoint", "a", "b", "--count", "9", "--per-video", "3", "--min-gap-s", "1.5"),
        *("--export", "cvat", "csv", "--height", "90", "--width", "160"),
    )
    assert settings.checkpoint == ("a", "b")
    assert settings.selection() == SelectionLimits(count=9, per_video=3, min_gap_s=1.5)
    assert settings.export == ("cvat", "csv")
    assert settings.image_decoding().input == InputSpec(height=90, width=160)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--count", "0"], "--count is 0; give 1 or more"),
        (["--per-video", "-1"], "--per-video is -1; give 1 or more"),
        (["--min-gap-s", "nan"], "--min-gap-s is nan; give 0 or more"),
        (["--jpeg-quality", "0"], "--jpeg-quality is 0; give a number from 1 to 100"),
        (["--sample-fps", "0"], "--sample-fps is 0.0; give a number above 0"),
        (["--choose", "uncertain"], "--choose uncertain asks one --checkpoint, 0 are given; for several use disagree"),
        (
            ["--choose", "disagree", "--checkpoint", "a"],
            "--choose disagree compares checkpoints, 1 is given; give two or more --checkpoint",
        ),
        (
            ["--choose", "uncertain", "--checkpoint", "a"],
            "--choose uncertain takes the best first; say how many with --count or --per-video",
        ),
        (
            ["--height", "90"],
            "--height is 90 and --width is 0; give both, or neither for the video's own size",
        ),
        (
            ["--height", "90", "--width", "5000"],
            "--height and --width cannot be used: input width 5000 is not a whole number from 1 to 4096",
        ),
    ],
)
def test_wrong_values_are_one_sentence(flags: list[str], words: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse(*flags)
    assert str(raised.value) == words
