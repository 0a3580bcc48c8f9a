"""What replaying a video asks of the job that draws its heat maps."""

import pyarrow as pa
import pytest

from artifactscan.audit import replay
from artifactscan.audit.settings import WhySettings
from artifactscan.schemas import EVENTS, FRAMES
from artifactscan.scoring.settings import ScoreSettings


def test_heat_maps_are_asked_for_at_the_sampling_rate_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(replay, "explain_video", asked.append)
    fresh = pa.Table.from_pylist(
        [{"video_id": "a", "uri": "/a", "frame_index": 3, "pts_s": 0.5} | dict.fromkeys(FRAMES.names[4:], 0.5)], FRAMES
    )
    run = ScoreSettings(input="/", output="", sample_fps=5.0)
    row = {"video_id": "a", "decoder": "pyav"}
    replay._heat_maps("/a", row, WhySettings(uri="/a", store="/s"), run, fresh, EVENTS.empty_table())
    assert [(one.frames, one.sample_fps, one.decoder) for one in asked] == [(("3",), 5.0, "pyav")]
