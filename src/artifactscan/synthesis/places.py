"""Where an artifact goes on footage of which nothing is known: what moves, what has edges, what stands out."""

from itertools import pairwise

import numpy as np

from artifactscan.synthesis.artifact import Artifact, Box
from artifactscan.synthesis.images import blur, edge_strength, gray, resize

_SMALL_ROWS = 90
"""Rows of the reduced frames that places are looked for in."""
_TRACK_ROWS = 180
"""Rows of the reduced frames that regions are followed in."""
_TRACK_REACH = 5
"""Reduced pixels that a region may move from one frame to the next: 0.7 frame heights per second at 24 per second."""
_CHOICE_SHARPNESS = 6
"""Places are drawn with probability ∝ score to this power: nearly the best, not always the same."""


def choose_box(frames: np.ndarray, artifact: Artifact, rng: np.random.Generator) -> Box:
    """A box that suits the artifact, drawn from the best; ``frames``: uint8 RGB, (frames, height, width, 3)."""
    height, width = frames.shape[1:3]
    tall, wide = _size(artifact.label, rng)
    box_height = int(np.clip(round(tall * height), 4, height))
    box_width = int(np.clip(round(wide * height), 4, width))
    rows = min(_SMALL_ROWS, height)
    columns = max(4, round(width * rows / height))
    # The place is found at the start and followed from there: what moves now counts, not what will pass by.
    last = artifact.start + (artifact.end - 1 - artifact.start) // (4 if artifact.label in ("motion", "object") else 1)
    times = np.unique(np.linspace(artifact.start, max(last, artifact.start + 1), 7).round().astype(int))
    small = np.stack([reduce(frames[time], rows, columns) for time in times])
    score = _score(small, artifact.label)
    k_rows, k_columns = max(1, round(box_height * rows / height)), max(1, round(box_width * columns / width))
    means = _box_means(score, k_rows, k_columns)
    if artifact.label == "object":
        means = means - 0.6 * _surround(score, means, k_rows, k_columns)
    chance = np.maximum(means - means.min(), 1e-9) ** _CHOICE_SHARPNESS
    place = rng.choice(chance.size, p=(chance / chance.sum()).ravel())
    row, column = divmod(int(place), means.shape[1])
    return Box(
        x=min(round(column * width / columns), width - box_width),
        y=min(round(row * height / rows), height - box_height),
        width=box_width,
        height=box_height,
    )


def follow(frames: np.ndarray, box: Box, start: int, end: int) -> list[Box]:
    """The box in each frame from ``start`` to ``end``, moved with what is in it, never leaving the frame."""
    height, width = frames.shape[1:3]
    rows = min(_TRACK_ROWS, height)
    factor = height / rows
    columns = max(1, round(width / factor))
    y, x = box.y / factor, box.x / factor
    tall, wide = max(2, round(box.height / factor)), max(2, round(box.width / factor))
    boxes = [box]
    before = gray(reduce(frames[start], rows, columns))
    for time in range(start + 1, end):
        now = gray(reduce(frames[time], rows, columns))
        top, left = int(np.clip(round(y), 0, max(0, rows - tall))), int(np.clip(round(x), 0, max(0, columns - wide)))
        dy, dx = _best_shift(before[top : top + tall, left : left + wide], now, top, left)
        y, x = float(np.clip(y + dy, 0, max(0, rows - tall))), float(np.clip(x + dx, 0, max(0, columns - wide)))
        boxes.append(
            Box(
                x=int(np.clip(round(x * factor), 0, width - box.width)),
                y=int(np.clip(round(y * factor), 0, height - box.height)),
                width=box.width,
                height=box.height,
            )
        )
        before = now
    return boxes


def reduce(frame: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """The frame as float32 RGB, (rows, columns, 3); each pixel is about the mean of those it stands for."""
    factor = max(1, frame.shape[0] // rows)
    height, width = frame.shape[0] // factor * factor, frame.shape[1] // factor * factor
    means = frame[:height, :width].reshape(height // factor, factor, width // factor, factor, 3)
    return resize(means.mean(axis=(1, 3), dtype=np.float32), rows, columns)


def _size(label: str, rng: np.random.Generator) -> tuple[float, float]:
    """Height and width in frame heights."""
    low, high = {"boundary": (0.3, 0.55), "texture": (0.3, 0.55), "motion": (0.3, 0.5), "object": (0.22, 0.4)}[label]
    return float(rng.uniform(low, high)), float(rng.uniform(low, high))


def _score(small: np.ndarray, label: str) -> np.ndarray:
    """How well each pixel of the reduced frames suits a label: float32, (rows, columns)."""
    luma = np.stack([gray(frame) for frame in small])
    if label == "boundary":
        return np.mean([edge_strength(frame) for frame in small], axis=0)
    if label == "texture":
        detail = np.mean([np.abs(frame - blur(frame, 2)) for frame in luma], axis=0)
        # Strong edges are few; a surface has detail all over.
        return np.minimum(blur(detail, 2), 12)
    moving = _movement(luma)
    if label == "motion":
        return moving
    stands_out = np.mean([np.abs(frame - blur(frame, 12)) for frame in luma], axis=0)
    return moving + 0.5 * stands_out


def _movement(luma: np.ndarray) -> np.ndarray:
    """Mean change between frames once the camera's own shift is taken out: float32, (rows, columns)."""
    changes = []
    for before, now in pairwise(luma):
        dy, dx = _camera_shift(before, now)
        changes.append(np.abs(now - np.roll(before, (dy, dx), axis=(0, 1))))
    return blur(np.mean(changes, axis=0), 1.5) if changes else np.ones(luma.shape[1:], np.float32)


def _camera_shift(before: np.ndarray, now: np.ndarray) -> tuple[int, int]:
    """The whole-pixel shift (rows, columns) from one picture to the next, by phase correlation."""
    window = np.outer(np.hanning(before.shape[0]), np.hanning(before.shape[1]))
    a, b = np.fft.rfft2((before - before.mean()) * window), np.fft.rfft2((now - now.mean()) * window)
    cross = b * np.conj(a)
    peak = np.argmax(np.fft.irfft2(cross / np.maximum(np.abs(cross), 1e-6), before.shape))
    dy, dx = divmod(int(peak), before.shape[1])
    rows, columns = before.shape
    dy, dx = dy - rows * (dy > rows // 2), dx - columns * (dx > columns // 2)
    # A camera moves most of the picture; a peak that does not explain most of it is an object, or chance.
    explained = np.median(np.abs(now - np.roll(before, (dy, dx), axis=(0, 1))))
    return (dy, dx) if explained < np.median(np.abs(now - before)) else (0, 0)


def _box_means(score: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Mean score of every box of that size, by its top left corner."""
    total = np.pad(score.astype(np.float64), ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    sums = total[rows:, columns:] - total[:-rows, columns:] - total[rows:, :-columns] + total[:-rows, :-columns]
    return sums / (rows * columns)


def _surround(score: np.ndarray, means: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Mean score around every box, within half its size on each side: a lone object has calm surroundings."""
    margin_rows, margin_columns = rows // 2, columns // 2
    padded = np.pad(score, ((margin_rows, margin_rows), (margin_columns, margin_columns)), mode="symmetric")
    outer_rows, outer_columns = rows + 2 * margin_rows, columns + 2 * margin_columns
    outer = _box_means(padded, outer_rows, outer_columns) * (outer_rows * outer_columns)
    ring = outer_rows * outer_columns - rows * columns
    return (outer - means * rows * columns) / max(1, ring)


def _best_shift(patch: np.ndarray, now: np.ndarray, top: int, left: int) -> tuple[int, int]:
    """The shift (rows, columns) by which ``patch`` is found again; small ones win ties."""
    tall, wide = patch.shape
    best, least = (0, 0), np.inf
    shifts = range(-_TRACK_REACH, _TRACK_REACH + 1)
    for dy, dx in sorted(((dy, dx) for dy in shifts for dx in shifts), key=lambda shift: shift[0] ** 2 + shift[1] ** 2):
        y, x = top + dy, left + dx
        if y < 0 or x < 0 or y + tall > now.shape[0] or x + wide > now.shape[1]:
            continue
        cost = np.abs(now[y : y + tall, x : x + wide] - patch).mean() + 0.05 * np.hypot(dy, dx)
        if cost < least:
            best, least = (dy, dx), cost
    return best
