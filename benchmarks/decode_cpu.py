"""CPU seconds of decoding: selective PyAV, PyAV decoding everything, decord and torchcodec, on the same sampled frames.

    python benchmarks/decode_cpu.py DIR... [--torchcodec build/media-tools] [--repeats 5] [--json decode_cpu.json]

Every measurement is a fresh process that decodes the mp4 files below one folder once; the decoders take turns, so
what else the machine does falls on all of them. Counted are user and system seconds of the process, all its
threads, after the first file was decoded once for imports and the like; each decoder has one thread and scales to
the same size. Before that, selective and full decoding are compared frame by frame: they must be identical.
``--torchcodec``: a virtual environment with torchcodec, such as `make media-table` makes, which runs here with this
environment's torch and PyAV's FFmpeg libraries.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from artifactscan.decode.input_spec import InputSpec
from artifactscan.decode.video import DecodeSettings
from artifactscan.decode.with_pyav import decode_pyav, full_decode_pyav

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.borrowed_torchcodec import site_packages, torchcodec_environment

SIZE = 224
SAMPLE_FPS = 2.0
SETTINGS = DecodeSettings(input=InputSpec(height=SIZE, width=SIZE), sample_fps=SAMPLE_FPS)
TORCHCODEC = ("torchcodec_approximate", "torchcodec_exact")
"""By seek mode: the times of frames are worked out from the average rate, or read from all packets."""
DECODERS = ("pyav", "pyav_full", "decord", *TORCHCODEC)


def main() -> int:
    arguments = _arguments()
    if arguments.worker:
        print(json.dumps(_measure_here(arguments.worker, arguments.folders[0])))
        return 0
    with tempfile.TemporaryDirectory() as links:
        environment, decoders = dict(os.environ), DECODERS[: -len(TORCHCODEC)]
        if arguments.torchcodec:
            if not site_packages(arguments.torchcodec):
                print(
                    f"error: {arguments.torchcodec} has no torchcodec (make media-table installs it)", file=sys.stderr
                )
                return 2
            environment, decoders = torchcodec_environment(arguments.torchcodec, Path(links)), DECODERS
        results = [_compare(folder, arguments.repeats, decoders, environment) for folder in arguments.folders]
    Console().print(_table(results))
    if arguments.json:
        arguments.json.write_text(json.dumps({"size": SIZE, "sample_fps": SAMPLE_FPS, "folders": results}, indent=2))
    return 0 if all(result["identical"] for result in results) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR")
    parser.add_argument("--torchcodec", type=Path, metavar="DIR", help="a virtual environment with torchcodec")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--worker", choices=DECODERS, help=argparse.SUPPRESS)
    return parser.parse_args()


def _compare(folder: Path, repeats: int, decoders: tuple[str, ...], environment: dict[str, str]) -> dict:
    files = _files(folder)
    differing = [path.name for path in files if not _identical(path)]
    seconds: dict[str, list[float]] = {decoder: [] for decoder in decoders}
    frames: dict[str, int] = {}
    for turn in range(repeats):
        first = turn % len(decoders)
        for decoder in decoders[first:] + decoders[:first]:
            measured = _measure(decoder, folder, environment)
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
        **{f"pyav_to_{_short(decoder)}": median["pyav"] / median[decoder] for decoder in decoders if decoder != "pyav"},
    }


def _short(decoder: str) -> str:
    return decoder.removeprefix("pyav_")


def _files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.mp4"))


def _measure(decoder: str, folder: Path, environment: dict[str, str]) -> dict:
    command = [sys.executable, __file__, "--worker", decoder, str(folder)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return json.loads(done.stdout)


def _measure_here(decoder: str, folder: Path) -> dict:
    decode = {
        "pyav": _with_pyav(decode_pyav),
        "pyav_full": _with_pyav(full_decode_pyav),
        "decord": _with_decord,
        "torchcodec_approximate": lambda path: _with_torchcodec(path, "approximate"),
        "torchcodec_exact": lambda path: _with_torchcodec(path, "exact"),
    }
    files = _files(folder)
    decode[decoder](files[0])  # the imports, and what a library does once
    before = time.process_time()
    frames = sum(decode[decoder](path) for path in files)
    return {"cpu_s": time.process_time() - before, "frames": frames}


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


def _with_torchcodec(path: Path, seek_mode: str) -> int:
    import torch
    from torchcodec.decoders import VideoDecoder  # pyright: ignore[reportMissingImports]
    from torchcodec.transforms import Resize  # pyright: ignore[reportMissingImports]

    torch.set_num_threads(1)
    decoder = VideoDecoder(path, num_ffmpeg_threads=1, seek_mode=seek_mode, transforms=[Resize((SIZE, SIZE))])
    begin, end = decoder.metadata.begin_stream_seconds, decoder.metadata.end_stream_seconds
    times = begin + np.arange(0, end - begin - 1e-6, float(1 / Fraction(SAMPLE_FPS)))
    frames = decoder.get_frames_played_at(times.tolist())
    return len(np.unique(frames.pts_seconds.numpy()))


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
    for column in ("folder", "files", "frames", "decoder", "CPU s", "selective to it", "identical to full"):
        table.add_column(column, justify="left" if column in ("folder", "decoder") else "right")
    for result in results:
        identical = "yes" if result["identical"] else f"no: {', '.join(result['differing'])}"
        for decoder, median in result["median_cpu_s"].items():
            ours = decoder == "pyav"
            table.add_row(
                result["folder"] if ours else "",
                str(result["files"]) if ours else "",
                str(result["frames"][decoder]),
                "selective" if ours else _short(decoder).replace("_", ", "),
                f"{median:.2f}",
                "" if ours else f"{result[f'pyav_to_{_short(decoder)}']:.2f}x",
                identical if ours else "",
            )
    return table


if __name__ == "__main__":
    sys.exit(main())
