"""Makes a checkpoint with random weights of any timm backbone: to try the jobs with, or to train from.

    artifactscan checkpoint init --backbone resnet50 --output DIR

It needs no cluster: it works in this process.

Exit codes: 0 all well; 2 wrong usage; 3 it was cut off, the same command does it again.
"""

import sys
from contextlib import suppress
from dataclasses import dataclass

if __name__ == "__main__":
    with suppress(ModuleNotFoundError):  # `python -P` does not look beside the script
        import _checkout  # noqa: F401 - finds artifactscan where it is not installed
    from artifactscan.cli import interruption

    interruption.take_over_process()

from artifactscan import storage
from artifactscan.cli.exit_codes import report_errors, unknown_name
from artifactscan.cli.flags import parse_settings
from artifactscan.errors import UsageError
from artifactscan.storage.lease import LEASE_NAME, Lease
from artifactscan.storage.storage_errors import as_cut_off_errors


@dataclass(frozen=True, kw_only=True)
class InitSettings:
    """Makes a checkpoint with weights fresh from a seed: to try the job, or to start training from."""

    backbone: str
    """resnet50, efficientnet_b3, efficientnet_b4, vit_base_patch16_224, or another timm name."""
    output: str
    """Folder to write, local or s3://."""
    height: int = 0
    """Pixels; 0: the backbone's own."""
    width: int = 0
    """Pixels; 0: the backbone's own."""
    seed: int = 0


SETTINGS = {"init": InitSettings}


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    command, *rest = (sys.argv[1:] if arguments is None else arguments) or [""]
    with report_errors() as job_exit:
        if command in ("-h", "--help", "help"):
            print(__doc__)
        elif command == "init":
            _init(parse_settings(InitSettings, rest, description=__doc__ or ""))
        else:
            raise unknown_name("command", command, tuple(SETTINGS))
        job_exit.code = 0
    return job_exit.code


def _init(settings: InitSettings) -> None:
    from artifactscan.model.backbone import initialise  # loads torch
    from artifactscan.model.checkpoint import CARD_NAME, save_checkpoint

    root = storage.normalise(settings.output)
    storage.check_writable(root)
    checkpoint = initialise(settings.backbone, height=settings.height, width=settings.width, seed=settings.seed)
    with as_cut_off_errors("the same command does it again"), Lease(storage.join(root, LEASE_NAME), what="checkpoint"):
        if storage.exists(storage.join(root, CARD_NAME)):
            raise UsageError(f"--output {settings.output} holds a checkpoint already; give a new folder")
        save_checkpoint(checkpoint, settings.output)
    size = checkpoint.card.input
    print(f"{settings.output}: {settings.backbone}, {size.height}x{size.width}, {checkpoint.card.origin}")
    unproven = ", ".join(checkpoint.card.unproven())
    print(f"it is not trained: its scores mean nothing, and its labels are unproven ({unproven})")


if __name__ == "__main__":
    sys.exit(main())
