"""Replays one video of an audit here: decode facts, timeline, events, heat maps, stored against fresh scores.

    artifactscan why s3://bucket/videos/sora/clip.mp4 --store s3://bucket/audit/
    artifactscan why CLIP --store STORE --output HEATMAPS

It needs no cluster: it works in this process.

Exit codes: 0 shown; 2 wrong usage, or a video, checkpoint or store that cannot be used; 3 it was cut off.
"""

import sys
from contextlib import suppress

if __name__ == "__main__":
    with suppress(ModuleNotFoundError):  # `python -P` does not look beside the script
        import _checkout  # noqa: F401 - finds artifactscan where it is not installed
    from artifactscan.cli import interruption

    interruption.take_over_process()

from artifactscan.audit.settings import WhySettings
from artifactscan.cli.exit_codes import report_errors
from artifactscan.cli.flags import parse_settings
from artifactscan.messages.activity import activity
from artifactscan.messages.console import console
from artifactscan.settings.hub_revisions import pin_revisions

SETTINGS = WhySettings


def main(arguments: list[str] | None = None) -> int:
    """Runs the job and returns its exit code."""
    with report_errors() as job_exit:
        settings = parse_settings(SETTINGS, arguments, description=__doc__ or "")
        settings = pin_revisions(settings, "checkpoint", out=console())
        with activity("loading torch"):
            from artifactscan.audit.print_replay import print_replay
            from artifactscan.audit.replay import replay

        with activity("scoring the video again"):
            found = replay(settings)
        print_replay(found, console())
        job_exit.code = 0
    return job_exit.code


if __name__ == "__main__":
    sys.exit(main())
