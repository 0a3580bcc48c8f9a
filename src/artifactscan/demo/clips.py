"""The demo corpus: a few small clips drawn here, with shapes that move, so that the demo needs no download."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from artifactscan.synthesis.footage import write_video

WIDTH, HEIGHT, FPS, SECONDS = 320, 192, 24, 4

Painter = Callable[[np.ndarray, np.ndarray, float], np.ndarray]
"""(x, y, seconds) → colours in -1..1, (height, width, 3); x and y are 0..1, (height, width)."""


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
    """Writes twelve clips (four scenes in H.264, HEVC and VP9), and one file that is no video; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for scene, paint in PAINTERS.items():
        frames = _draw(paint)
        for codec, (container, options) in ENCODINGS.items():
            written.append(folder / f"{scene}_{codec}.{container}")
            write_video(written[-1], frames, FPS, codec=codec, options=options)
    broken = folder / "not_a_video.mp4"
    broken.write_text("This is text under a video's name: it shows what the ledger says of such a file.\n")
    return [*written, broken]


def write_probe_clip(folder: Path) -> Path:
    """Writes one of the clips in H.264, which all decoders must decode alike; returns its path."""
    container, options = ENCODINGS["libx264"]
    path = folder / f"probe.{container}"
    write_video(path, _draw(_grain), FPS, codec="libx264", options=options)
    return path


def _draw(paint: Painter) -> list[np.ndarray]:
    """The frames of a clip: uint8 RGB, (HEIGHT, WIDTH, 3)."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH] / np.array([HEIGHT, WIDTH]).reshape(2, 1, 1)
    colours = (paint(x, y, number / FPS) for number in range(FPS * SECONDS))
    return [(np.clip(colour, -1, 1) * 127.5 + 127.5).astype(np.uint8) for colour in colours]
