"""Evaluates a checkpoint on labelled frames: figures per label with intervals over videos.

    python jobs/evaluate.py --checkpoint OUT/resnet50/checkpoint --labels DATA/labels.csv --output FIGURES
    ray job submit --working-dir . -- python jobs/evaluate.py --checkpoint s3://bucket/trained/resnet50/checkpoint \\
        --labels s3://bucket/others.csv --clips s3://bucket/others --output s3://bucket/figures

A submitted job needs the packages of requirements.lock in the cluster's Python and s3:// or absolute paths. With
RAY_ADDRESS set, the first form works on that cluster.

Exit codes: 0 all well; 2 wrong usage or configuration; 3 the run was cut off, the same command does it again.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from artifactscan.cli import parse_settings, report_errors  # noqa: E402
from artifactscan.evaluate_settings import EvaluateSettings  # noqa: E402
from pipelines.evaluating import evaluate_checkpoint  # noqa: E402


def main(arguments: list[str] | None = None) -> int:
    """Runs the job and returns its exit code."""
    with report_errors() as ended:
        settings = parse_settings(EvaluateSettings, arguments, description=__doc__ or "")
        ended.code = evaluate_checkpoint(settings)
    return ended.code


if __name__ == "__main__":
    sys.exit(main())
