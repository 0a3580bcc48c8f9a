"""Selective decoding gives the frames of a full decode, bit for bit, whatever the encoder refers to."""

from pathlib import Path
from tempfile import TemporaryDirectory

import av
from decoded import SETTINGS, Frames, assert_identical, decode
from hypothesis import given, settings
from hypothesis import strategies as st
from media import read_number, write_clip

from artifactscan.decode.containers import open_video
from artifactscan.decode.packet_notes import PacketNote, PacketReader
from artifactscan.decode.packets import plan_decoding
from artifactscan.decode.video import DecodeLimits, DecodeSettings, VideoFacts
from artifactscan.decode.with_pyav import full_decode_pyav

LAYERS = "temporal-layers=3:bframes=3:keyint=250:ctu=16:log-level=error"


def _choice(**choices: tuple[object, ...]) -> st.SearchStrategy[str]:
    """Encoder parameters as x264 and x265 take them."""
    options = st.fixed_dictionaries({name.replace("_", "-"): st.sampled_from(of) for name, of in choices.items()})
    return options.map(lambda drawn: ":".join(f"{name}={value}" for name, value in drawn.items()))


H264 = _choice(
    keyint=(9, 30, 250),
    scenecut=(0, 40),
    bframes=(0, 1, 3, 5),
    b_pyramid=("none", "strict", "normal"),
    b_adapt=(0, 1),
    ref=(1, 2, 5),
    weightp=(0, 2),
    open_gop=(0, 1),
    intra_refresh=(0, 0, 1),
    slices=(1, 3),
    cabac=(0, 1),
    direct=("spatial", "temporal"),
    interlaced=(0, 0, 1),
)
# x265 crashes with slices in so small a picture.
HEVC = st.builds(
    "{}:{}".format,
    st.sampled_from(
        [
            "bframes=0",
            "bframes=1:b-adapt=0",
            "bframes=5:b-pyramid=0",
            "bframes=5:b-pyramid=1:b-adapt=2",
            "bframes=3:temporal-layers=1",
            "bframes=3:temporal-layers=3",
            "bframes=3:interlace=tff",
            "bframes=0:intra-refresh=1",
        ]
    ),
    _choice(keyint=(9, 30, 250), scenecut=(0, 40), ref=(1, 2, 4), weightp=(0, 1), open_gop=(0, 1)),
)
RATES = st.sampled_from([1.0, 2.0, 3.5, 8.0])
CONTAINERS = st.sampled_from(["mp4", "mkv", "ts"])


@given(H264, RATES, CONTAINERS)
@settings(max_examples=25, deadline=None)
def test_h264_is_identical(parameters: str, sample_fps: float, container: str) -> None:
    _assert_identical("libx264", {"x264-params": parameters}, sample_fps, container)


@given(HEVC, RATES, CONTAINERS)
@settings(max_examples=25, deadline=None)
def test_hevc_is_identical(parameters: str, sample_fps: float, container: str) -> None:
    _assert_identical("libx265", {"x265-params": f"{parameters}:ctu=16:log-level=error"}, sample_fps, container)


def _assert_identical(codec: str, options: dict[str, str], sample_fps: float, container: str) -> None:
    with TemporaryDirectory() as folder:
        path = write_clip(Path(folder, f"clip.{container}"), codec=codec, width=96, height=64, options=options)
        frames, _ = assert_identical(path, DecodeSettings(input=SETTINGS.input, sample_fps=sample_fps))
        assert [read_number(pixels) for _, _, pixels in frames] == [index for index, _, _ in frames]


def test_higher_temporal_layers_are_left_out(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", codec="libx265", seconds=3, options={"x265-params": LAYERS})
    notes, needed = _plan(path)
    sampled = {note.layer for note in notes if note.pts is not None and note.pts % 45_000 == 0}
    assert {note.layer for note in notes} > sampled
    assert {notes[number].layer for number in needed} == sampled
    assert_identical(path)


def test_a_stream_that_is_wrong_about_its_temporal_layers_loses_no_frame(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", codec="libx265", seconds=3, options={"x265-params": LAYERS})
    notes, needed = _plan(path)
    [number] = [n for n in needed[4:5] if not notes[n].disposable]
    lying = _with_layer(path, tmp_path / "lying.mp4", number, layer=3)
    assert number not in _plan(lying)[1]
    frames, facts = decode(lying)
    expected, _ = decode(path, decoder=full_decode_pyav)
    assert _pixels(frames) == _pixels(expected)
    assert (facts.frames_decoded, facts.frames_sampled) == (len(expected), len(expected))


def _pixels(frames: Frames) -> list[tuple[int, bytes]]:
    return [(index, pixels.tobytes()) for index, _, pixels in frames]


def _plan(path: Path) -> tuple[list[PacketNote], list[int]]:
    """Notes on a clip's packets, and the numbers of those to decode."""
    with open_video(str(path), DecodeLimits(), VideoFacts()) as video:
        notes = list(PacketReader(video.stream.codec_context).notes(video.packets()))
        plan = plan_decoding(notes, video.time_base, SETTINGS.sample_fps, video.frame_ticks)
    assert plan is not None
    return notes, [number for group in plan.groups for number in group.packets]


def _with_layer(path: Path, copy: Path, number: int, layer: int) -> Path:
    """A copy in which packet ``number``, of one NAL unit of HEVC, says that it is of temporal layer ``layer``."""
    with av.open(str(path)) as source, av.open(str(copy), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for position, packet in enumerate(source.demux(video=0)):
            if packet.dts is None:
                continue
            if position == number:
                data = bytearray(bytes(packet))
                assert int.from_bytes(data[:4], "big") == len(data) - 4
                data[5] = data[5] & ~7 | layer
                changed = av.Packet(bytes(data))
                changed.pts, changed.dts, changed.duration = packet.pts, packet.dts, packet.duration
                changed.time_base = packet.time_base
                packet = changed
            packet.stream = stream
            out.mux(packet)
    return copy
