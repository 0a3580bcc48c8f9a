"""A corpus of all kinds of files found in object storage, each with the outcome it has to get."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from media import damage, truncate, write_audio, write_clip

from artifactscan.outcomes import Outcome

NAMES = (
    "two  spaces.mp4",
    'quote\'s and "quotes".mp4',
    "%2Fpercent%20.mp4",
    "hash#tag.mp4",
    "what?.mp4",
    "new\nline.mp4",
    "-leading dash.mp4",
    "видео 視頻 🎬.mp4",
)
"""Names that are ordinary videos otherwise; one second long, two sampled frames."""


def _huge(path: Path) -> None:
    """130 megapixels, in a codec for which such a frame is a few kilobytes."""
    write_clip(path, codec="mjpeg", width=13_000, height=10_000, seconds=0.1, fps=10, pix_fmt="yuvj420p", draw=_flat)


def _flat(number: int, width: int, height: int) -> np.ndarray:
    return np.full((height, width, 3), 100 + number, np.uint8)


def _long(path: Path) -> None:
    """Five hours, a small frame every two minutes."""
    write_clip(path, width=32, height=32, pts_s=[120.0 * step for step in range(151)], draw=_flat)


def _variable(path: Path) -> None:
    write_clip(path, pts_s=[0, 0.04, 0.1, 0.7, 0.72, 1.9, 2.0])


def _negative(path: Path) -> None:
    write_clip(path, pts_s=[-0.5 + n / 24 for n in range(48)], container="matroska")


FILES: dict[str, tuple[Callable[[Path], object], Outcome]] = {
    "good.mp4": (lambda path: write_clip(path), Outcome.SCORED),
    "canvas.gif": (lambda path: write_clip(path, codec="gif", pix_fmt="rgb8", fps=10), Outcome.SCORED),
    "vp9.webm": (lambda path: write_clip(path, codec="libvpx-vp9", options={"cpu-used": "8"}), Outcome.SCORED),
    "av1.mp4": (lambda path: write_clip(path, codec="libsvtav1", options={"preset": "12"}), Outcome.SCORED),
    "hevc10.mp4": (lambda path: write_clip(path, codec="libx265", pix_fmt="yuv420p10le"), Outcome.SCORED),
    "mjpeg.avi": (lambda path: write_clip(path, codec="mjpeg", pix_fmt="yuvj420p"), Outcome.SCORED),
    "tiny.mp4": (lambda path: write_clip(path, width=16, height=16), Outcome.SCORED),
    "tall.mp4": (lambda path: write_clip(path, width=64, height=1920, seconds=0.5), Outcome.SCORED),
    "variable.mp4": (_variable, Outcome.SCORED),
    "negative.mkv": (_negative, Outcome.SCORED),
    "damaged.mp4": (
        lambda path: damage(write_clip(path, seconds=4, options={"g": "24", "crf": "18"}), size=1_500),
        Outcome.PARTIAL,
    ),
    "truncated.mp4": (
        lambda path: truncate(write_clip(path, seconds=4, muxer={"movflags": "faststart"}), keep=0.5),
        Outcome.PARTIAL,
    ),
    "no_index.mp4": (lambda path: truncate(write_clip(path), keep=0.5), Outcome.UNDECODABLE),
    "empty.mp4": (lambda path: path.touch(), Outcome.UNDECODABLE),
    "text.mp4": (lambda path: path.write_text("not a video\n" * 100), Outcome.UNDECODABLE),
    "audio.mp4": (write_audio, Outcome.UNDECODABLE),
    "playlist.mp4": (
        lambda path: path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\ngood.mp4\n#EXT-X-ENDLIST\n"),
        Outcome.UNDECODABLE,
    ),
    "huge.avi": (_huge, Outcome.TOO_LARGE),
    "five_hours.mp4": (_long, Outcome.TOO_LARGE),
    **{name: (lambda path: write_clip(path, seconds=1), Outcome.SCORED) for name in NAMES},
}
"""Name → how it is written, and its outcome."""


def write_hostile_corpus(folder: Path) -> dict[str, Outcome]:
    """Writes FILES into ``folder``; returns name → outcome."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (write, _) in FILES.items():
        write(folder / name)
    return {name: outcome for name, (_, outcome) in FILES.items()}
