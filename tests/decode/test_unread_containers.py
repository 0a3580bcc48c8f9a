"""Files that hold video in a container that is not read: the reason says so, and how to bring it into one that is."""

from pathlib import Path

import pytest
from decoded import failure
from media import write_clip

from artifactscan.decode.containers import CONTAINERS
from artifactscan.outcomes import Outcome

REASON = (
    f"its container is none of those that are read ({', '.join(CONTAINERS)}): rewrite it with "
    "`ffmpeg -i CLIP -c copy CLIP.mp4`, or without `-c copy` where mp4 cannot hold its codec"
)


@pytest.mark.parametrize(
    ("name", "clip"),
    [
        ("raw.h264", {}),
        ("raw.hevc", {"codec": "libx265"}),
        ("clip.ivf", {"codec": "libvpx-vp9"}),
        ("clip.apng", {"codec": "apng", "pix_fmt": "rgb24"}),
        ("clip.dv", {"codec": "dvvideo", "pix_fmt": "yuv420p", "width": 720, "height": 576, "fps": 25, "seconds": 0.2}),
        ("clip.nut", {"codec": "mpeg4"}),
    ],
)
def test_the_reason_names_the_way_out(tmp_path: Path, name: str, clip: dict) -> None:
    error = failure(write_clip(tmp_path / name, **clip))
    assert (error.outcome, error.reason) == (Outcome.UNDECODABLE, REASON)
