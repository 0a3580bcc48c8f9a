"""Fine-tuning against a bare loop, and what grows with the number of clips: a table of what is to be reached, and JSON.

    python benchmarks/bench_rest.py [--json FILE]

Each row is another benchmark: `finetune.py`, and `scale.py` with memory, overhead and plan.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
SCALE_TARGETS = {
    "memory": "peak memory grows by less than 20 % from 100 to 1,000 clips",
    "overhead": "at most 10 ms a tiny clip, decoding and inference included",
    "plan": "1,000,000 settled objects in 60 s and 2 GB",
}
SCALE_WORDS: dict[str, Callable[[dict[str, Any]], str]] = {
    "memory": lambda result: f"{result['growth']:+.1%}",
    "overhead": lambda result: f"{result['ms_per_video']:.1f} ms",
    "plan": lambda result: f"{result['seconds']:.0f} s, {result['peak_bytes'] / 1e9:.2f} GB",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "bench_rest.json")
    path = parser.parse_args().json
    path.parent.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {"finetune": _finetuning()}
    for what in SCALE_TARGETS:
        path.write_text(json.dumps(result, indent=2))  # after each: they take minutes
        result[what] = json.loads(_python(HERE / "scale.py", what).splitlines()[-1])
    path.write_text(json.dumps(result, indent=2))
    Console().print(_table(result))
    print(f"JSON: {path}")
    return 0


def _finetuning() -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="artifactscan-bench-") as folder:
        result = Path(folder, "finetune.json")
        _python(HERE / "finetune.py", "--json", result)
        return json.loads(result.read_text())


def _python(*arguments: object) -> str:
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout


def _table(result: dict[str, Any]) -> Table:
    table = Table("", "measured", "to reach")
    ratio, target = result["finetune"]["ratios"]["bare"], result["finetune"]["target"]
    reach = f"≥ {target:.2f}×{' missed' if ratio < target else ''}"
    table.add_row("fine-tuning, frames/s against a bare loop", f"{ratio:.2f}×", reach)
    for what, target in SCALE_TARGETS.items():
        table.add_row(what, SCALE_WORDS[what](result[what]), target)
    return table


if __name__ == "__main__":
    sys.exit(main())
