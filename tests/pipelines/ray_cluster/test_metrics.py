"""The declared metrics as Prometheus is served them by a real Ray."""

import pytest
from scraped import RUN_ID, TAG, VALUE, scrape

from artifactscan.pipelines.ray_cluster.metrics import METRICS, Metric


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_ray_serves_each_metric_under_its_exported_name(metric: Metric) -> None:
    family = scrape()[metric.exported]
    assert (family.type, family.documentation) == (metric.kind, metric.description)
    ours = [sample for sample in family.samples if not sample.name.endswith(("_bucket", "_sum"))]
    assert [sample.value for sample in ours] == [1.0 if metric.kind == "histogram" else VALUE] * 2
    for sample in ours:
        assert {name: sample.labels[name] for name in metric.tags} == dict.fromkeys(metric.tags, TAG)
        assert sample.labels["run"] == RUN_ID


@pytest.mark.parametrize("metric", [metric for metric in METRICS if metric.kind == "histogram"], ids=lambda m: m.name)
def test_a_histogram_has_the_declared_buckets(metric: Metric) -> None:
    family = scrape()[metric.exported]
    buckets = {sample.labels["le"]: sample.value for sample in family.samples if sample.name.endswith("_bucket")}
    assert buckets == {**{str(float(bound)): float(bound >= VALUE) for bound in metric.boundaries}, "+Inf": 1.0}


def test_names_of_metrics() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    for metric in METRICS:
        assert metric.name.startswith("artifactscan_")
        assert metric.description.endswith(".")
        assert metric.kind != "histogram" or metric.name.endswith(("_seconds", "_frames"))


def test_a_counter_ignores_zero() -> None:
    """Ray raises for it, and an actor that did nothing has nothing to tell."""
    METRICS[0].record(0, outcome=TAG)
