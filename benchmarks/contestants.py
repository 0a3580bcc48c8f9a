"""Runs one contestant of `bench.py` in a process of its own and reads what it did: the job, or one of `peers.py`."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.figures import Costs, Run, Scored

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
LIMIT_S, LIMIT_S_PER_CLIP = 120.0, 10.0
"""A peer that takes longer does not finish: Daft has been seen to stall on local files."""
LOOK_S = 0.2
"""Between two looks at the job until its first part is there; a look takes 2 ms."""
DECODER = "artifactscan.decode.sandbox.child_main"
"""In the command line of the job's decoding processes."""


class DidNotFinishError(Exception):
    """A contestant that failed or took too long; the message is one sentence."""


@dataclass(frozen=True)
class Course:
    """What the contestants run over, and where the tools are that only some of them need."""

    originals: tuple[Path, ...]
    """The clips that are repeated under other names."""
    work: Path
    checkpoint: Path
    tools: Path | None
    """A virtual environment with Daft and torchcodec."""

    def clips(self, count: int) -> Path:
        """A folder with ``count`` clips."""
        folder = self.work / f"clips{count}"
        if not folder.is_dir():
            folder.mkdir(parents=True)
            for number in range(count):
                original = self.originals[number % len(self.originals)]
                _link(original, folder / f"{number:05d}_{original.name}")
        return folder

    def output(self, name: str) -> Path:
        """An empty place for what a contestant writes."""
        folder = self.work / "output" / name
        shutil.rmtree(folder, ignore_errors=True)
        return folder


def _link(original: Path, name: Path) -> None:
    try:
        name.hardlink_to(original.resolve())
    except OSError:  # another file system
        shutil.copyfile(original, name)


def make_checkpoint(folder: Path) -> Path:
    """A ResNet-50 with random weights."""
    _finished(
        [sys.executable, "-m", "artifactscan", "checkpoint", "init", "--backbone", "resnet50", "--output", folder]
    )
    return folder


def export_checkpoint(course: Course, precision: str) -> Path:
    """The checkpoint with the graph of its backbone in ``precision``, fp32 or int8, as OpenVINO runs it."""
    folder = course.work / f"exported-{precision}"
    command: list[object] = [sys.executable, "-m", "artifactscan", "checkpoint", "export", "--output", folder]
    command += ["--checkpoint", course.checkpoint, "--precision", precision]
    _finished([*command, *(("--calibrate", course.clips(len(course.originals))) if precision == "int8" else ())])
    return folder


def job_flags() -> tuple[str, ...]:
    """What makes the job run on Ray whatever the number of clips, where it has such a flag."""
    help_text = _finished([sys.executable, "-m", "artifactscan", "score", "--help"])
    return ("--executor", "ray") if "--executor" in help_text else ()


def run_job(course: Course, *flags: str, clips: int, name: str = "job", checkpoint: Path | None = None) -> Run:
    """`artifactscan score` at its default settings and ``flags``; DidNotFinishError with the end of its log.

    ``checkpoint``: the course's by default.
    """
    output, log = course.output(name), course.work / f"{name}.log"
    command = [sys.executable, "-m", "artifactscan", "score", "--input", course.clips(clips), "--output", output]
    command += ["--checkpoint", checkpoint or course.checkpoint, *flags]
    with log.open("w") as stream:
        began_s = time.time()
        process = subprocess.Popen(
            list(map(str, command)), stdout=stream, stderr=stream, cwd=ROOT, env=_without_cluster()
        )
        ahead_cpu_s = _decoding_until_first_part(process, output)
        code = process.wait()
        ended_s = time.time()
    if code:
        raise DidNotFinishError(f"{name} over {clips} clips ends with {code}: {_last_line(log.read_text())}")
    [record] = output.glob("runs/*/run.json")
    facts = json.loads(record.read_text())
    run = Run(
        contestant=name,
        clips=clips,
        began_s=began_s,
        ended_s=ended_s,
        scored=parts_scored(record.parent / "parts"),
        ahead_cpu_s=ahead_cpu_s,
        precision=",".join(facts["precision"]),
    )
    frames = facts["counts"]["frames"]
    if (run.frames, facts["outcomes"]) != (frames, {"scored": clips}):
        told = f"{run.frames} frames in its parts, {frames} in its table, outcomes {facts['outcomes']}"
        raise DidNotFinishError(f"{name} over {clips} clips is no measurement: {told}")
    return run


def parts_scored(parts: Path) -> tuple[Scored, ...]:
    """When each part of a run was written, and how many frames are in it; parts without frames are left out."""
    scored = []
    for part in parts.glob("*.parquet"):
        frames = pc.sum(pc.list_value_length(pq.read_table(part, columns=["frames"])["frames"])).as_py() or 0
        if frames:
            scored.append(Scored(part.stat().st_mtime, frames))
    return tuple(sorted(scored))


def _decoding_until_first_part(process: subprocess.Popen, output: Path) -> float:
    """CPU seconds of the job's decoding processes, their imports too, until its first part is there."""
    seconds: dict[int, float] = {}
    while process.poll() is None:
        first_is_there = any(output.glob("runs/*/parts/*.parquet"))
        seconds |= _decoding_cpu_s(process.pid)
        if first_is_there:
            break
        time.sleep(LOOK_S)
    return sum(seconds.values())


def _decoding_cpu_s(pid: int) -> dict[int, float]:
    """Process id → CPU seconds, of the decoding processes below ``pid``."""
    seconds = {}
    try:
        family = psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return {}
    for child in family:
        try:
            if DECODER in child.cmdline():
                times = child.cpu_times()
                seconds[child.pid] = times.user + times.system
        except psutil.Error:  # it has ended meanwhile
            continue
    return seconds


def faster_precision(course: Course) -> str:
    """bf16 or fp32, whichever a good engineer finds to be faster here."""
    return _peer(course, 1, "faster_precision")["precision"]


def run_peer(course: Course, name: str, *flags: object, clips: int) -> Run:
    """A peer with ``flags``; DidNotFinishError where it fails or stalls."""
    limit_s = LIMIT_S + LIMIT_S_PER_CLIP * clips
    began_s = time.time()
    result = _peer(course, clips, name, *flags, limit_s=limit_s)
    return Run(
        contestant=name,
        clips=clips,
        began_s=began_s,
        ended_s=time.time(),
        scored=tuple(Scored(*part) for part in result["scored"]),
        ahead_frames=result.get("ahead_frames", 0),
        precision=result.get("precision", "fp32"),
    )


def measure_costs(course: Course, least_s: float) -> Costs:
    """What a frame of the clips costs at the least; each half is measured for ``least_s`` seconds."""
    clips = len(course.originals)
    decode = _peer(course, clips, "decode", "--least-s", least_s)
    classify = _peer(course, clips, "classify", "--least-s", least_s)
    return Costs(
        decode_cpu_s=decode["cpu_s"] / decode["frames"],
        classify_s=classify["seconds"] / classify["frames"],
        precision=classify["precision"],
        frames_per_clip=decode["frames"] / decode["rounds"] / clips,
    )


def compare_decoders(course: Course, folders: Sequence[Path], repeats: int) -> list[dict[str, Any]]:
    """What decode_cpu.py finds of the mp4 files in ``folders``; with torchcodec where both it and the tools have it."""
    script, result = HERE / "decode_cpu.py", course.work / "decode_cpu.json"
    command: list[object] = [sys.executable, script, *folders, "--repeats", repeats, "--json", result]
    has_torchcodec = course.tools is not None and any(course.tools.glob("lib/python3*/site-packages/torchcodec"))
    if has_torchcodec and "--torchcodec" in _finished([sys.executable, script, "--help"]):
        command += ["--torchcodec", course.tools]
    # It ends with 1 where frames differ, which the table says.
    done = subprocess.run(
        list(map(str, command)), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    if not result.is_file():
        raise DidNotFinishError(f"decode_cpu.py ends with {done.returncode}: {_last_line(done.stderr)}")
    return json.loads(result.read_text())["folders"]


def _peer(course: Course, clips: int, name: str, *flags: object, limit_s: float | None = None) -> dict[str, Any]:
    command = [sys.executable, HERE / "peers.py", name, "--clips", course.clips(clips)]
    command += ["--checkpoint", course.checkpoint, "--output", course.output(name), *flags]
    environment = _without_cluster()
    if name == "daft" and course.tools is not None:
        packages = map(str, course.tools.glob("lib/python3*/site-packages"))
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (environment.get("PYTHONPATH"), *packages)))
    try:
        return json.loads(_finished(command, limit_s=limit_s, environment=environment).splitlines()[-1])
    except subprocess.TimeoutExpired:
        raise DidNotFinishError(f"{name} over {clips} clips was not done after {limit_s:g} s") from None


def _finished(
    command: Sequence[object], *, limit_s: float | None = None, environment: dict[str, str] | None = None
) -> str:
    """What a command prints; DidNotFinishError with its last line where it fails."""
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=limit_s, cwd=ROOT, env=environment
    )
    if done.returncode:
        raise DidNotFinishError(
            f"{' '.join(map(str, command[1:4]))} ends with {done.returncode}: {_last_line(done.stderr)}"
        )
    return done.stdout


def _without_cluster() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it prints nothing"])[-1]
