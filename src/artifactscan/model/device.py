"""Whether torch finds the GPU that a job is to use."""

import platform

import torch

from artifactscan.errors import UsageError


def check_gpu(asked: str | None) -> None:
    """UsageError where torch finds no GPU in this process.

    ``asked``: the device setting from which a job has chosen GPUs, as Ray or the system shows them; None where no job
    has. A node's driver may be broken, or its torch built for another GPU: the CPU is no substitute that
    a job may take without a word.
    """
    if torch.cuda.is_available():
        return
    if asked is None:
        raise UsageError("--device cuda: torch finds no GPU here; use --device cpu, or a machine with a GPU and driver")
    raise missing_gpu(asked, platform.node())


def missing_gpu(asked: str, node: str) -> UsageError:
    """The error for a GPU of ``node`` that torch does not find."""
    return UsageError(
        f"--device {asked}: there is a GPU on node {node}, where torch {torch.__version__} finds none; "
        "use --device cpu, or a torch that is built for that GPU and its driver"
    )
