"""Files that are no video, too large, or hostile."""

import os
import socket
import struct
import threading
from pathlib import Path

import av
import numpy as np
import pytest
from decoded import H264, decode, failure
from media import draw_frame, read_number, truncate, write_audio, write_clip

from artifactscan.decode.video import DecodeLimits
from artifactscan.outcomes import Outcome

# What is no video


def test_files_that_are_no_video_are_undecodable(tmp_path: Path) -> None:
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


def test_a_file_with_audio_only_is_undecodable(tmp_path: Path) -> None:
    error = failure(write_audio(tmp_path / "sound.mp4"))
    assert (error.outcome, error.reason) == (Outcome.UNDECODABLE, "has no video stream (audio only)")


def test_a_cover_picture_is_not_a_video_stream(tmp_path: Path) -> None:
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
    path = write_clip(tmp_path / "long.mp4", pts_s=[0, 1, 8000, 15_000], width=64, height=64)
    error = failure(path)
    assert (error.outcome, error.reason) == (
        Outcome.TOO_LARGE,
        "a video of 15,000 s is over the limit of 14,400 s",
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
    assert error.reason == "not a readable video file: invalid data found when processing input" or (
        error.reason.startswith("its container is none of those that are read (mov, mp4, matroska, ")
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
def test_file_names_have_no_meaning_for_ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    write_clip(tmp_path / "clip.mp4", options=H264).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    frames, _ = decode(Path(name))
    assert [read_number(pixels) for _, _, pixels in frames] == [0, 12, 24, 36]


def test_a_name_ending_in_a_playlist_is_read_by_its_content(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4").rename(tmp_path / "clip.m3u8")
    assert decode(path)[1].container == "mov,mp4,m4a,3gp,3g2,mj2"
