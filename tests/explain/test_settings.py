"""The flags of the explain job, frozen; its YAML file; and its refusals."""

from dataclasses import MISSING, fields
from pathlib import Path

import pytest

from artifactscan.cli.flags import parse_settings
from artifactscan.decode.input_spec import InputSpec
from artifactscan.decode.sampling import EVERY_FRAME_FPS
from artifactscan.errors import UsageError
from artifactscan.explain.settings import ExplainSettings
from artifactscan.labels import LABELS

BOTH = ["--video", "clip.mp4", "--output", "out"]

FLAGS = {
    "video": MISSING,
    "output": MISSING,
    "checkpoint": "builtin",
    "frames": (),
    "at": (),
    "top": 4,
    "labels": LABELS,
    "max_side": 1280,
    "sample_fps": 2.0,
    "decoder": "auto",
    "video_timeout_s": 300.0,
    "child_memory_bytes": 4 << 30,
    "max_pixels": 36_000_000,
    "max_video_s": 14_400.0,
    "max_object_bytes": 4 << 30,
    "device": "auto",
    "precision": "auto",
}


def parse(*arguments: str) -> ExplainSettings:
    return parse_settings(ExplainSettings, [*BOTH, *arguments], description="")


def test_the_flags_and_their_defaults_are_frozen() -> None:
    assert {field.name: field.default for field in fields(ExplainSettings)} == FLAGS


@pytest.mark.parametrize("frames", [["30,0,15"], ["30", "0", "15"], ["30, 0", "15,15"]])
def test_frames_stand_between_commas_or_spaces(frames: list[str]) -> None:
    assert parse("--frames", *frames).frame_indices() == (0, 15, 30)


def test_times_and_labels_stand_between_commas_or_spaces() -> None:
    settings = parse("--at", "3,1.5", ".25", "--labels", "object,boundary")
    assert settings.times_s() == (0.25, 1.5, 3.0)
    assert settings.label_indices() == (0, 3)


def test_every_frame_is_decoded_where_some_are_named() -> None:
    spec = InputSpec(height=48, width=80)
    assert parse().decoding(spec).sample_fps == 2.0
    assert parse("--frames", "7").decoding(spec).sample_fps == EVERY_FRAME_FPS
    assert parse("--at", "0").decoding(spec).sample_fps == EVERY_FRAME_FPS
    assert parse("--max-pixels", "9", "--decoder", "pyav").decoding(spec).limits.max_pixels == 9


def test_a_yaml_file_names_frames_in_a_list_or_a_line(tmp_path: Path) -> None:
    for number, text in enumerate(("frames: [0, 15]\nat: 1.5", "frames: 0,15\nat: [1.5]")):
        path = tmp_path / f"{number}.yaml"
        path.write_text(f"{text}\nlabels: [motion]\n")
        settings = parse("--config", str(path))
        assert settings.frame_indices() == (0, 15)
        assert settings.times_s() == (1.5,)
        assert settings.label_indices() == (2,)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--frames", "1,x"], "--frames 'x' is not the index of a frame; write e.g. 0,15,30"),
        (["--frames", "-1"], "--frames '-1' is not the index of a frame; write e.g. 0,15,30"),
        (["--frames", "1.5"], "--frames '1.5' is not the index of a frame; write e.g. 0,15,30"),
        (["--at", "1:30"], "--at '1:30' is not a time in seconds; write e.g. 1.5,3.0"),
        (["--at", "nan"], "--at 'nan' is not a time in seconds; write e.g. 1.5,3.0"),
        (["--at", "-2"], "--at '-2' is not a time in seconds; write e.g. 1.5,3.0"),
        (["--labels", "edges"], "--labels 'edges' is not one of boundary, texture, motion, object"),
        (["--labels", ","], "--labels names none; give some of boundary, texture, motion, object"),
        (["--frames", ",".join(map(str, range(65)))], "--frames and --at name 65 frames; give at most 64"),
        (["--at", ","], "--frames and --at name no frame; write e.g. --frames 0,15,30 or --at 1.5,3.0"),
        (["--top", "3", "--frames", "1"], "--top is 3, and --frames or --at name the frames; leave one of them out"),
        (["--top", "8", "--at", "1"], "--top is 8, and --frames or --at name the frames; leave one of them out"),
        (["--top", "0"], "--top is 0; give a number from 1 to 64"),
        (["--max-side", "5000"], "--max-side is 5000; give a number from 1 to 4096"),
        (["--sample-fps", "0"], "--sample-fps is 0.0; give a number above 0"),
        (["--max-video-s", "-1"], "--max-video-s is -1.0; give a number above 0"),
    ],
)
def test_wrong_values_are_refused_in_one_sentence(arguments: list[str], words: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse(*arguments)
    assert str(raised.value) == words
