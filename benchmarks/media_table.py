"""What PyAV alone, decord, torchcodec and artifactscan make of odd media, as the table of docs/media.md.

    python benchmarks/media_table.py [--torchcodec build/media-tools] [--json media_table.json]

Each file is made here, two or four seconds of 24 frames a second, each frame with its number as a bar code. Each tool
reads it in a process of its own, the way its documentation shows: which frame is on screen at 0, 0.5, 1 s …, at what
size, and for grey clips how dark and light it is. ``--torchcodec``: a virtual environment with torchcodec, which runs
here with this environment's torch and PyAV's FFmpeg libraries; without one its column says why it is empty.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from media import draw_frame, read_number, write_clip
from odd_media import (
    B_FRAMES,
    clean_aperture,
    edit_list,
    empty_sample,
    flv_with_duration,
    green_bar,
    join,
    joined,
    long_sei,
    motion_photo,
    pixel_crop,
    remux,
    two_descriptions,
    write_second_half,
)

from benchmarks.borrowed_torchcodec import site_packages, torchcodec_environment

TOOLS = ("PyAV alone", "decord", "torchcodec", "artifactscan")
TIMEOUT_S = 60
STEP_S = 0.5
MOST_SAMPLES = 12
LEVELS_TOLERANCE = 5
TWO_SECONDS = (0, 12, 24, 36)
FOUR_SECONDS = (0, 12, 24, 36, 48, 60, 72, 84)


@dataclass(frozen=True)
class Kind:
    """A kind of file and what is right of it."""

    title: str
    name: str
    make: Callable[[Path], Path]
    frames: tuple[int, ...] = TWO_SECONDS
    """Numbers of the frames on screen at 0, 0.5, 1 s, …"""
    size: tuple[int, int] = (160, 96)
    """Width and height as shown."""
    levels: tuple[int, int] | None = None
    """Grey values of dark and light bars, where they are compared."""


def _differing(path: Path) -> Path:
    first = write_clip(path.with_name("first.mkv"), options=B_FRAMES)
    options = {"g": "24", "bf": "0", "profile": "baseline", "x264-params": "cabac=0"}
    return join(path, first, write_second_half(path.with_name("second.mkv"), options=options))


def _jump(path: Path) -> Path:
    first = write_clip(path.with_name("first.ts"))
    return join(path, first, write_second_half(path.with_name("second.ts"), muxer={"output_ts_offset": "25000"}))


def _theora_twice(path: Path) -> Path:
    """Of a file made with FFmpeg's program, as PyAV has no encoder."""
    part = Path(__file__).resolve().parents[1] / "tests/data/theora/second.ogv"
    return join(path, part, part)


def _made_up(path: Path, **clip: Any) -> Path:
    return remux(write_clip(path.with_name("source.mp4"), **clip), path, made_up_times=True)


KINDS: tuple[Kind, ...] = (
    Kind("mp4, H.264: SEI messages longer than their NAL unit", "sei.mp4", long_sei),
    Kind("mp4, HEVC: the same", "sei-hevc.mp4", lambda path: long_sei(path, "libx265")),
    Kind("mp4: an empty sample; the frame before stays on screen", "empty.mp4", empty_sample, (0, 12, 24, 35)),
    Kind("mp4: two sample descriptions, other parameter sets from frame 36 on", "descriptions.mp4", two_descriptions),
    Kind("FLV: the same", "descriptions.flv", two_descriptions),
    Kind(
        "MPEG-TS: two recordings joined",
        "joined.ts",
        lambda path: joined(path, options=B_FRAMES),
        FOUR_SECONDS,
    ),
    Kind("MPEG-TS: the second begins 25,000 s later by its clock", "jump.ts", _jump, FOUR_SECONDS),
    Kind(
        "MPEG-PS: two recordings joined",
        "joined.mpg",
        lambda path: joined(path, codec="mpeg2video", options=B_FRAMES),
        FOUR_SECONDS,
    ),
    Kind("Matroska: two recordings joined", "joined.mkv", lambda path: joined(path, options=B_FRAMES), FOUR_SECONDS),
    Kind("Matroska: the same, with other parameter sets", "differing.mkv", _differing, FOUR_SECONDS),
    Kind(
        "WebM, VP9: two recordings joined", "joined.webm", lambda path: joined(path, codec="libvpx-vp9"), FOUR_SECONDS
    ),
    Kind("FLV: two recordings joined", "joined.flv", lambda path: joined(path, options=B_FRAMES), FOUR_SECONDS),
    Kind("Ogg, VP8: two recordings joined", "joined.ogv", lambda path: joined(path, codec="libvpx"), FOUR_SECONDS),
    Kind("Ogg, Theora and Vorbis: the same one twice", "theora.ogv", _theora_twice, FOUR_SECONDS[4:] * 2, (128, 64)),
    Kind(
        "MPEG-TS: the clock of 33 bits wraps",
        "wrap.ts",
        lambda path: write_clip(path, options=B_FRAMES, muxer={"output_ts_offset": str(2**33 / 90_000 - 1)}),
    ),
    Kind(
        "Matroska: the clock starts at 20,000 s",
        "late.mkv",
        lambda path: write_clip(path, pts_s=[20_000 + n / 24 for n in range(48)]),
    ),
    Kind("FLV: the header says 86,400 s", "duration.flv", lambda path: flv_with_duration(path, 86_400.0)),
    Kind("mp4: a larger still as a second track, which is not the default", "photo.mp4", motion_photo),
    Kind("mp4: the same, both tracks default", "both.mp4", lambda path: motion_photo(path, default=False)),
    Kind("AVI, H.264 with B-frames: no presentation times", "b.avi", lambda path: write_clip(path, options=B_FRAMES)),
    Kind(
        "Matroska, MPEG-4 with B-frames: times in decoding order",
        "b.mkv",
        lambda path: _made_up(path, codec="mpeg4", options={"bf": "2"}),
    ),
    Kind(
        "Matroska: PixelCropBottom",
        "crop.mkv",
        lambda path: pixel_crop(path, bottom=24, draw=green_bar),
        size=(160, 72),
    ),
    Kind(
        "mp4: clean aperture (clap)",
        "clap.mp4",
        lambda path: clean_aperture(path, 160, 72, down=-12, draw=green_bar),
        size=(160, 72),
    ),
    Kind(
        "mp4: pixels of 64:45",
        "pixels.mp4",
        lambda path: write_clip(path, options={"x264-params": "sar=64/45"}),
        size=(228, 96),
    ),
    Kind("mp4: to be turned by 180°", "turned.mp4", lambda path: write_clip(path, draw=_turned, rotation=180)),
    Kind(
        "mp4, HEVC: grey of limited range",
        "grey.mp4",
        lambda path: write_clip(path, codec="libx265", pix_fmt="gray"),
        levels=(0, 255),
    ),
    Kind(
        "mp4: an edit list cuts the first 0.6 s",
        "edit.mp4",
        lambda path: write_clip(path, pts_s=[-0.6 + n / 24 for n in range(72)], options=B_FRAMES),
        (15, 27, 39, 51, 63),
    ),
    Kind(
        "mp4: an edit list shows the second half first",
        "edits.mp4",
        lambda path: edit_list(path, (1, 1), (1, 0)),
        (24, 36, 0, 12),
    ),
    Kind(
        "Matroska: open groups of pictures",
        "open.mkv",
        lambda path: write_clip(path, options={"g": "24", "x264-params": "open-gop=1:bframes=3"}),
    ),
    Kind("GIF", "clip.gif", lambda path: write_clip(path, codec="gif", pix_fmt="rgb8", fps=20), (0, 10, 20, 30)),
    Kind("mp4, AV1", "av1.mp4", lambda path: write_clip(path, codec="libsvtav1")),
)


def _turned(number: int, width: int, height: int) -> np.ndarray:
    return np.ascontiguousarray(np.rot90(draw_frame(number, width, height), 2))


def main() -> int:
    arguments = _arguments()
    if arguments.read:
        tool, path = arguments.read
        print(json.dumps(READERS[tool](path)))
        return 0
    missing = _missing_tools(arguments.torchcodec)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            place = Path(folder) / kind.name.replace(".", "-")
            place.mkdir()
            path = kind.make(place / kind.name)
            cells = {
                tool: "–" if tool in missing else describe(kind, read(tool, path, arguments.torchcodec))
                for tool in TOOLS
            }
            rows.append({"kind": kind.title, "right": right(kind), **cells})
    print(as_markdown(rows))
    for tool, reason in missing.items():
        print(f"\n{tool}: not measured; {reason}")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2, ensure_ascii=False))
    return 0 if all(row["artifactscan"] == "right" for row in rows) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--torchcodec", type=Path, metavar="DIR", help="a virtual environment with torchcodec")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--read", nargs=2, metavar=("TOOL", "FILE"), help=argparse.SUPPRESS)
    return parser.parse_args()


def _missing_tools(torchcodec: Path | None) -> dict[str, str]:
    """Tools that are not installed, and why."""
    missing = {}
    if not find_spec("decord"):
        missing["decord"] = "it has wheels for Linux on x86-64 only"
    if torchcodec is None or not site_packages(torchcodec):
        missing["torchcodec"] = "it could not be installed (make media-table tries it)"
    return missing


def read(tool: str, path: Path, torchcodec: Path | None = None) -> dict[str, Any]:
    """What a tool makes of a file, in a process of its own: frames, size, levels; or ``error``."""
    with tempfile.TemporaryDirectory() as folder:
        environment = dict(os.environ)
        if tool == "torchcodec" and torchcodec:
            environment = torchcodec_environment(torchcodec, Path(folder))
        command = [sys.executable, __file__, "--read", tool, str(path)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, env=environment)
        except subprocess.TimeoutExpired:
            return {"error": f"not done after {TIMEOUT_S} s"}
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or [f"ends with {done.returncode}"])[-1]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def right(kind: Kind) -> str:
    """The right frames, and what else is compared, in words."""
    words = ", ".join(map(str, kind.frames))
    words += f"; {kind.size[0]}×{kind.size[1]}" if kind.size != (160, 96) else ""
    return words + (f"; grey {kind.levels[0]} to {kind.levels[1]}" if kind.levels else "")


def describe(kind: Kind, found: dict[str, Any]) -> str:
    """``right``, or how what a tool found differs."""
    if "error" in found:
        return f"error: {shorten(found['error'])}"
    words = []
    if tuple(found["frames"]) != kind.frames:
        words.append(", ".join(map(str, found["frames"])) or "no frame")
    if tuple(found["size"]) != kind.size:
        words.append(f"{found['size'][0]}×{found['size'][1]}")
    if kind.levels and np.abs(np.subtract(found["levels"], kind.levels)).max() > LEVELS_TOLERANCE:
        words.append(f"grey {found['levels'][0]} to {found['levels'][1]}")
    return "; ".join(words) or "right"


def shorten(error: str) -> str:
    """An error in a few words: without exception names, places and file names."""
    error = re.sub(r"^(\w+\.)*\w+(Error|Exception): |\[[^\]]*\]|/\S+|[|`]", " ", error)
    words = " ".join(error.split())
    return words if len(words) <= 60 else words[:57].rsplit(" ", 1)[0] + " …"


def as_markdown(rows: list[dict[str, str]]) -> str:
    """The table."""
    lines = ["| file | right | " + " | ".join(TOOLS) + " |", "|---" * (2 + len(TOOLS)) + "|"]
    lines += ["| " + " | ".join([row["kind"], row["right"], *(row[tool] for tool in TOOLS)]) + " |" for row in rows]
    return "\n".join(lines)


# Each tool as its documentation shows it: times of frames and their pictures to what is on screen when.


def _on_screen(times: list[float], last_s: float, picture: Callable[[int], np.ndarray]) -> dict[str, Any]:
    """What is on screen at 0, 0.5, 1 s … after the first frame; ``picture``: of the frame of that number."""
    starts = np.array(times) - times[0]
    wanted = np.arange(0, starts[-1] + last_s - 1e-3, STEP_S)[:MOST_SAMPLES]
    indices = np.searchsorted(starts, wanted + 1e-3, side="right") - 1
    pictures = [picture(int(index)) for index in indices]
    strip = np.concatenate([one[2 : max(3, one.shape[0] // 8)].reshape(-1, 3) for one in pictures])
    return {
        "frames": [read_number(one) for one in pictures],
        "size": [pictures[-1].shape[1], pictures[-1].shape[0]],
        "levels": [round(float(value)) for value in np.percentile(strip.mean(axis=-1), (10, 90))],
    }


def _read_with_pyav(path: str) -> dict[str, Any]:
    import av

    with av.open(path) as container:
        frames = list(container.decode(video=0))
    times = [float(frame.time) for frame in frames if frame.time is not None]
    return _on_screen(times, 1 / 24, lambda index: frames[index].to_ndarray(format="rgb24"))


def _read_with_decord(path: str) -> dict[str, Any]:
    import decord

    reader = decord.VideoReader(path, num_threads=1)
    times = reader.get_frame_timestamp(range(len(reader)))
    starts = times[:, 0].astype(float).tolist()
    return _on_screen(starts, float(times[-1, 1] - times[-1, 0]) or 1 / 24, lambda index: reader[index].asnumpy())


def _read_with_torchcodec(path: str) -> dict[str, Any]:
    from torchcodec.decoders import VideoDecoder  # pyright: ignore[reportMissingImports]

    decoder = VideoDecoder(path, dimension_order="NHWC")
    begin, end = decoder.metadata.begin_stream_seconds, decoder.metadata.end_stream_seconds
    wanted = np.arange(0, end - begin - 1e-3, STEP_S)[:MOST_SAMPLES]
    frames = [decoder.get_frame_played_at(begin + float(second)).data.numpy() for second in wanted]
    return _on_screen(wanted.tolist(), STEP_S, frames.__getitem__)


def _read_with_artifactscan(path: str) -> dict[str, Any]:
    from artifactscan.decode.input_spec import InputSpec
    from artifactscan.decode.video import DecodeSettings
    from artifactscan.decode.with_pyav import decode_pyav

    size = decode_pyav(path, DecodeSettings(input=InputSpec(height=16, width=16)), lambda *_: None)
    assert size.height and size.width
    frames: list[tuple[float, np.ndarray]] = []
    settings = DecodeSettings(input=InputSpec(height=size.height, width=size.width))
    facts = decode_pyav(path, settings, lambda _index, pts_s, pixels: frames.append((pts_s, pixels)))
    if facts.frames_decoded != facts.frames_sampled:
        raise ValueError(f"{facts.frames_decoded} of {facts.frames_sampled} frames")
    times = [pts_s for pts_s, _ in frames]
    return _on_screen(times, (facts.duration_s or 0) - times[-1], lambda index: frames[index][1])


READERS: dict[str, Callable[[str], dict[str, Any]]] = {
    "PyAV alone": _read_with_pyav,
    "decord": _read_with_decord,
    "torchcodec": _read_with_torchcodec,
    "artifactscan": _read_with_artifactscan,
}

if __name__ == "__main__":
    sys.exit(main())
