"""What a run is told when its pools are made."""

import io

import pytest
from rich.console import Console

from artifactscan.rates import Rates
from artifactscan.settings import ScoreSettings
from pipelines import cluster
from pipelines.cluster import Node, Resources
from pipelines.starting import start_ray


@pytest.mark.parametrize(
    ("decode_actors", "told"),
    [(3, ""), (50, "51 decoding and classifying processes share 2 CPUs: they get in each other's way\n")],
)
def test_more_processes_than_the_cpus_bear_are_said(
    monkeypatch: pytest.MonkeyPatch, decode_actors: int, told: str
) -> None:
    monkeypatch.setattr(cluster, "connect", lambda **_: Resources((Node(2, 0),)))
    settings = ScoreSettings(input="s3://bucket/in", output="s3://bucket/out", decode_actors=decode_actors)
    said = io.StringIO()
    rates = Rates(decode_s=0.01, fetch_s=0.0, classify_s=0.01, device="cpu", basis="a test")
    pools = start_ray(settings, lambda _: rates, Console(file=said, width=200), device="cpu", frames=100)
    assert pools.decoders == decode_actors
    assert said.getvalue() == told
