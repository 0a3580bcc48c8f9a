"""A corpus of synthetic clips: what is made, clip by clip, and the tables that say what is wrong with each."""

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa

from artifactscan.corpus.listing import ListSettings, list_corpus
from artifactscan.corpus.output_place import check_apart
from artifactscan.decode.sampling import sampled_frames, samples_per_tick
from artifactscan.errors import UsageError
from artifactscan.labels import LABELS
from artifactscan.storage.files import check_writable, write_bytes
from artifactscan.storage.lease import LEASE_NAME, Lease
from artifactscan.storage.uris import is_remote
from artifactscan.synthesis.artifact import (
    BOXES,
    CLIP_VARIANTS,
    MIN_FRAMES,
    SCENE_VARIANTS,
    Artifact,
    SyntheticClip,
    Variants,
    clean_clip,
)
from artifactscan.synthesis.footage import read_stretch, write_video
from artifactscan.synthesis.inject import inject, inject_into_scene
from artifactscan.synthesis.scene import MIN_SIDE, random_scene

LABEL_COLUMNS: tuple[str, ...] = ("file", "frame_index", *LABELS, "note")
"""Of labels.csv."""
BOX_COLUMNS: tuple[str, ...] = ("file", *BOXES.names)
"""Of boxes.csv."""
_Row = tuple[object, ...]
_SECOND_ARTIFACT_SHARE = 0.3
"""Of the defective clips, those with two artifacts: with one each, a label could be told from the others' absence."""


@dataclass(frozen=True, kw_only=True)
class SynthesisSettings:
    """Makes clips with known artifacts: mp4 files, labels.csv and boxes.csv."""

    output: str
    """Folder to write to; it must not hold labels.csv yet."""
    count: int
    """Clips to make; with --pairs, pairs of clips."""
    seed: int = 0
    """The same seed and settings give the same clips."""
    clips: str | None = None
    """Folder or file of clean clips to inject into; without it, scenes are drawn."""

    height: int = 384
    """Pixels, even; real clips are shrunk to fit, never stretched."""
    width: int = 672
    """Pixels, even."""
    seconds: float = 4.0
    """Length of a clip; real clips that are shorter are taken whole."""
    fps: float = 24.0
    """Frames per second; real clips with fewer keep theirs."""

    clean_share: float = 0.25
    """Share of the clips that nothing is wrong with; ignored with --pairs."""
    pairs: bool = False
    """Write each clip twice, clean and defective, so that in training what it shows cancels out."""
    labels: tuple[str, ...] = LABELS
    """The artifacts to inject."""
    min_strength: float = 0.4
    """0..1; weaker ones are hard to see."""
    max_strength: float = 1.0
    """0..1."""
    sample_fps: float = 2.0
    """Rows of labels.csv per second of a clip."""

    def check(self) -> None:
        """Raises UsageError for settings that no clip can be made with."""
        if self.count < 1:
            raise UsageError(f"--count is {self.count}; give 1 or more")
        if self.seed < 0:
            raise UsageError(f"--seed is {self.seed}; give 0 or more")
        for name in ("height", "width"):
            side = getattr(self, name)
            if side < MIN_SIDE or side % 2:
                raise UsageError(f"--{name} is {side}; give an even number of pixels from {MIN_SIDE} on")
        for name in ("seconds", "fps", "sample_fps"):
            if not 0 < getattr(self, name) < float("inf"):
                raise UsageError(f"--{name.replace('_', '-')} is {getattr(self, name)}; give more than 0")
        if round(self.seconds * self.fps) < MIN_FRAMES:
            raise UsageError(
                f"--seconds {self.seconds} at --fps {self.fps} makes {round(self.seconds * self.fps)} frames, but an "
                f"artifact needs {MIN_FRAMES}; give more of either"
            )
        if not 0 <= self.clean_share <= 1:
            raise UsageError(f"--clean-share is {self.clean_share}; give 0 to 1")
        if not 0 < self.min_strength <= self.max_strength <= 1:
            raise UsageError(
                f"--min-strength {self.min_strength} and --max-strength {self.max_strength} must be above 0, at most "
                "1, and in that order"
            )
        if not self.labels or (unknown := [label for label in self.labels if label not in LABELS]):
            wrong = ", ".join(unknown) if self.labels else "nothing"
            raise UsageError(f"--labels names {wrong}; choose from {', '.join(LABELS)}")


def write_corpus(settings: SynthesisSettings) -> Iterator[Path]:
    """Makes the clips one by one and yields each path; labels.csv is written last, when all are there.

    Raises UsageError for bad settings, clips that cannot be read, and an output that cannot be written or is taken;
    CutOffError where another process has taken over the work.
    """
    settings.check()
    folder = Path(settings.output)
    sources = _list_sources(settings)
    if is_remote(settings.output):
        raise UsageError(f"--output {settings.output} is not a local folder; write to one and copy it")
    if settings.clips is not None:
        check_apart(settings.output, settings.clips, input_flag="clips")
    check_writable(settings.output)
    try:
        clips = (make_clip(settings, sources, number) for number in range(settings.count))
        first = next(clips)  # clips that cannot be used are refused before the folder is made
        with Lease(str(folder / LEASE_NAME), what="folder of clips") as lease:
            if (folder / "labels.csv").exists():
                raise UsageError(f"--output {settings.output} holds labels.csv already; give a new folder")
            yield from _write_clips(settings, folder, chain([first], clips), lease)
    except OSError as error:
        raise UsageError(
            f"--output {settings.output} cannot be written: {error.strerror or error}; free or choose another place"
        ) from None


def _write_clips(
    settings: SynthesisSettings,
    folder: Path,
    clips: Iterable[tuple[dict[str, SyntheticClip], float]],
    lease: Lease,
) -> Iterator[Path]:
    label_rows: list[_Row] = []
    box_rows: list[_Row] = []
    (folder / "clips").mkdir(parents=True, exist_ok=True)
    for twins, fps in clips:
        for name, clip in twins.items():
            lease.check_if_due()
            path = folder / "clips" / f"{name}.mp4"
            write_video(path, clip.frames, fps)
            file = path.relative_to(folder).as_posix()
            label_rows += _label_rows(file, clip, fps, settings.sample_fps)
            box_rows += [(file, *row.values()) for row in _rounded(clip.boxes)]
            yield path
    lease.check()
    _write_csv(folder / "boxes.csv", BOX_COLUMNS, box_rows)
    _write_csv(folder / "labels.csv", LABEL_COLUMNS, label_rows)


def make_clip(settings: SynthesisSettings, sources: list[str], number: int) -> tuple[dict[str, SyntheticClip], float]:
    """Clip ``number`` of the corpus, by name, with its clean twin where pairs are wanted; and their frame rate.

    It depends on the settings and on its number, not on the clips before it. ``sources``: clean clips to take in
    turn; none: a scene is drawn.
    """
    rng = np.random.default_rng((settings.seed, number))
    clean = not settings.pairs and _is_clean(number, settings.clean_share)
    seed, fps = int(rng.integers(2**31)), settings.fps
    size = {"height": settings.height, "width": settings.width}
    if sources:
        source = sources[number % len(sources)]
        frames, fps = read_stretch(source, **size, seconds=settings.seconds, fps=fps, rng=rng)
        if len(frames) < MIN_FRAMES and not clean:
            raise UsageError(
                f"clip {source} has {len(frames)} frames, but an artifact needs {MIN_FRAMES}; take it out of --clips"
            )
        clip = defective = clean_clip(frames)
        for artifact in [] if clean else _plan(settings, number, len(frames), CLIP_VARIANTS, rng):
            defective = inject(defective, artifact, seed=seed)
    else:
        scene = random_scene(seed, **size, seconds=settings.seconds, fps=fps)
        clip = clean_clip(scene.clip())
        artifacts = [] if clean else _plan(settings, number, scene.frames, SCENE_VARIANTS, rng)
        defective = inject_into_scene(scene, artifacts, seed=seed)
    if settings.pairs:
        return {f"{number:05d}_clean": clip, f"{number:05d}_defect": defective}, fps
    return {f"{number:05d}": defective}, fps


def _is_clean(number: int, share: float) -> bool:
    """Spreads the clean clips evenly, so that any first part of a corpus has its share of them."""
    return int((number + 1) * share + 1e-9) > int(number * share + 1e-9)


def _plan(
    settings: SynthesisSettings, number: int, frames: int, variants: Variants, rng: np.random.Generator
) -> list[Artifact]:
    """One artifact or two of different labels; labels and variants take turns, so that a small corpus has all."""
    # Counted among the defective clips only: were every fourth of all clean, one of four labels would never come.
    share = 0.0 if settings.pairs else settings.clean_share
    turn = number - int((number + 1) * share + 1e-9)
    first = settings.labels[turn % len(settings.labels)]
    others = [label for label in settings.labels if label != first]
    chosen = [(first, variants[first][turn // len(settings.labels) % len(variants[first])])]
    if others and rng.random() < _SECOND_ARTIFACT_SHARE:
        second = others[rng.integers(len(others))]
        chosen.append((second, variants[second][rng.integers(len(variants[second]))]))
    artifacts = []
    for label, variant in chosen:
        length = int(np.clip(round(frames * rng.uniform(0.35, 0.75)), MIN_FRAMES, frames))
        start = int(rng.integers(0, frames - length + 1))
        strength = round(float(rng.uniform(settings.min_strength, settings.max_strength)), 3)
        artifacts.append(Artifact(label=label, variant=variant, start=start, end=start + length, strength=strength))
    return artifacts


def _list_sources(settings: SynthesisSettings) -> list[str]:
    """The clean clips, in the order of their names; UsageError where there is none."""
    if settings.clips is None:
        return []
    if is_remote(settings.clips):
        raise UsageError(f"--clips {settings.clips} is not a local folder; copy the clips to one")
    return [uri for batch in list_corpus(settings.clips, ListSettings()) for uri in batch["uri"].to_pylist()]


def _label_rows(file: str, clip: SyntheticClip, fps: float, sample_fps: float) -> Iterator[_Row]:
    """The rows of labels.csv for one clip: the frames that sampling would take."""
    frames = len(clip.frames)
    # One tick per frame.
    rate = samples_per_tick(1 / Fraction(fps).limit_denominator(1001), sample_fps)
    shown: dict[int, list[str]] = {}
    for row in _rounded(clip.boxes):
        shown.setdefault(row["frame_index"], []).append(f"{row['label']} {row['variant']} {row['strength']}")
    for index in sampled_frames(range(frames), frames, rate):
        yield file, index, *clip.labels[index].tolist(), "; ".join(shown.get(index, []))


def _rounded(boxes: pa.Table) -> list[dict]:
    return [{**row, "strength": round(row["strength"], 3)} for row in boxes.to_pylist()]


def _write_csv(path: Path, columns: tuple[str, ...], rows: list[_Row]) -> None:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([columns, *rows])
    write_bytes(str(path), file.getvalue().encode())
