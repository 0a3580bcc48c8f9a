"""Selective decoding against full decoding and against the number that every frame of a test clip shows."""

import math
import os
import socket
import struct
import threading
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from media import damage, draw_frame, read_number, truncate, write_audio, write_clip

from artifactscan import decoding
from artifactscan.decoding import decode_pyav, full_decode_pyav
from artifactscan.inputs import InputSpec
from artifactscan.outcomes import Outcome
from artifactscan.pixels import to_rgb
from artifactscan.video import DecodeError, DecodeLimits, DecodeSettings, VideoFacts

REAL_CLIPS = Path(__file__).parents[2] / "shared" / "data"
SETTINGS = DecodeSettings(input=InputSpec(height=48, width=80))

Frames = list[tuple[int, float, np.ndarray]]


def decode(path: Path, decode_settings: DecodeSettings = SETTINGS, *, full: bool = False) -> tuple[Frames, VideoFacts]:
    frames: Frames = []
    facts = (full_decode_pyav if full else decode_pyav)(str(path), decode_settings, lambda *frame: frames.append(frame))
    return frames, facts


def failure(path: Path, limits: DecodeLimits | None = None) -> DecodeError:
    with pytest.raises(DecodeError) as raised:
        decode(path, DecodeSettings(input=SETTINGS.input, limits=limits or DecodeLimits()))
    assert raised.value.facts.decoder == "pyav"
    return raised.value


def assert_identical(path: Path, decode_settings: DecodeSettings = SETTINGS) -> tuple[Frames, VideoFacts]:
    """Selective and full decoding give the same frames, to the bit, and the same facts."""
    frames, facts = decode(path, decode_settings)
    reference, reference_facts = decode(path, decode_settings, full=True)
    assert [frame[:2] for frame in frames] == [frame[:2] for frame in reference]
    for (index, _, pixels), (_, _, expected) in zip(frames, reference, strict=True):
        assert np.array_equal(pixels, expected), f"frame {index} differs"
        assert pixels.dtype == np.uint8
        assert pixels.flags.c_contiguous
    assert facts == reference_facts
    assert facts.frames_decoded == len(frames)
    return frames, facts


def decoded_frames(path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many packets the group decoder is given for ``path``; fails if it falls back to a full decode."""
    numbers: list[int] = []
    read = decoding._Packets.read

    def counting(self, wanted):
        numbers.extend(wanted)
        return read(self, wanted)

    monkeypatch.setattr(decoding._Packets, "read", counting)
    monkeypatch.setattr(decoding, "_decode_fully", lambda *_: pytest.fail("fell back to a full decode"))
    decode(path)
    return len(numbers)


H264 = {"g": "24", "bf": "3", "x264-params": "b-pyramid=normal:ref=4"}

CLIPS: dict[str, dict] = {
    "b-pyramid.mp4": {"options": H264},
    "b-pyramid.mkv": {"options": H264},
    "b-pyramid.ts": {"options": H264},
    "b-pyramid.flv": {"options": H264},
    "one-group.mp4": {"options": {"bf": "3"}},
    "no-b-frames.mp4": {"options": {"bf": "0", "g": "12"}},
    "intra.mp4": {"options": {"g": "1"}},
    "open-groups.mp4": {"options": {"g": "24", "x264-params": "open-gop=1:bframes=3:b-pyramid=normal"}},
    "open-groups.mkv": {"options": {"g": "24", "x264-params": "open-gop=1:bframes=3:b-pyramid=normal"}},
    "intra-refresh.mp4": {"options": {"x264-params": "intra-refresh=1:keyint=12"}},
    "interlaced.mp4": {"options": {"g": "24", "x264-params": "interlaced=1:bframes=2"}},
    "interlaced.ts": {"options": {"g": "24", "x264-params": "interlaced=1:bframes=2"}},
    "lossless-444.mp4": {"pix_fmt": "yuv444p", "options": {"qp": "0", "g": "24"}},
    "late-start.mp4": {"pts_s": [0.7 + n / 24 for n in range(72)], "options": H264},
    "edit-list.mp4": {"pts_s": [-0.6 + n / 24 for n in range(72)], "options": H264},
    "negative-start.mkv": {
        "pts_s": [-0.5 + n / 24 for n in range(72)],
        "options": H264,
        "muxer": {"avoid_negative_ts": "disabled"},
    },
    "hevc.mp4": {"codec": "libx265", "options": {"x265-params": "keyint=24:bframes=4"}},
    "hevc-closed.mp4": {"codec": "libx265", "options": {"x265-params": "keyint=24:bframes=4:open-gop=0"}},
    "hevc-layers.mp4": {
        "codec": "libx265",
        "options": {"x265-params": "keyint=24:temporal-layers=3:open-gop=0"},
    },
    "hevc-10-bit.mp4": {"codec": "libx265", "pix_fmt": "yuv420p10le"},
    "hevc.ts": {"codec": "libx265", "options": {"x265-params": "keyint=24"}},
    "mpeg4.mp4": {"codec": "mpeg4", "options": {"g": "12"}},
    "mpeg4-b.mp4": {"codec": "mpeg4", "options": {"g": "12", "bf": "2"}},
    "mpeg4-b.avi": {"codec": "mpeg4", "options": {"g": "12", "bf": "2"}},
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "mjpeg.mov": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "av1.mp4": {"codec": "libsvtav1"},
    "mpeg2.ts": {"codec": "mpeg2video", "options": {"bf": "2"}},
    "palette.gif": {"codec": "gif", "pix_fmt": "rgb8", "fps": 20},
    "with-sound.mp4": {"audio": True, "options": H264},
    "name with 'quotes' #1?%2F.mp4": {"options": H264},
}


@pytest.mark.parametrize("name", CLIPS)
def test_selective_frames_are_those_of_a_full_decode(tmp_path: Path, name: str) -> None:
    path = write_clip(tmp_path / name, **{"seconds": 3, **CLIPS[name]})
    frames, facts = assert_identical(path)
    fps = CLIPS[name].get("fps", 24)
    assert [round(seconds * fps) for _, seconds, _ in frames] == [index for index, _, _ in frames]
    assert [seconds for _, seconds, _ in frames] == pytest.approx([0.5 * n for n in range(len(frames))], abs=0.06)
    # The frames show their own numbers; an edit list may have cut off the first ones.
    cut = read_number(frames[0][2])
    assert [read_number(pixels) for _, _, pixels in frames] == [cut + index for index, _, _ in frames]
    assert cut == (15 if name == "edit-list.mp4" else 0)
    assert facts.frames_in_video == 3 * fps - cut
    assert facts.packets_damaged == 0
    assert facts.fps == pytest.approx(fps, rel=0.02)


@pytest.mark.parametrize("sample_fps", [0.4, 1.0, 7.3, 24.0, 60.0])
def test_any_sampling_rate(tmp_path: Path, sample_fps: float) -> None:
    path = write_clip(tmp_path / "clip.mp4", seconds=3, options=H264)
    frames, facts = assert_identical(path, DecodeSettings(input=SETTINGS.input, sample_fps=sample_fps))
    wanted = sorted({int(n * 24 / Fraction(str(sample_fps))) for n in range(math.ceil(3 * sample_fps))})
    assert [index for index, _, _ in frames] == wanted
    assert [read_number(pixels) for _, _, pixels in frames] == wanted
    assert facts.frames_sampled == len(wanted)


@given(data=st.data())
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_encoder_settings(tmp_path: Path, data: st.DataObject) -> None:
    codec = data.draw(st.sampled_from(["libx264", "libx264", "libx265"]), label="codec")
    open_groups = data.draw(st.booleans(), label="open groups")
    group, b_frames = (
        data.draw(st.integers(1, 40), label="group"),
        data.draw(st.integers(0, 4), label="b-frames"),
    )
    references = data.draw(st.integers(1, 5), label="references")
    durations = data.draw(st.lists(st.sampled_from([0.02, 0.04, 0.1, 0.7]), min_size=2, max_size=50))
    params = f"keyint={group}:min-keyint={min(group, 2)}:bframes={b_frames}:ref={references}"
    params += f":open-gop={int(open_groups)}"
    path = write_clip(
        tmp_path / data.draw(st.sampled_from(["clip.mp4", "clip.mkv"]), label="container"),
        codec=codec,
        width=64,
        height=48,
        pts_s=np.cumsum([0, *durations]).tolist(),
        options={"x264-params" if codec == "libx264" else "x265-params": params},
    )
    sample_fps = data.draw(st.sampled_from([0.5, 2.0, 5.0, 24.0]), label="rate")
    frames, _ = assert_identical(path, DecodeSettings(input=SETTINGS.input, sample_fps=sample_fps))
    assert [read_number(pixels) for _, _, pixels in frames] == [index for index, _, _ in frames]


def test_variable_rate_shows_what_is_on_screen(tmp_path: Path) -> None:
    pts_s = [0, 0.1, 0.2, 0.9, 1.6, 1.7, 1.99, 2.0, 2.6]
    frames, _ = assert_identical(write_clip(tmp_path / "clip.mp4", pts_s=pts_s))
    # On screen at 0, 0.5, 1, 1.5, 2, 2.5 s.
    assert [(index, read_number(pixels)) for index, _, pixels in frames] == [(0, 0), (2, 2), (3, 3), (7, 7)]
    assert [seconds for _, seconds, _ in frames] == pytest.approx([0, 0.2, 0.9, 2.0], abs=1e-4)


def test_only_needed_packets_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"g": "24", "bf": "2", "x264-params": "b-pyramid=none:b-adapt=0:scenecut=0"}
    path = write_clip(tmp_path / "clip.mp4", seconds=4, options=options)
    # Of 96 frames: 8 sampled, and the references between the first and the second of each of the 4 groups.
    assert decoded_frames(path, monkeypatch) <= 4 * 6


def test_files_too_large_to_keep_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_clip(tmp_path / "clip.mp4", seconds=4, width=320, height=192, options=H264)
    kept, facts = decode(path)
    damaged = damage(write_clip(tmp_path / "damaged.mp4", seconds=4, width=320, height=192, options=H264), size=300)
    kept_damaged, damaged_facts = decode(damaged)
    monkeypatch.setattr(decoding, "_KEEP_BYTES", 0)
    for clip, expected, expected_facts in ((path, kept, facts), (damaged, kept_damaged, damaged_facts)):
        read, read_facts = decode(clip)
        assert [frame[0] for frame in read] == [frame[0] for frame in expected]
        assert all(np.array_equal(a[2], b[2]) for a, b in zip(read, expected, strict=True))
        assert read_facts == expected_facts


# Damage


def test_frames_built_on_damage_are_lost_and_the_others_are_exact(tmp_path: Path) -> None:
    every = DecodeSettings(input=SETTINGS.input, sample_fps=24)
    path = write_clip(tmp_path / "clip.mp4", width=320, height=192, seconds=4, options={"g": "24", "crf": "18"})
    sound = {index: pixels for index, _, pixels in decode(path, every)[0]}
    frames, facts = decode(damage(path, at=0.5, size=1500), every)
    assert facts.frames_sampled == 96
    assert 0 < len(frames) < 96
    assert facts.frames_decoded == len(frames)
    assert facts.packets_damaged is not None
    assert facts.packets_damaged > 0
    assert all(np.array_equal(pixels, sound[index]) for index, _, pixels in frames)
    # Only one group of 24 is hit, or two neighbours.
    assert len({index // 24 for index in set(sound) - {index for index, _, _ in frames}}) <= 2
    assert [index for index, _, _ in frames] == sorted(index for index, _, _ in frames)


@pytest.mark.parametrize(
    ("name", "clip"),
    [
        ("clip.mp4", {"options": {"g": "24"}}),
        ("open.mp4", {"codec": "libx265", "options": {"x265-params": "keyint=24:bframes=4"}}),
        ("clip.ts", {"options": {"g": "24"}}),
        ("av1.mp4", {"codec": "libsvtav1", "options": {"svtav1-params": "keyint=24"}}),
        ("mpeg4.mp4", {"codec": "mpeg4"}),
        ("mpeg2.ts", {"codec": "mpeg2video"}),
    ],
)
def test_decoding_goes_on_after_damage(tmp_path: Path, name: str, clip: dict) -> None:
    every = DecodeSettings(input=SETTINGS.input, sample_fps=24)
    path = write_clip(tmp_path / name, width=320, height=192, seconds=4, **clip)
    sound, _ = decode(path, every)
    frames, facts = decode(damage(path, at=0.45, size=1000), every)
    assert facts.packets_damaged
    assert 0 < len(frames) < facts.frames_sampled <= len(sound)  # type: ignore[operator]
    # The last group, long after the damage, is there again.
    assert np.array_equal(frames[-1][2], sound[-1][2])


def test_a_truncated_file_gives_what_is_there_and_counts_the_rest(tmp_path: Path) -> None:
    path = write_clip(
        tmp_path / "clip.mp4", width=320, height=192, seconds=4, options=H264, muxer={"movflags": "faststart"}
    )
    sound, _ = decode(path)
    for full in (False, True):
        frames, facts = decode(truncate(path, keep=0.6) if not full else path, full=full)
        assert facts.frames_in_video == 96
        assert facts.frames_sampled == 8
        assert 3 <= len(frames) < 8
        assert facts.packets_damaged
        assert facts.packets_damaged >= 24
        for (index, _, pixels), (expected_index, _, expected) in zip(frames, sound, strict=False):
            assert index == expected_index
            assert np.array_equal(pixels, expected)


def test_a_video_that_is_damaged_all_over_is_undecodable(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", width=320, height=192, muxer={"movflags": "faststart"})
    data = path.read_bytes()
    error = failure(damage(path, at=(data.index(b"mdat") + 4) / len(data), size=len(data)))
    assert error.outcome is Outcome.UNDECODABLE
    assert error.reason.startswith("no frame could be decoded: ")
    assert error.facts.frames_decoded == 0
    assert error.facts.codec == "h264"


# What is no video


def test_what_is_no_video_says_so(tmp_path: Path) -> None:
    cases = {
        "the file is empty": b"",
        "not a readable video file: invalid data found when processing input": b"Dear diary, today nothing.\n" * 40,
    }
    for number, (reason, content) in enumerate(cases.items()):
        path = tmp_path / f"{number}.mp4"
        path.write_bytes(content)
        error = failure(path)
        assert (error.outcome, error.reason) == (Outcome.UNDECODABLE, reason)


def test_a_file_without_its_index_is_undecodable(tmp_path: Path) -> None:
    path = truncate(write_clip(tmp_path / "clip.mp4"), keep=0.5)
    assert failure(path).reason == "not a readable video file: invalid data found when processing input"


def test_audio_only(tmp_path: Path) -> None:
    error = failure(write_audio(tmp_path / "sound.mp4"))
    assert (error.outcome, error.reason) == (Outcome.UNDECODABLE, "has no video stream (audio only)")


def test_a_cover_picture_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as out:
        sound = out.add_stream("aac", rate=16_000)
        cover = out.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"  # type: ignore[attr-defined]
        cover.disposition = av.stream.Disposition.attached_pic  # type: ignore[attr-defined]
        picture = av.VideoFrame.from_ndarray(draw_frame(0, 64, 64)).reformat(format="yuvj420p")
        out.mux(cover.encode(picture))  # type: ignore[arg-type]
        out.mux(cover.encode(None))  # type: ignore[arg-type]
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 16_000
        out.mux(sound.encode(silence))  # type: ignore[arg-type]
        out.mux(sound.encode(None))
    assert failure(path).reason == "has no video stream (audio only)"


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        decode(tmp_path / "gone.mp4")


# Limits


def test_pixels_over_the_limit_are_refused_before_decoding(tmp_path: Path) -> None:
    # A valid GIF with a small picture on a screen of 132 megapixels.
    path = tmp_path / "huge.gif"
    screen = struct.pack("<6sHHBBB", b"GIF89a", 12_000, 11_000, 0x80, 0, 0) + bytes([0, 0, 0, 255, 255, 255])
    image = struct.pack("<BHHHHB", 0x2C, 0, 0, 2, 2, 0) + bytes([2, 2, 0x44, 0x01, 0, 0x3B])
    path.write_bytes(screen + image)
    error = failure(path)
    assert error.outcome is Outcome.TOO_LARGE
    assert error.reason == "frames of 12000x11000 pixels are over the limit of 36,000,000 pixels"
    assert (error.facts.width, error.facts.height) == (12_000, 11_000)
    assert failure(write_clip(tmp_path / "clip.mp4"), DecodeLimits(max_pixels=100)).outcome is Outcome.TOO_LARGE


def test_length_over_the_limit_is_refused(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "long.mp4", pts_s=[0, 1, 4000], width=64, height=64)
    error = failure(path)
    assert (error.outcome, error.reason) == (
        Outcome.TOO_LARGE,
        "a video of 4,000 s is over the limit of 3,600 s",
    )


# Safety


@pytest.fixture
def listener():
    """The port of a loopback server, and the list of connections made to it."""
    connections: list[tuple] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        stop = threading.Event()

        def accept() -> None:
            while not stop.is_set():
                try:
                    connection, address = server.accept()
                except TimeoutError:
                    continue
                connections.append(address)
                connection.close()

        thread = threading.Thread(target=accept)
        thread.start()
        yield server.getsockname()[1], connections
        stop.set()
        thread.join()


def _playlists(secret: Path, port: int) -> dict[str, str]:
    address = f"http://127.0.0.1:{port}/segment.ts"
    return {
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{address}\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n",
        "concat": f"ffconcat version 1.0\nfile '{secret}'\nfile '{address}'\n",
        "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period>'
        f'<AdaptationSet><Representation id="1" bandwidth="1"><BaseURL>{address}</BaseURL></Representation>'
        "</AdaptationSet></Period></MPD>",
        "sdp": f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\n",
    }


@pytest.mark.parametrize("kind", ["hls", "concat", "dash", "sdp"])
def test_a_playlist_named_mp4_opens_nothing(tmp_path: Path, listener, kind: str) -> None:
    port, connections = listener
    secret = write_clip(tmp_path / "secret.ts")
    _never_read(secret)
    path = tmp_path / "clip.mp4"
    path.write_text(_playlists(secret, port)[kind])
    error = failure(path)
    assert error.outcome is Outcome.UNDECODABLE
    assert error.reason in (
        "its container format is not one that is read: a playlist, script or image, not a video file",
        "not a readable video file: invalid data found when processing input",
    )
    assert connections == []
    assert secret.stat().st_atime == 0, "the file that the playlist names was read"
    secret.read_bytes()
    assert secret.stat().st_atime > 0, "this file system keeps no access times, so this test shows nothing"


def _never_read(path: Path) -> None:
    """Sets a file's access time so that the next reading of it shows (also under relatime)."""
    os.utime(path, (0, 0))


def test_external_data_references_are_not_followed(tmp_path: Path, listener) -> None:
    port, connections = listener
    secret = write_clip(tmp_path / "secret.mp4", muxer={"movflags": "faststart"})
    path = tmp_path / "clip.mp4"
    for reference in (
        _url_reference(f"http://127.0.0.1:{port}/x.mp4"),
        _url_reference(secret.name),
        _alias_reference(str(secret)),
    ):
        path.write_bytes(_with_external_data(secret.read_bytes(), reference))
        _never_read(secret)
        assert failure(path).outcome is Outcome.UNDECODABLE
        assert connections == []
        assert secret.stat().st_atime == 0, "the file that the data reference names was read"

    # The alias does lead there, for those who let it.
    with av.open(str(path), options={"enable_drefs": "1", "use_absolute_path": "1"}) as followed:
        assert len(list(followed.decode(video=0))) == 48
    assert secret.stat().st_atime > 0


def _url_reference(location: str) -> bytes:
    name = location.encode() + b"\0"
    return struct.pack(">I4sI", 12 + len(name), b"url ", 0) + name


def _alias_reference(location: str) -> bytes:
    """A Macintosh alias, the kind of reference that FFmpeg can follow: of its fields only the path is set."""
    name = location.encode() + b"\0" * (len(location) % 2)
    record = bytes(10 + 28 + 12 + 64 + 16 + 4 + 16) + struct.pack(">HH", 2, len(name)) + name + b"\xff\xff\0\0"
    return struct.pack(">I4sI", 12 + len(record), b"alis", 0) + record


def _with_external_data(movie: bytes, reference: bytes) -> bytes:
    """The index of an mp4 whose media data lies where its data reference (ISO/IEC 14496-12, dref) says."""
    inside = struct.pack(">I4sI", 12, b"url ", 1)
    grown, at = len(reference) - len(inside), movie.index(inside)
    data = bytearray(movie[: movie.index(b"mdat") - 4])
    data[at : at + len(inside)] = reference
    for box in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):
        start = data.index(box) - 4
        struct.pack_into(">I", data, start, struct.unpack_from(">I", data, start)[0] + grown)
    return bytes(data)


@pytest.mark.parametrize(
    "name", ["http:x.mp4", "concat:a|b.mp4", "%03d.mp4", "-x.mp4", "pipe:0", "a\nb.mp4", "ü?#.mp4"]
)
def test_a_file_name_means_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    write_clip(tmp_path / "clip.mp4", options=H264).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    frames, _ = decode(Path(name))
    assert [read_number(pixels) for _, _, pixels in frames] == [0, 12, 24, 36]


def test_a_name_ending_in_a_playlist_is_read_by_its_content(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4").rename(tmp_path / "clip.m3u8")
    assert decode(path)[1].container == "mov,mp4,m4a,3gp,3g2,mj2"


# Pixels


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_rotation_is_applied(tmp_path: Path, rotation: int) -> None:
    path = write_clip(tmp_path / "clip.mp4", rotation=rotation, options=H264)
    frames, facts = assert_identical(path)
    assert facts.rotation_deg == rotation
    assert (facts.width, facts.height) == ((96, 160) if rotation % 180 else (160, 96))
    upright = [np.rot90(pixels, rotation // 90) for _, _, pixels in frames]
    assert [read_number(pixels) for pixels in upright] == [0, 12, 24, 36]


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_mirroring_is_applied(tmp_path: Path, degrees: int) -> None:
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        stream.set_display_rotation(-degrees, hflip=True)
        out.mux(stream.encode(av.VideoFrame.from_ndarray(draw_frame(0b01001101, 160, 96), format="rgb24")))
        out.mux(stream.encode(None))
    ((_, _, pixels),), _ = decode(path)
    # PyAV mirrors after turning: take the mirroring off first.
    assert read_number(np.rot90(np.fliplr(pixels), degrees // 90)) == 0b01001101


def test_sizes_from_tiny_to_tall(tmp_path: Path) -> None:
    for width, height in ((16, 16), (64, 1920), (1920, 64), (50, 34)):
        frames, facts = assert_identical(write_clip(tmp_path / "clip.mp4", width=width, height=height, seconds=1))
        assert (facts.width, facts.height) == (width, height)
        assert [pixels.shape for _, _, pixels in frames] == [(48, 80, 3)] * 2
    odd = write_clip(tmp_path / "odd.gif", codec="gif", pix_fmt="rgb8", width=33, height=17, fps=10)
    assert [pixels.shape for _, _, pixels in decode(odd)[0]] == [(48, 80, 3)] * 4


def _solid(width: int, height: int, colorspace: int, color_range: int) -> av.VideoFrame:
    """Limited-range BT.709 red, or what else the same numbers mean under other tags."""
    frame = av.VideoFrame(width, height, "yuv420p")
    for plane, value in zip(frame.planes, (63, 102, 240), strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    frame.colorspace, frame.color_range = colorspace, color_range
    return frame


UNTAGGED, BT709, BT601, BT2020 = 2, 1, 6, 9
LIMITED, FULL = 1, 2


@pytest.mark.parametrize(
    ("frame", "rgb"),
    [
        (_solid(320, 240, BT709, LIMITED), (255, 0, 0)),
        (_solid(1280, 720, UNTAGGED, 0), (255, 0, 0)),
        (_solid(320, 240, UNTAGGED, 0), (233, -25, 2)),
        (_solid(1280, 720, BT601, LIMITED), (233, -25, 2)),
        (_solid(320, 240, BT709, FULL), (239, 16, 15)),
        (_solid(320, 240, BT2020, LIMITED), (243, -14, -1)),
    ],
    ids=["709", "untagged HD", "untagged SD", "601", "full range", "2020"],
)
def test_colour_follows_the_tags(frame: av.VideoFrame, rgb: tuple[int, int, int]) -> None:
    pixels = to_rgb(frame, InputSpec(height=32, width=32))
    assert np.abs(pixels.astype(int) - np.clip(rgb, 0, 255)).max() <= 3


def test_ten_bits_look_like_eight(tmp_path: Path) -> None:
    eight, _ = decode(write_clip(tmp_path / "8.mp4", codec="libx265", options={"crf": "8"}))
    ten, _ = decode(write_clip(tmp_path / "10.mp4", codec="libx265", pix_fmt="yuv420p10le", options={"crf": "8"}))
    for (_, _, a), (_, _, b) in zip(eight, ten, strict=True):
        assert np.abs(a.astype(int) - b).mean() < 3


@pytest.mark.parametrize("kernel", ["area", "bilinear", "bicubic", "lanczos"])
def test_shrinking_does_not_alias(kernel: str) -> None:
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 255
    frame = av.VideoFrame.from_ndarray(stripes, format="rgb24")
    pixels = to_rgb(frame, InputSpec(height=64, width=64, resize=kernel))
    assert np.abs(pixels[:, 4:-4].astype(int) - 127).max() <= 3


# The real thing


@pytest.mark.realdata
@pytest.mark.skipif(not REAL_CLIPS.is_dir(), reason=f"{REAL_CLIPS} is not here")
def test_real_clips_are_identical_and_real_damage_is_lost(tmp_path: Path) -> None:
    clip = min((REAL_CLIPS / "sora15" / "clips").iterdir(), key=lambda path: path.stat().st_size)
    sound = {index: pixels for index, _, pixels in assert_identical(clip)[0]}
    lost = 0
    for tenth in range(1, 10):
        path = tmp_path / "damaged.mp4"
        path.write_bytes(clip.read_bytes())
        frames, facts = decode(damage(path, at=tenth / 10, size=20_000))
        assert facts.frames_sampled == len(sound)
        assert all(np.array_equal(pixels, sound[index]) for index, _, pixels in frames)
        assert bool(facts.packets_damaged) == (len(frames) < len(sound))
        lost += len(sound) - len(frames)
    # Damage costs the rest of a group, and nothing where it hits what need not be decoded.
    assert 0 < lost < 9 * len(sound) / 4
