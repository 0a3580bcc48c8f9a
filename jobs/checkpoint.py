"""Makes a checkpoint with random weights of any timm backbone, exports one as a graph for CPUs, pushes one to a hub.

    artifactscan checkpoint init --backbone resnet50 --output DIR
    artifactscan checkpoint export --checkpoint DIR --output EXPORTED
    artifactscan checkpoint export --checkpoint DIR --output EXPORTED --precision int8 --calibrate CLIPS
    artifactscan checkpoint push --checkpoint DIR --to hf://org/name

An exported checkpoint has the files of the one it was made from and the graph of its backbone, which scoring on a CPU
runs with OpenVINO; exporting needs `pip install 'artifactscan[export]'`.

A push makes one commit, with a model card written from card.json; HF_TOKEN, or `hf auth login`, says who pushes.

It needs no cluster: it works in this process.

Exit codes: 0 all well; 2 wrong usage; 3 it was cut off, the same command does it again.
"""

import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if __name__ == "__main__":
    with suppress(ModuleNotFoundError):  # `python -P` does not look beside the script
        import _checkout  # noqa: F401 - finds artifactscan where it is not installed
    from artifactscan.cli import interruption

    interruption.take_over_process()

from artifactscan import storage
from artifactscan.cli.exit_codes import report_errors, unknown_name
from artifactscan.cli.flags import parse_settings
from artifactscan.corpus.listing import ListSettings, check_input
from artifactscan.errors import UsageError
from artifactscan.messages.activity import activity
from artifactscan.messages.console import console
from artifactscan.messages.text import printable
from artifactscan.model.checkpoint import CARD_NAME
from artifactscan.model.classify_settings import MAX_SCORE_CHANGE
from artifactscan.settings.groups import check_settings
from artifactscan.settings.hub_revisions import pin_revisions
from artifactscan.storage.lease import LEASE_NAME, Lease
from artifactscan.storage.storage_errors import as_cut_off_errors

if TYPE_CHECKING:
    from artifactscan.model.checkpoint import Checkpoint
    from artifactscan.model.exported_graph import GraphInfo


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


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """Exports a checkpoint's backbone as a graph that OpenVINO runs on CPUs, and says how much that moves scores."""

    checkpoint: str
    """Checkpoint folder, s3:// folder, hf://org/name@revision on a model hub, or `builtin`."""
    output: str
    """Folder to write the checkpoint and its graph to, local or s3://; may be the checkpoint's own."""
    precision: Literal["fp32", "int8"] = "fp32"
    """int8: several times as fast on CPUs with VNNI, moves scores by hundredths."""
    calibrate: str | None = None
    """With int8: corpus like the one to score; half of its clips set the ranges, the change is measured on the rest."""
    clips: int = 40
    """Clips to take from --calibrate, at most."""
    sample_fps: float = 2.0
    """Frames per second to take of them."""


@dataclass(frozen=True, kw_only=True)
class CheckpointPushSettings:
    """Uploads a checkpoint to a model hub in one commit: weights, card.json, the exported graph if there is one, and
    README.md, the model card, which is written anew from card.json."""

    checkpoint: str
    """Checkpoint folder, s3:// folder, hf://org/name@revision, or `builtin`."""
    to: str
    """hf://org/name, or hf://org/name@branch; the repository is made where there is none."""
    private: bool = False
    """Make the repository private; refused where it is there and public."""
    license: str | None = None
    """Of the weights, as the hub names it, such as apache-2.0: it stands in the model card."""
    message: str = ""
    """Of the commit; empty: the name of the checkpoint."""


SETTINGS = {"init": InitSettings, "export": ExportSettings, "push": CheckpointPushSettings}


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    command, *rest = (sys.argv[1:] if arguments is None else arguments) or [""]
    with report_errors() as job_exit:
        if command in ("-h", "--help", "help"):
            print(__doc__)
        elif command == "init":
            _init(parse_settings(InitSettings, rest, description=__doc__ or ""))
        elif command == "export":
            _export(parse_settings(ExportSettings, rest, description=__doc__ or ""))
        elif command == "push":
            _push(parse_settings(CheckpointPushSettings, rest, description=__doc__ or ""))
        else:
            raise unknown_name("command", command, tuple(SETTINGS))
        job_exit.code = 0
    return job_exit.code


def _init(settings: InitSettings) -> None:
    from artifactscan.model.backbone import initialise  # loads torch
    from artifactscan.model.checkpoint import save_checkpoint

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


def _export(settings: ExportSettings) -> None:
    from artifactscan.model.calibration_clips import FEWEST_CLIPS, read_clips
    from artifactscan.model.checkpoint import absolute_checkpoint, load_checkpoint, save_checkpoint
    from artifactscan.model.exported_graph import save_graph

    check_settings(settings)
    if (settings.precision == "int8") != (settings.calibrate is not None):
        raise UsageError("--precision int8 and --calibrate CLIPS go together; give both or neither")
    if settings.clips < FEWEST_CLIPS:
        raise UsageError(f"--clips is {settings.clips}; give {FEWEST_CLIPS} or more")
    settings = pin_revisions(settings, "checkpoint", out=console())
    checkpoint, root = load_checkpoint(settings.checkpoint, graph=False), storage.normalise(settings.output)
    in_place = root == absolute_checkpoint(settings.checkpoint)
    if settings.calibrate is not None:
        check_input(settings.calibrate, ListSettings())
    storage.check_writable(root)
    with as_cut_off_errors("the same command does it again"), activity("loading torch and OpenVINO"):
        from artifactscan.model.export_graph import export_graph, import_openvino

        import_openvino()
    clips = []
    if settings.calibrate is not None:
        with activity("reading clips"):
            spec = checkpoint.card.input
            clips = read_clips(settings.calibrate, spec, clips=settings.clips, sample_fps=settings.sample_fps)
    with as_cut_off_errors("the same command does it again"), Lease(storage.join(root, LEASE_NAME), what="checkpoint"):
        if not in_place and storage.exists(storage.join(root, CARD_NAME)):
            raise UsageError(f"--output {settings.output} holds a checkpoint already; give a new folder")
        # NNCF shows its own progress.
        with activity(f"exporting {checkpoint.card.backbone}", quiet=settings.precision == "int8"):
            graph = export_graph(checkpoint, precision=settings.precision, calibration=clips[::2], held_out=clips[1::2])
        if in_place:
            save_graph(graph, root)
        else:
            save_checkpoint(replace(checkpoint, graph=graph), root)
    _print_change(settings, checkpoint, graph.info)


def _push(settings: CheckpointPushSettings) -> None:
    from artifactscan.model.checkpoint import checkpoint_files, is_card, load_checkpoint
    from artifactscan.model.exported_graph import GRAPH_NAMES
    from artifactscan.model.model_card import model_card
    from artifactscan.storage import hub
    from artifactscan.storage.hub_target import HUB_CARD_NAME

    check_settings(settings)
    repository = hub.repository(settings.to, "model")
    checkpoint = load_checkpoint(pin_revisions(settings, "checkpoint", out=console()).checkpoint)
    files = checkpoint_files(checkpoint)
    files[HUB_CARD_NAME] = model_card(checkpoint, repository, license=settings.license).encode()
    pushed = hub.push(
        settings.to,
        files,
        "model",
        message=settings.message or f"artifactscan checkpoint {checkpoint.name}",
        private=settings.private,
        remove=[name for name in GRAPH_NAMES if name not in files],  # one of another checkpoint would be refused
        recognised={CARD_NAME: is_card},
    )
    for note in pushed.notes:
        print(printable(note))
    print(f"{pushed.uri}: {checkpoint.name}{'' if pushed.is_new else ', which it had already: no commit was made'}")
    if settings.license is None:
        print("the model card states no licence; --license apache-2.0, say, names one")


def _print_change(settings: ExportSettings, checkpoint: "Checkpoint", info: "GraphInfo") -> None:
    on = f"{info.frames} frames of clips that it was not calibrated on" if info.frames else "synthetic frames"
    print(
        f"{settings.output}: exported in {info.precision}; it moves a score by up to {info.largest_change:.4f}, "
        f"{info.mean_change:.4f} on average, on {on}"
    )
    if info.largest_change >= MAX_SCORE_CHANGE:
        print(f"that is {MAX_SCORE_CHANGE} or more: scoring takes it with --precision {info.precision}, torch without")
        if not checkpoint.card.context_frames:
            print("`artifactscan evaluate --precision int8` on labelled frames says what it costs in accuracy")


if __name__ == "__main__":
    sys.exit(main())
