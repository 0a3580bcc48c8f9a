"""Evaluates a checkpoint on labelled frames: figures per label with intervals over videos.

    artifactscan evaluate --checkpoint OUT/resnet50/checkpoint --labels DATA/labels.csv --output FIGURES
    ray job submit --working-dir . -- python jobs/evaluate.py --checkpoint s3://bucket/trained/resnet50/checkpoint \\
        --labels s3://bucket/others.csv --clips s3://bucket/others --output s3://bucket/figures

A submitted job needs the packages of requirements.lock in the cluster's Python and s3:// or absolute paths. With
RAY_ADDRESS set, the first form works on that cluster.

Exit codes: 0 all well; 2 wrong usage or configuration; 3 the run was cut off, the same command does it again.
"""

import sys
from contextlib import suppress

if __name__ == "__main__":
    with suppress(ModuleNotFoundError):  # `python -P` does not look beside the script
        import _checkout  # noqa: F401 - finds artifactscan where it is not installed
    from artifactscan.cli import interruption

    interruption.take_over_process()

from artifactscan.cli.exit_codes import report_errors
from artifactscan.cli.flags import parse_settings
from artifactscan.evaluation.settings import EvaluateSettings
from artifactscan.messages.activity import activity

SETTINGS = EvaluateSettings


def main(arguments: list[str] | None = None) -> int:
    """Runs the job and returns its exit code."""
    with report_errors() as job_exit:
        settings = parse_settings(SETTINGS, arguments, description=__doc__ or "")
        with activity("loading torch"):
            from artifactscan.pipelines.evaluate.run import evaluate_checkpoint

        job_exit.code = evaluate_checkpoint(settings)
    return job_exit.code


if __name__ == "__main__":
    sys.exit(main())
