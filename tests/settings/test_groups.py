"""Settings filled from Python: a value of another type than the setting's is one sentence."""

from typing import Any

import pytest

from artifactscan.errors import UsageError
from artifactscan.extract.settings import ExtractSettings
from artifactscan.scoring.settings import ScoreSettings
from artifactscan.settings.groups import check_settings


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"decoder": "ffmpeg"}, "--decoder is 'ffmpeg'; give one of auto, pyav, decord, nvdec"),
        ({"device": "gpu"}, "--device is 'gpu'; give one of auto, cuda, cpu"),
        ({"precision": "fp16"}, "--precision is 'fp16'; give one of auto, bf16, fp32, int8"),
        ({"precision": ["bf16"]}, "--precision is ['bf16']; give one of auto, bf16, fp32, int8"),
        ({"include": "*.mp4"}, "--include is '*.mp4'; give a tuple of which each item is text"),
        ({"include": ("*.mp4", 1)}, "--include is ('*.mp4', 1); give a tuple of which each item is text"),
        ({"sample_fps": "2"}, "--sample-fps is '2'; give a number"),
        ({"sample_fps": True}, "--sample-fps is True; give a number"),
        ({"sample_fps": float("nan")}, "--sample-fps is nan; give a number above 0"),
        ({"decode_actors": "two"}, "--decode-actors is 'two'; give a whole number"),
        ({"decode_actors": 2.0}, "--decode-actors is 2.0; give a whole number"),
        ({"limit": "5"}, "--limit is '5'; give a whole number or None"),
        ({"quiet": "yes"}, "--quiet is 'yes'; give True or False"),
        ({"input": None}, "--input is None; give text"),
        ({"price_per_hour": (1, "2")}, "--price-per-hour is (1, '2'); give a tuple of which each item is a number"),
    ],
)
def test_a_value_of_another_type_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as raised:
        ScoreSettings(**{"input": "clips", "output": "store", **given})
    assert str(raised.value) == said


def test_only_jobs_that_score_decode_on_a_gpu() -> None:
    assert ScoreSettings(input="clips", output="store", decoder="nvdec").decoder == "nvdec"
    with pytest.raises(UsageError, match=r"--decoder is 'nvdec'; give one of auto, pyav, decord$"):
        ExtractSettings(input="clips", output="frames", **{"decoder": "nvdec"})


def test_a_whole_number_is_a_number_and_none_leaves_a_limit_out() -> None:
    settings = ScoreSettings(input="clips", output="store", sample_fps=2, video_timeout_s=60, limit=None)
    check_settings(settings)


def test_each_of_several_choices_is_checked() -> None:
    with pytest.raises(UsageError, match=r"--export is \('cvta',\); give a tuple of which each item is one of .*cvat"):
        ExtractSettings(input="clips", output="frames", export=("cvta",))  # type: ignore[arg-type] - what is tested
