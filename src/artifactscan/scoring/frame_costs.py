"""Seconds that one frame takes: measured by earlier runs, or on reference machines where there is no such run."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from artifactscan.store.run_records import RunRecord


@dataclass(frozen=True, kw_only=True)
class FrameCosts:
    """Seconds of work per sampled frame, for each kind of worker."""

    decode_s: float
    """Seconds of one core: decoding the video, divided by its sampled frames."""
    fetch_s: float
    """Seconds of waiting for the storage, while another video is decoded."""
    classify_s: float
    """Seconds of one classifier: a GPU, or all cores of a node."""
    device: str
    """cuda or cpu: where the classifier ran."""
    basis: str
    """Where the figures come from, as a phrase."""


MIN_FRAMES = 1000
"""Frames to average over: the first frames of a run are slow, as the classifier warms up."""

REFERENCE = {
    "cuda": FrameCosts(
        decode_s=0.045,
        fetch_s=0.0,
        classify_s=1 / 12_776,
        device="cuda",
        basis="reference: 720p clips on one core, ResNet-50 in bf16 on one H100",
    ),
    "cpu": FrameCosts(
        decode_s=0.045,
        fetch_s=0.0,
        classify_s=1 / 14.5,
        device="cpu",
        basis="reference: 720p clips on one core, ResNet-50 in fp32 on two cores",
    ),
}
"""From docs/experiments.md; used where the store has no run of the same spec on the same device."""


def measured_frame_costs(runs: Iterable[RunRecord], *, spec: str, device: str, tiles: int = 1) -> FrameCosts:
    """Costs over at least MIN_FRAMES of the latest of ``runs`` with one spec and ``device``, or else REFERENCE.

    ``tiles``: pieces of a frame that each cost the reference as much as a frame.
    """
    totals, latest = dict.fromkeys(("frames", "decode_s", "fetch_s", "classify_s"), 0.0), ""
    for record in reversed(list(runs)):
        if record.spec_digest == spec and record.rates.get("device") == device:
            totals = {name: value + record.rates[name] for name, value in totals.items()}
            latest = latest or record.run
        if (frames := totals["frames"]) >= MIN_FRAMES:
            return FrameCosts(
                decode_s=totals["decode_s"] / frames,
                fetch_s=totals["fetch_s"] / frames,
                classify_s=totals["classify_s"] / frames,
                device=device,
                basis=f"measured over {int(frames):,} frames, the latest of run {latest}",
            )
    reference = REFERENCE[device]
    if tiles == 1:
        return reference
    basis = f"{reference.basis}, {tiles} tiles a frame"
    return replace(reference, classify_s=tiles * reference.classify_s, basis=basis)


def last_device(runs: Iterable[RunRecord]) -> str | None:
    """The device of the latest of ``runs`` with frames; None where there is none, or it had several."""
    devices = [run.rates.get("device") for run in runs if run.rates.get("frames")]
    return devices[-1] if devices and devices[-1] in REFERENCE else None
