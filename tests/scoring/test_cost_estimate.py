"""Hours of nodes and money for a plan."""

import pytest
from parts import record

from artifactscan.scoring.cost_estimate import estimate
from artifactscan.scoring.frame_costs import REFERENCE, FrameCosts, measured_frame_costs

GPU = FrameCosts(decode_s=0.36, fetch_s=0.0, classify_s=0.0036, device="cuda", basis="a test")


def test_cost_of_decoding_nodes_and_gpu_nodes() -> None:
    cost = estimate(1_000_000, GPU, node_cpus=20, prices=(0.5, 2.0))
    assert (cost.core_hours, cost.classifier_hours) == (pytest.approx(100), pytest.approx(1))
    assert cost.node_hours == (pytest.approx(5), pytest.approx(1))
    assert cost.cost == pytest.approx(5 * 0.5 + 1 * 2.0)
    assert estimate(1_000_000, GPU, node_cpus=20, prices=(2.0,)).cost == pytest.approx(12)
    assert estimate(1_000_000, GPU, node_cpus=20).cost is None


def test_cost_of_nodes_that_do_both() -> None:
    both = FrameCosts(decode_s=0.36, fetch_s=0.0, classify_s=0.072, device="cpu", basis="a test")
    cost = estimate(100_000, both, node_cpus=10, prices=(0.5,))
    assert cost.node_hours == (pytest.approx(10 / 10 + 2),)
    assert cost.cost == pytest.approx(1.5)


def test_rates_are_those_of_the_latest_run_of_the_spec_on_the_device() -> None:
    took = {"frames": 1000, "decode_s": 50.0, "fetch_s": 10.0, "classify_s": 20.0, "device": "cpu"}
    runs = [record("a"), record("b"), record("c", spec="other"), record("d")]
    runs[0].rates.update(took)
    runs[1].rates.update(took, decode_s=70.0)
    runs[2].rates.update(took, decode_s=90.0)
    costs = measured_frame_costs(runs, spec="spec", device="cpu")
    assert (costs.decode_s, costs.fetch_s, costs.classify_s) == (0.07, 0.01, 0.02)
    assert costs.basis == "measured over 1,000 frames, the latest of run b"
    runs[1].rates.update(frames=500, decode_s=35.0, fetch_s=5.0, classify_s=10.0)
    assert measured_frame_costs(runs, spec="spec", device="cpu").decode_s == pytest.approx(85 / 1500), (
        "few frames are not enough"
    )
    assert measured_frame_costs(runs[1:], spec="spec", device="cpu") is REFERENCE["cpu"]
    assert measured_frame_costs(runs, spec="spec", device="cuda") is REFERENCE["cuda"]
    assert measured_frame_costs([], spec="spec", device="cpu") is REFERENCE["cpu"]
    tiled = measured_frame_costs([], spec="spec", device="cpu", tiles=6)
    assert tiled.classify_s == 6 * REFERENCE["cpu"].classify_s and tiled.basis.endswith(", 6 tiles a frame")
