"""What replaying a video asks of the job that draws its heat maps."""

import json
from dataclasses import asdict
from types import SimpleNamespace
from typing import cast

import pyarrow as pa
import pytest

from artifactscan.audit import replay
from artifactscan.audit.settings import WhySettings
from artifactscan.schemas import EVENTS, FRAMES
from artifactscan.scoring.settings import ScoreSettings
from artifactscan.store.run_records import RunRecord


@pytest.mark.parametrize("decoder", ["pyav", "nvdec"])
def test_heat_maps_are_asked_for_at_the_sampling_rate_of_the_run(decoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(replay, "explain_video", asked.append)
    fresh = pa.Table.from_pylist(
        [{"video_id": "a", "uri": "/a", "frame_index": 3, "pts_s": 0.5} | dict.fromkeys(FRAMES.names[4:], 0.5)], FRAMES
    )
    run = ScoreSettings(input="/", output="", sample_fps=5.0)
    row = {"video_id": "a", "uri": "/a", "decoder": decoder}
    replay._heat_maps(row, "/o", WhySettings(uri="/a", store="/s"), run, fresh, EVENTS.empty_table())
    assert [(one.frames, one.sample_fps, one.decoder, one.output) for one in asked] == [(("3",), 5.0, "pyav", "/o")]


def test_the_settings_of_a_run_are_read_from_its_record() -> None:
    asked = ScoreSettings(input="/in", output="/out", price_per_hour=(1.0, 2.5), include=("*.mp4",))
    record = SimpleNamespace(settings=json.loads(json.dumps(asdict(asked))))
    assert replay._settings_of_run(cast(RunRecord, record)) == asked


def test_what_nvdec_decoded_is_replayed_on_the_cpu() -> None:
    asked = ScoreSettings(input="/in", output="/out", decoder="nvdec")
    record = SimpleNamespace(settings=asdict(asked))
    assert replay._settings_of_run(cast(RunRecord, record)).decoder == "pyav"
