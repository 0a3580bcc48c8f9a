"""Whether torch finds the GPU that a job is to use."""

import platform

import torch

from artifactscan.errors import UsageError


def check_gpu(asked: str | None) -> None:
    """UsageError where torch finds no GPU in this process.

    ``asked``: the device setting from which the driver of a job has chosen GPUs for all nodes, as Ray sees them; None
    where no job has. A node's driver may be broken, or its torch built for another GPU: the CPU is no substitute that
    a job may take without a word.
    """
    if torch.cuda.is_available():
        return
    if asked is None:
        raise UsageError("--device cuda: torch finds no GPU here; use --device cpu, or a machine with a GPU and driver")
    raise missing_gpu(asked, platform.node())


def missing_gpu(asked: str, node: str) -> UsageError:
    """The error for a GPU of ``node`` that Ray sees and torch does not."""
    return UsageError(
        f"--device {asked}: Ray sees a GPU on node {node}, where torch {torch.__version__} finds none; "
        "use --device cpu, or a torch that is built for that GPU and its driver"
    )
