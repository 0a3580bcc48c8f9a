"""Draws a small corpus of clips, scores it with the built-in checkpoint, and shows the tables.

    artifactscan demo
    artifactscan demo --output FOLDER

FOLDER/clips holds the corpus: drawn clips with known defects, each beside the same clip without, and a file that is no
video on purpose. FOLDER/scores holds the tables. The last table says which of the defects the scores find.

It needs no cluster: it works on this machine.

Exit codes: those of `artifactscan score`.
"""

import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":
    with suppress(ModuleNotFoundError):  # `python -P` does not look beside the script
        import _checkout  # noqa: F401 - finds artifactscan where it is not installed
    from artifactscan.cli import interruption

    interruption.take_over_process()

from artifactscan.cli.exit_codes import report_errors
from artifactscan.cli.flags import parse_settings
from artifactscan.errors import UsageError

DAMAGED_SHARE = 0.1
"""Above the share of the corpus that is no video: 1 of 13."""


@dataclass(frozen=True, kw_only=True)
class DemoSettings:
    """Draws a small corpus, scores it and shows the tables."""

    output: str = "demo"
    """Local folder for the clips and the scores."""


SETTINGS = DemoSettings


def main(arguments: list[str] | None = None) -> int:
    """Runs the job and returns its exit code."""
    with report_errors() as job_exit:
        settings = parse_settings(DemoSettings, arguments, description=__doc__ or "")
        job_exit.code = _demo(Path(settings.output))
    return job_exit.code


def _demo(folder: Path) -> int:
    from artifactscan.demo.clips import write_demo_corpus
    from artifactscan.demo.planted import write_planted_clips
    from artifactscan.evaluation.planted import print_planted
    from artifactscan.messages.console import console
    from artifactscan.pipelines.score.run import score
    from artifactscan.scoring.settings import ScoreSettings

    try:
        write_demo_corpus(folder / "clips")
        planted = write_planted_clips(folder / "clips" / "planted")
    except OSError as error:
        raise UsageError(f"--output {folder} cannot be written: {error.strerror}; give another folder") from None
    code = score(ScoreSettings(input=f"{folder}/clips", output=f"{folder}/scores", max_failed=DAMAGED_SHARE))
    import pandas

    ledger = pandas.read_parquet(folder / "scores" / "videos")
    print_planted(ledger, planted, console())
    frames = pandas.read_parquet(folder / "scores" / "frames").drop(columns=["video_id", "uri", "run"])
    print(f"\npandas.read_parquet({str(folder / 'scores' / 'frames')!r})\n{frames.head().to_string()}")
    return code


if __name__ == "__main__":
    sys.exit(main())
