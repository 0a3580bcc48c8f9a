"""The demo corpus: a few small clips drawn here, with shapes that move, so that `make demo` needs no download.

python -m artifactscan.demo.clips FOLDER
"""

import argparse
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.video.stream import VideoStream

WIDTH, HEIGHT, FPS, SECONDS = 320, 192, 24, 4

Painter = Callable[[np.ndarray, np.ndarray, float], np.ndarray]


def _rings(x: np.ndarray, y: np.ndarray, t: float) -> np.ndarray:
    wave = np.sin(np.hypot(x - 0.5 - 0.2 * np.cos(t), y - 0.5) * 40 - 4 * t)
    return np.stack([wave, -wave, np.cos(3 * x + t)], axis=-1)


def _checkers(x: np.ndarray, y: np.ndarray, t: float) -> np.ndarray:
    board = np.sign(np.sin(12 * x + t) * np.sin(9 * y))
    return np.stack([board, np.sin(6 * y + t), -board], axis=-1)


def _ball(x: np.ndarray, y: np.ndarray, t: float) -> np.ndarray:
    inside = np.hypot((x - 0.5 - 0.35 * np.sin(2 * t)) * 1.6, y - 0.5 - 0.3 * np.abs(np.cos(3 * t))) < 0.15
    sky = np.stack([0.4 * y, 0.2 + 0.3 * y, 0.8 - 0.5 * y], axis=-1)
    return np.where(inside[..., None], np.array([0.9, 0.3, -0.4]), sky)


def _grain(x: np.ndarray, y: np.ndarray, t: float) -> np.ndarray:
    noise = np.random.default_rng(round(t * FPS)).normal(0, 0.1, (*x.shape, 1))
    return np.stack([np.sin(5 * x + t), np.sin(5 * y - t), x - y], axis=-1) * 0.7 + noise


PAINTERS: dict[str, Painter] = {"rings": _rings, "checkers": _checkers, "ball": _ball, "grain": _grain}
ENCODINGS = {
    "libx264": ("mp4", {"preset": "veryfast"}),
    "libx265": ("mp4", {"preset": "veryfast", "x265-params": "log-level=none"}),
    "libvpx-vp9": ("webm", {"deadline": "realtime", "cpu-used": "8"}),
}
"""Codec → container and encoder options."""


def write_demo_corpus(folder: Path) -> list[Path]:
    """Writes twelve clips (four scenes in H.264, HEVC and VP9), and one file that is no video, into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for scene, paint in PAINTERS.items():
        for codec, (container, options) in ENCODINGS.items():
            path = folder / f"{scene}_{codec}.{container}"
            _write_clip(path, paint, codec, options)
            written.append(path)
    broken = folder / "not_a_video.mp4"
    broken.write_text("This is text under a video's name: it shows what the ledger says of such a file.\n")
    return [*written, broken]


def _write_clip(path: Path, paint: Painter, codec: str, options: dict[str, str]) -> None:
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH] / np.array([HEIGHT, WIDTH]).reshape(2, 1, 1)
    with av.open(str(path), "w") as container:
        stream = cast(VideoStream, container.add_stream(codec, rate=Fraction(FPS), options=options))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(FPS * SECONDS):
            pixels = (np.clip(paint(x, y, number / FPS), -1, 1) * 127.5 + 127.5).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m artifactscan.demo.clips", description=write_demo_corpus.__doc__)
    parser.add_argument("folder", type=Path, help="where to write them")
    for clip in write_demo_corpus(parser.parse_args().folder):
        print(clip)
