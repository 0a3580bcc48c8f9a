"""Shows where in a video's frames a checkpoint sees each artifact label: Grad-CAM over the video's own frames.

    artifactscan explain --video CLIP --frames 0,15,30 --checkpoint C --output OUT
    artifactscan explain --video s3://bucket/clip.mp4 --at 1.5,3.0 --checkpoint C --output s3://bucket/explained
    artifactscan explain --video CLIP --top 6 --checkpoint C --output OUT

OUT holds frame_000015_boundary.png and so on, sheet.png with all of them, their scores and thresholds, and
index.parquet. Every map is stretched to its own peak: it says where, the score says whether.

It needs no cluster: it works in this process.

Exit codes: 0 all well; 2 wrong usage, or a video, frame or checkpoint that cannot be used; 3 it was cut off, the same
command does it again.
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
from artifactscan.explain.settings import ExplainSettings
from artifactscan.messages.activity import activity
from artifactscan.messages.console import console
from artifactscan.settings.hub_revisions import pin_revisions

SETTINGS = ExplainSettings


def main(arguments: list[str] | None = None) -> int:
    """Runs the job and returns its exit code."""
    with report_errors() as job_exit:
        settings = parse_settings(SETTINGS, arguments, description=__doc__ or "")
        settings = pin_revisions(settings, "checkpoint", out=console())
        with activity("loading torch"):
            from artifactscan.explain.explanation import explain_video, print_explanation

        with activity("decoding and explaining frames"):
            explained = explain_video(settings)
        print_explanation(explained)
        job_exit.code = 0
    return job_exit.code


if __name__ == "__main__":
    sys.exit(main())
