"""CPU seconds of decoding: selective PyAV, PyAV decoding everything, and decord, on the same sampled frames.

    python benchmarks/decode_cpu.py DIR... [--repeats 5] [--json decode_cpu.json]

Every measurement is a fresh process that decodes the mp4 files below one folder once; the decoders take turns, so
what else the machine does falls on all of them. Counted are user and system seconds of the process, all its
threads, without imports. Before that, selective and full decoding are compared frame by frame: they must be
identical.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from artifactscan.decode.input_spec import InputSpec
from artifactscan.decode.video import DecodeSettings
from artifactscan.decode.with_pyav import decode_pyav, full_decode_pyav

SIZE = 224
SAMPLE_FPS = 2.0
SETTINGS = DecodeSettings(input=InputSpec(height=SIZE, width=SIZE), sample_fps=SAMPLE_FPS)
DECODERS = ("pyav", "pyav_full", "decord")


def main() -> int:
    arguments = _arguments()
    if arguments.worker:
        print(json.dumps(_measure_here(arguments.worker, arguments.folders[0])))
        return 0
    results = [_compare(folder, arguments.repeats) for folder in arguments.folders]
    Console().print(_table(results))
    if arguments.json:
        arguments.json.write_text(json.dumps({"size": SIZE, "sample_fps": SAMPLE_FPS, "folders": results}, indent=2))
    return 0 if all(result["identical"] for result in results) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--worker", choices=DECODERS, help=argparse.SUPPRESS)
    return parser.parse_args()


def _compare(folder: Path, repeats: int) -> dict:
    files = _files(folder)
    differing = [path.name for path in files if not _identical(path)]
    seconds: dict[str, list[float]] = {decoder: [] for decoder in DECODERS}
    frames: dict[str, int] = {}
    for turn in range(repeats):
        for decoder in DECODERS[turn % 3 :] + DECODERS[: turn % 3]:
            measured = _measure(decoder, folder)
            seconds[decoder].append(measured["cpu_s"])
            frames[decoder] = measured["frames"]
    median = {decoder: statistics.median(values) for decoder, values in seconds.items()}
    return {
        "folder": str(folder),
        "files": len(files),
        "frames": frames,
        "identical": not differing,
        "differing": differing,
        "cpu_s": seconds,
        "median_cpu_s": median,
        "pyav_to_decord": median["pyav"] / median["decord"],
        "pyav_to_full": median["pyav"] / median["pyav_full"],
    }


def _files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.mp4"))


def _measure(decoder: str, folder: Path) -> dict:
    command = [sys.executable, __file__, "--worker", decoder, str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def _measure_here(decoder: str, folder: Path) -> dict:
    decode = {
        "pyav": _with_pyav(decode_pyav),
        "pyav_full": _with_pyav(full_decode_pyav),
        "decord": _with_decord,
    }
    files = _files(folder)
    if decoder == "decord":
        import decord  # noqa: F401  # imported before the clock starts
    before = os.times()
    frames = sum(decode[decoder](path) for path in files)
    after = os.times()
    return {"cpu_s": after.user - before.user + after.system - before.system, "frames": frames}


def _with_pyav(decode: Callable) -> Callable[[Path], int]:
    return lambda path: decode(str(path), SETTINGS, lambda *_: None).frames_decoded


def _with_decord(path: Path) -> int:
    import decord

    reader = decord.VideoReader(str(path), width=SIZE, height=SIZE, num_threads=1)
    starts = reader.get_frame_timestamp(range(len(reader)))[:, 0].astype(float)
    end = starts[-1] + 1 / reader.get_avg_fps()
    times = np.arange(0, end - starts[0] - 1e-6, float(1 / Fraction(SAMPLE_FPS)))
    shown = np.searchsorted(starts - starts[0], times + 1e-6, side="right") - 1
    return len(reader.get_batch(np.unique(shown).tolist()).asnumpy())


def _identical(path: Path) -> bool:
    selective, full = list(_frames(decode_pyav, path)), list(_frames(full_decode_pyav, path))
    return len(selective) == len(full) and all(
        one[:2] == other[:2] and np.array_equal(one[2], other[2]) for one, other in zip(selective, full, strict=True)
    )


def _frames(decode: Callable, path: Path) -> Iterator[tuple[int, float, np.ndarray]]:
    frames: list[tuple[int, float, np.ndarray]] = []
    decode(str(path), SETTINGS, lambda *frame: frames.append(frame))
    return iter(frames)


def _table(results: list[dict]) -> Table:
    table = Table(title=f"CPU seconds, {SAMPLE_FPS:g} frames per second to {SIZE}x{SIZE}, median")
    for column in (
        "folder",
        "files",
        "frames",
        "selective",
        "full",
        "decord",
        "vs decord",
        "vs full",
        "identical",
    ):
        table.add_column(column, justify="left" if column == "folder" else "right")
    for result in results:
        median = result["median_cpu_s"]
        table.add_row(
            result["folder"],
            str(result["files"]),
            "/".join(str(count) for count in sorted(set(result["frames"].values()))),
            *(f"{median[decoder]:.2f}" for decoder in DECODERS),
            f"{result['pyav_to_decord']:.2f}x",
            f"{result['pyav_to_full']:.2f}x",
            "yes" if result["identical"] else f"no: {', '.join(result['differing'])}",
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
