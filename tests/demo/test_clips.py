"""The demo corpus: clips that decode as what they are called, and one file that does not."""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from artifactscan.corpus.listing import ListSettings, list_corpus
from artifactscan.decode.input_spec import InputSpec
from artifactscan.decode.video import DecodeError, DecodeSettings
from artifactscan.decode.with_pyav import decode_pyav
from artifactscan.demo import clips
from artifactscan.demo.clips import ENCODINGS, FPS, HEIGHT, PAINTERS, WIDTH, write_demo_corpus
from artifactscan.outcomes import Outcome

SETTINGS = DecodeSettings(input=InputSpec(height=48, width=80))
CODECS = {"libx264": "h264", "libx265": "hevc", "libvpx-vp9": "vp9"}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[Path]]]:
    """The corpus with clips of one second, and what its writer says it wrote."""
    folder = tmp_path_factory.mktemp("demo") / "deep" / "clips"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clips, "SECONDS", 1)
        yield folder, write_demo_corpus(folder)


def test_twelve_clips_and_a_file_that_is_none(corpus: tuple[Path, list[Path]]) -> None:
    folder, written = corpus
    assert len(written) == len(set(written)) == 13
    assert sorted(written) == sorted(folder.iterdir())
    listed = [uri for batch in list_corpus(str(folder), ListSettings()) for uri in batch["uri"].to_pylist()]
    assert sorted(listed) == sorted(map(str, written)), "the job takes all of them"


def test_each_clip_is_in_the_codec_of_its_name_and_moves(corpus: tuple[Path, list[Path]]) -> None:
    _, written = corpus
    seen = set()
    for path in written[:-1]:
        scene, codec = path.stem.split("_")
        frames: list[np.ndarray] = []
        facts = decode_pyav(str(path), SETTINGS, lambda _index, _pts_s, pixels, kept=frames: kept.append(pixels.copy()))
        assert (facts.codec, facts.width, facts.height) == (CODECS[codec], WIDTH, HEIGHT)
        assert facts.fps == pytest.approx(FPS, rel=0.01), "WebM rounds times to milliseconds"
        assert (facts.frames_in_video, facts.frames_sampled, facts.frames_decoded) == (FPS, 2, 2)
        assert np.abs(frames[0].astype(int) - frames[1]).mean() > 2, f"{path.name} stands still"
        seen.add((scene, codec))
    assert seen == {(scene, codec) for scene in PAINTERS for codec in ENCODINGS}


def test_the_scenes_are_different_pictures(corpus: tuple[Path, list[Path]]) -> None:
    pictures = {}
    for path in corpus[1][:-1]:
        with av.open(str(path)) as container:
            pictures[path.stem] = next(container.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    for one, first in pictures.items():
        for other, second in pictures.items():
            difference = np.abs(first - second).mean()
            same_scene = one.split("_")[0] == other.split("_")[0]
            assert difference < 15 if same_scene else difference > 25, (one, other, difference)


def test_the_last_file_is_not_a_video(corpus: tuple[Path, list[Path]]) -> None:
    broken = corpus[1][-1]
    assert broken.name == "not_a_video.mp4"
    with pytest.raises(DecodeError) as raised:
        decode_pyav(str(broken), SETTINGS, lambda *_: None)
    assert raised.value.outcome == Outcome.UNDECODABLE
