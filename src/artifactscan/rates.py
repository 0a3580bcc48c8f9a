"""What a frame costs: as earlier runs measured it, or as reference machines did while there is none."""

from collections.abc import Iterable
from dataclasses import dataclass

from artifactscan.store import RunRecord


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Seconds that one sampled frame takes of one worker of each kind."""

    decode_s: float
    """Of one core: the whole video's decoding over its sampled frames."""
    fetch_s: float
    """Of waiting for the storage, while another video is decoded."""
    classify_s: float
    """Of one classifier: a GPU, or all cores of a node."""
    device: str
    """cuda or cpu: what the classifier ran on."""
    basis: str
    """Where the figures are from, in words."""


REFERENCE = {
    "cuda": Rates(
        decode_s=0.045,
        fetch_s=0.0,
        classify_s=1 / 12_776,
        device="cuda",
        basis="reference: 720p clips on one core, ResNet-50 in bf16 on one H100",
    ),
    "cpu": Rates(
        decode_s=0.045,
        fetch_s=0.0,
        classify_s=1 / 14.5,
        device="cpu",
        basis="reference: 720p clips on one core, ResNet-50 in fp32 on two cores",
    ),
}
"""docs/experiments.md; used until the store has a run of the same spec on the same device."""


def measured(runs: Iterable[RunRecord], *, spec: str, device: str) -> Rates:
    """What the latest of the committed ``runs`` of one spec measured on ``device``, or the reference."""
    for record in reversed(list(runs)):
        rates = record.rates
        if record.spec_digest == spec and rates.get("device") == device and rates.get("frames"):
            per_frame = {name: rates[f"{name}_s"] / rates["frames"] for name in ("decode", "fetch", "classify")}
            return Rates(
                decode_s=per_frame["decode"],
                fetch_s=per_frame["fetch"],
                classify_s=per_frame["classify"],
                device=device,
                basis=f"measured by run {record.run} over {rates['frames']:,} frames",
            )
    return REFERENCE[device]


def last_device(runs: Iterable[RunRecord]) -> str | None:
    """The device that the latest of the ``runs`` classified on, where it was one for all."""
    devices = [run.rates.get("device") for run in runs if run.rates.get("frames")]
    return devices[-1] if devices and devices[-1] in REFERENCE else None
