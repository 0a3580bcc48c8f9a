"""`bench.py` from its flags to its exit code, with figures in place of measurements."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import bench
from benchmarks.figures import Costs, Run, Scored

BOUND = Costs(decode_cpu_s=0.01, classify_s=0.02, precision="bf16", frames_per_clip=24).bound(bench.CORES)


def run(name: str, clips: int, rate: float) -> Run:
    scored = (Scored(110, 24), Scored(120, round(10 * rate)))
    return Run(contestant=name, clips=clips, began_s=100, ended_s=125, scored=scored, precision="bf16")


@pytest.mark.parametrize(("share_of_bound", "code"), [(0.95, 0), (1.05, 1)])
def test_a_job_faster_than_its_bound_ends_it_with_1(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    share_of_bound: float,
    code: int,
) -> None:
    def peer(_: Any, name: str, *flags: object, clips: int) -> Run:
        if name == "daft":
            raise bench.DidNotFinishError("it stalls")
        return run(name, clips, BOUND / 2)

    def job(_: Any, *flags: str, clips: int, name: str = "job", checkpoint: Path | None = None) -> Run:
        assert (checkpoint is not None) == name.startswith("job_exported")
        return run(name, clips, BOUND * share_of_bound)

    costs = Costs(decode_cpu_s=0.01, classify_s=0.02, precision="bf16", frames_per_clip=24)
    figures = {
        "make_checkpoint": lambda folder: folder,
        "export_checkpoint": lambda _, precision: tmp_path / precision,
        "compare_decoders": lambda *_: [],
        "measure_costs": lambda *_: costs,
        "faster_precision": lambda _: "fp32",
        "job_flags": lambda: ("--executor", "ray"),
        "run_job": job,
        "run_peer": peer,
    }
    for name, figure in figures.items():
        monkeypatch.setattr(bench, name, figure)
    (tmp_path / "a.mp4").touch()
    result = tmp_path / "bench.json"
    monkeypatch.setattr(sys, "argv", ["bench.py", "--clips", str(tmp_path), "--turns", "2", "--json", str(result)])
    assert bench.main() == code
    printed = capsys.readouterr()
    assert ("which cannot be" in printed.err) == bool(code)
    assert "daft did not finish: it stalls" in printed.out
    turns = json.loads(result.read_text())["turns"]
    assert [list(turn["failed"]) for turn in turns] == [["daft"], []]
    jobs = {"job", "job_on_ray", "job_exported_fp32", "job_exported_int8"}
    assert set(turns[1]["steady"]) == {*jobs, "engineer_loop", "plain_loop", "ray_data"}
    least = bench.clips_for(bench.STEADY_S, 100, costs, bench.CORES)
    assert [run["clips"] for run in turns[0]["whole"] if run["contestant"] == "job"] == [1, 15, least]
