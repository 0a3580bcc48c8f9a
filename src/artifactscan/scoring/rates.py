"""What a frame costs: as earlier runs measured it, or as reference machines did while there is none."""

from collections.abc import Iterable
from dataclasses import dataclass

from artifactscan.store.layout import RunRecord


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


MIN_FRAMES = 1000
"""The first frames that a classifier takes pay for warming it up: a night of few says little."""

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
    took, latest = dict.fromkeys(("frames", "decode_s", "fetch_s", "classify_s"), 0.0), ""
    for record in reversed(list(runs)):
        if record.spec_digest == spec and record.rates.get("device") == device:
            took = {name: value + record.rates[name] for name, value in took.items()}
            latest = latest or record.run
        if (frames := took["frames"]) >= MIN_FRAMES:
            return Rates(
                decode_s=took["decode_s"] / frames,
                fetch_s=took["fetch_s"] / frames,
                classify_s=took["classify_s"] / frames,
                device=device,
                basis=f"measured over {int(frames):,} frames, the latest of run {latest}",
            )
    return REFERENCE[device]


def last_device(runs: Iterable[RunRecord]) -> str | None:
    """The device that the latest of the ``runs`` classified on, where it was one for all."""
    devices = [run.rates.get("device") for run in runs if run.rates.get("frames")]
    return devices[-1] if devices and devices[-1] in REFERENCE else None
