"""Which videos are the worst, and the pictures of their peaks."""

import io
import secrets
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from checkpoints import as_probe, random_probe
from media import write_clip
from PIL import Image
from scored_runs import motion, write_run

from artifactscan.audit.arrivals import gather_arrivals
from artifactscan.audit.night_tables import ARRIVALS, PICTURES
from artifactscan.audit.pictures import draw_pictures, pictures_of
from artifactscan.audit.settings import AuditSettings
from artifactscan.audit.video_groups import Grouping
from artifactscan.audit.worst_videos import worst_videos
from artifactscan.corpus.listed_object import video_id
from artifactscan.decode.input_spec import InputSpec
from artifactscan.demo import marks
from artifactscan.explain.video_frames import scored_frames
from artifactscan.labels import LABELS
from artifactscan.model.checkpoint import BUILTIN, Checkpoint, load_checkpoint
from artifactscan.scoring.events import EventSettings
from artifactscan.storage.files import stat
from artifactscan.store.layout import Store

THRESHOLDS = dict.fromkeys(LABELS, 0.5)


def arrivals(tmp_path: Path, videos: dict, etags: dict | None = None):
    store = Store(str(tmp_path / "store"))
    run = write_run(store, "run1", videos, etags=etags)
    table, _ = gather_arrivals(
        store,
        [run],
        corpus=str(tmp_path),
        grouping=Grouping(),
        thresholds=THRESHOLDS,
        sample_fps=2.0,
        events=EventSettings(),
    )
    return table


def test_the_worst_have_the_largest_share_of_frames_over(tmp_path: Path) -> None:
    table = arrivals(
        tmp_path,
        {
            "/clean": motion(0.4, 0.4),
            "/half": motion(0.9, 0.1),
            "/all": motion(0.6, 0.6),
            "/half-but-higher": motion(0.95, 0.1),
            "/two-labels": {"motion": [0.6, 0.6], "object": [0.6, 0.1]},
            "/broken": "crashed",
        },
    )
    assert worst_videos(table, 9)["uri"].to_pylist() == ["/two-labels", "/all", "/half-but-higher", "/half"]
    assert worst_videos(table, 2)["uri"].to_pylist() == ["/two-labels", "/all"]
    assert worst_videos(table, 0).num_rows == 0
    assert worst_videos(ARRIVALS.empty_table(), 5).num_rows == 0


def test_those_that_failed_the_night_are_among_the_worst(tmp_path: Path) -> None:
    videos = {f"/all-{n}": {"motion": [0.9, 0.9]} for n in range(5)}
    videos |= {f"/texture-{n}": {"texture": [0.9 - n / 100, 0.1, 0.1, 0.1]} for n in range(5)}
    table = arrivals(tmp_path, videos)
    assert worst_videos(table, 4)["uri"].to_pylist() == ["/all-0", "/all-1", "/all-2", "/all-3"]
    shown = worst_videos(table, 4, ("texture", "all"))["uri"].to_pylist()
    assert shown == ["/all-0", "/texture-0", "/texture-1", "/texture-2"], "in the order of how bad they are"
    assert worst_videos(table, 2, ("texture", "all"))["uri"].to_pylist() == ["/texture-0", "/texture-1"]
    assert worst_videos(table, 4, ("object", "all"))["uri"].to_pylist() == worst_videos(table, 4)["uri"].to_pylist()
    assert worst_videos(table, 4, ("texture", "generator=none"))["uri"].to_pylist() == [
        "/all-0",
        "/all-1",
        "/all-2",
        "/all-3",
    ]
    assert worst_videos(table, 0, ("texture", "all")).num_rows == 0


SMALL = "test_resnet.r160_in1k"


@pytest.fixture
def clip(tmp_path: Path) -> str:
    return str(write_clip(tmp_path / "a.mp4", seconds=2))


def settings(tmp_path: Path, **changes) -> AuditSettings:
    return AuditSettings(corpus=str(tmp_path), store=str(tmp_path / "audit"), **changes)


def drawn(tmp_path: Path, clip: str, *, etag: str | None = None, checkpoint: Checkpoint | None = None, **changes):
    scores = {"motion": [0.1, 0.9, 0.2, 0.1], "texture": [0.6, 0.1, 0.1, 0.1], "object": [0.3] * 4}
    table = arrivals(tmp_path / secrets.token_hex(4), {clip: scores}, {clip: etag or stat(clip).etag})
    # The runs made here number sampled frames 0, 1, 2, …: those are frames of the clip all the same.
    return draw_pictures(worst_videos(table, 5), settings(tmp_path, **changes), checkpoint or marks.checkpoint(SMALL))


@pytest.mark.parametrize(
    "new_checkpoint",
    [
        lambda: marks.checkpoint(SMALL),
        lambda: as_probe(marks.checkpoint(SMALL)),
        lambda: load_checkpoint(BUILTIN),
    ],
    ids=["plain", "probe", BUILTIN],
)
def test_each_label_with_an_event_gets_its_peak_frame_and_a_heat_map(
    tmp_path: Path, clip: str, new_checkpoint: Callable[[], Checkpoint]
) -> None:
    table, notes = drawn(tmp_path, clip, checkpoint=new_checkpoint())
    assert (table.schema.equals(PICTURES), notes) == (True, [])
    pictures = pictures_of(table, video_id(clip, stat(clip).etag))
    assert [(one.label, one.frame_index) for one in pictures] == [("motion", 1), ("texture", 0)]
    for one in pictures:
        frame = Image.open(io.BytesIO(one.frame_jpeg))
        assert frame.format == "JPEG"
        assert one.overlay_jpeg is not None
        over = Image.open(io.BytesIO(one.overlay_jpeg))
        assert frame.size == over.size
        assert np.abs(np.asarray(frame).astype(int) - np.asarray(over)).max() > 40
    assert pictures_of(table, "another") == ()


def test_a_checkpoint_without_heat_maps_gets_the_frames_and_a_note(tmp_path: Path, clip: str) -> None:
    checkpoint = random_probe(SMALL, InputSpec(height=96, width=128), tiles=(1, 2))
    table, notes = drawn(tmp_path, clip, checkpoint=checkpoint)
    assert table["label"].to_pylist() == ["motion", "texture"]
    assert table["overlay_jpeg"].null_count == 2
    assert notes == [
        f"pictures without heat maps: this probe of {SMALL} has no heat maps: it cuts frames into 1x2 tiles; "
        "explain a checkpoint without tiles"
    ]


def test_as_many_frames_as_asked_for(tmp_path: Path, clip: str) -> None:
    table, _ = drawn(tmp_path, clip, frames_per_video=1)
    assert table["label"].to_pylist() == ["motion"]
    assert drawn(tmp_path, clip, frames_per_video=0)[0].num_rows == 0


def test_a_video_that_changed_or_is_gone_has_none_and_that_is_noted(tmp_path: Path, clip: str) -> None:
    table, notes = drawn(tmp_path, clip, etag="another")
    assert table.num_rows == 0
    assert len(notes) == 1
    assert "is not the one that was scored" in notes[0]
    scored = stat(clip).etag
    Path(clip).unlink()
    _, notes = drawn(tmp_path, clip, etag=scored)
    assert "is not there" in notes[0]


def test_frames_are_scored_at_the_sampling_rate_of_the_night(
    tmp_path: Path, clip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def scored(*arguments):
        asked.append(arguments[2].sample_fps)
        return scored_frames(*arguments)

    monkeypatch.setattr("artifactscan.audit.pictures.scored_frames", scored)
    drawn(tmp_path, clip, sample_fps=5.0)
    assert asked == [5.0]
