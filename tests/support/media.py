"""Test clips, made at test time: each frame has moving shapes and its own number as a bar code."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

CODE_BITS = 8
"""Bars of the code in a frame's top quarter: its number modulo 256, least significant bit on the left."""

_TIME_BASE = Fraction(1, 90_000)


def draw_frame(number: int, width: int, height: int) -> np.ndarray:
    """Frame ``number`` as uint8 RGB, (height, width, 3): the bar code above a moving gradient and box."""
    y, x = np.mgrid[0:height, 0:width]
    picture = np.stack(
        [
            40 + 150 * x // width + 3 * number,
            60 + 120 * y // height + 2 * number,
            128 + 60 * np.sin(x / 9.0 + number / 5.0) * np.cos(y / 7.0),
        ],
        axis=-1,
    )
    picture = (picture % 256).astype(np.uint8)
    side = max(2, min(width, height) // 4)
    top, left = height // 2, (5 * number) % max(1, width - side)
    picture[top : top + side, left : left + side] = (250, 220, 20)
    bar_of_column = np.arange(width) * CODE_BITS // width
    picture[: height // 4] = np.where((number >> bar_of_column) & 1, 235, 16)[:, None]
    return picture


def read_number(picture: np.ndarray) -> int:
    """The number drawn on a decoded frame; ``picture``: uint8 RGB, (H, W, 3), each side at least 16."""
    strip = picture[: max(1, picture.shape[0] // 8)].mean(axis=(0, 2))
    centres = ((np.arange(CODE_BITS) + 0.5) * len(strip) / CODE_BITS).astype(int)
    return sum(1 << bit for bit, column in enumerate(centres) if strip[column] > 128)


@contextmanager
def _scheduling_restored() -> Iterator[None]:
    """Restores the scheduling of this thread: SVT-AV1 gives root's thread the highest real-time priority."""
    policy, priority = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, priority)


def write_clip(
    path: str | Path,
    *,
    codec: str = "libx264",
    width: int = 160,
    height: int = 96,
    fps: Fraction | int = 24,
    seconds: float = 2.0,
    pts_s: Sequence[float] | None = None,
    options: dict[str, str] | None = None,
    pix_fmt: str = "yuv420p",
    rotation: int = 0,
    audio: bool = False,
    container: str | None = None,
    muxer: dict[str, str] | None = None,
    draw: Callable[[int, int, int], np.ndarray] = draw_frame,
) -> Path:
    """Writes a clip and returns its path; the format follows the name, unless ``container`` is given.

    ``pts_s``: each frame's presentation time in seconds, instead of ``fps`` and ``seconds``. ``rotation``: clockwise
    degrees a player has to turn the frames. ``options`` are the encoder's, ``muxer`` the container's.
    """
    path = Path(path)
    times = pts_s if pts_s is not None else [n / Fraction(fps) for n in range(round(seconds * fps))]
    with _scheduling_restored(), av.open(str(path), "w", format=container, options=muxer or {}) as out:
        stream = cast(VideoStream, out.add_stream(codec, rate=Fraction(fps), options=_quiet(codec, options or {})))
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        # GIF's times are hundredths of a second, those of MPEG-4 part 2, MPEG-1/2 and Ogg whole frames.
        coarse = codec in {"gif", "mpeg4", "mpeg2video", "mpeg1video", "msmpeg4"} or path.suffix == ".ogv"
        time_base = 1 / Fraction(fps) if coarse else _TIME_BASE
        if codec == "gif":
            time_base = Fraction(1, 100)
        stream.codec_context.time_base = time_base
        stream.codec_context.thread_count = 1
        if rotation:
            stream.set_display_rotation(-rotation)
        sound = cast(AudioStream, out.add_stream("aac", rate=16_000)) if audio else None
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(draw(number, width, height), format="rgb24")
            frame = frame.reformat(format=pix_fmt, threads=1)
            frame.pts, frame.time_base = round(Fraction(time) / time_base), time_base
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if sound is not None:
            for frame in _tone(float(times[-1]), 16_000):
                out.mux(sound.encode(frame))
            out.mux(sound.encode(None))
    return path


def write_audio(path: str | Path, *, seconds: float = 1.0) -> Path:
    """Writes a file with audio only."""
    with av.open(str(path), "w") as out:
        sound = cast(AudioStream, out.add_stream("aac", rate=16_000))
        for frame in _tone(seconds, 16_000):
            out.mux(sound.encode(frame))
        out.mux(sound.encode(None))
    return Path(path)


def damage(path: str | Path, *, at: float = 0.5, size: int = 2_000, seed: int = 0) -> Path:
    """Overwrites ``size`` bytes with noise, starting at the fraction ``at`` of the file."""
    path = Path(path)
    data = bytearray(path.read_bytes())
    start = int(len(data) * at)
    noise = np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8).tobytes()
    data[start : start + size] = noise[: len(data) - start]
    path.write_bytes(data)
    return path


def truncate(path: str | Path, *, keep: float) -> Path:
    """Cuts a file down to the fraction ``keep`` of its bytes."""
    path = Path(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    return path


def _tone(seconds: float, rate: int) -> Iterator[av.AudioFrame]:
    for start in range(0, int(seconds * rate), 1024):
        wave = 0.2 * np.sin(2 * np.pi * 440 * np.arange(start, start + 1024) / rate)
        frame = av.AudioFrame.from_ndarray(wave.astype(np.float32)[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
        yield frame


def _quiet(codec: str, options: dict[str, str]) -> dict[str, str]:
    """``options`` with one thread, and without the encoder's messages on stderr."""
    if codec == "libx265":
        extra = options.get("x265-params", "")
        return {
            **options,
            "x265-params": "log-level=none:pools=none:frame-threads=1" + (f":{extra}" if extra else ""),
        }
    return {"threads": "1", **options}
