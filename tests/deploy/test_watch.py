"""Prometheus's and Grafana's files in deploy/: what they name exists. When alerts fire: test_deploy_alerts."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from kuberay import KUBERNETES, ray_job, ray_templates
from paths import ROOT
from scraped import scrape

from artifactscan.outcomes import HAS_FRAMES, Outcome
from artifactscan.pipelines.ray_cluster.metrics import METRICS, Metric
from artifactscan.scoring.settings import ScoreSettings

PROMETHEUS = ROOT / "deploy" / "prometheus"
ALERTS = PROMETHEUS / "alerts.yaml"
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "artifactscan.json").read_text())
RULES = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (package prometheus)"
)


def promtool(*arguments: object) -> None:
    ran = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def panels() -> Iterator[dict[str, Any]]:
    """Every panel that shows something, those of collapsed rows too."""
    for panel in DASHBOARD["panels"]:
        yield from panel.get("panels", ())
        if panel["type"] != "row":
            yield panel


def shown(expression: str) -> str:
    """A dashboard's query as Grafana sends it."""
    for variable, value in {"$session": ".*", "$run": ".*", "$__rate_interval": "5m", "$__range": "6h"}.items():
        expression = expression.replace(variable, value)
    return expression


def queries() -> list[str]:
    return [shown(target["expr"]) for panel in panels() for target in panel["targets"]]


def names_in(expression: str) -> set[str]:
    """Ray's metrics, ours among them, in a query."""
    return set(re.findall(r"\bray_\w+", expression))


USED = sorted(set().union(*(names_in(rule["expr"]) for rule in RULES), *map(names_in, queries())))


# Names


def samples_of(metric: Metric) -> set[str]:
    if metric.kind == "histogram":
        return {f"{metric.exported}_{part}" for part in ("bucket", "sum", "count")}
    return {metric.exported}


def names_in_rays_source() -> set[str]:
    """Of GPUs, which the machine that tests may lack."""
    import ray.dashboard.modules.reporter.reporter_agent as agent

    return {f"ray_{name}" for name in agent.METRICS_GAUGES}


@pytest.mark.parametrize("name", USED)
def test_what_is_asked_for_is_served(name: str) -> None:
    ours = set().union(*map(samples_of, METRICS))
    if name.startswith("ray_artifactscan_"):
        assert name in ours
    elif name.startswith(("ray_node_gpus_", "ray_node_gram_")):
        assert name in names_in_rays_source()
    else:
        assert name in {sample.name for family in scrape().values() for sample in family.samples}


def test_every_declared_metric_is_shown() -> None:
    assert [metric.name for metric in METRICS if not samples_of(metric) & set(USED)] == []


@pytest.mark.parametrize("expression", [*(rule["expr"] for rule in RULES), *queries()])
def test_labels_that_are_asked_for_are_served(expression: str) -> None:
    """A misspelt label matches nothing, and nothing says so."""
    for name, matchers in re.findall(r"\b(ray_\w+)\{([^}]*)\}", expression):
        served = served_labels(name)
        for label, operator, value in re.findall(r'(\w+)(=~|!~|=|!=)"([^"]*)"', matchers):
            assert label in served, name
            if label == "outcome" and operator in ("=~", "="):
                known = {*Outcome, "decoded", "lost", "scored"}
                assert value == ".*" or set(value.split("|")) <= known
    for grouped in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression):
        for label in filter(None, re.split(r",\s*", grouped)):
            assert label == "le" or any(label in served_labels(name) for name in names_in(expression) or USED)


def served_labels(name: str) -> set[str]:
    samples = [sample for family in scrape().values() for sample in family.samples if sample.name == name]
    if not samples:  # a GPU's, which this machine may not have
        samples = scrape()["ray_node_cpu_utilization"].samples
        return set(samples[0].labels) | {"GpuIndex", "GpuDeviceName"}
    return set(samples[0].labels)


# Prometheus


@needs_promtool
def test_prometheus_takes_the_files(tmp_path: Path) -> None:
    promtool("check", "config", PROMETHEUS / "prometheus.yaml")
    promtool("check", "rules", ALERTS)
    rules = [{"record": f"shown:{number}", "expr": query} for number, query in enumerate(queries())]
    (tmp_path / "dashboard.yaml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", tmp_path / "dashboard.yaml")


def test_prometheus_finds_the_nodes_where_ray_says_they_are() -> None:
    from ray._private.ray_constants import PROMETHEUS_SERVICE_DISCOVERY_FILE

    config = yaml.safe_load((PROMETHEUS / "prometheus.yaml").read_text())
    (job,) = config["scrape_configs"]
    assert job["file_sd_configs"] == [{"files": [f"/tmp/ray/{PROMETHEUS_SERVICE_DISCOVERY_FILE}"]}]
    assert config["rule_files"] == [ALERTS.name]


@pytest.mark.parametrize("version", KUBERNETES)
def test_kubernetes_lets_prometheus_reach_the_metrics_and_nothing_else(version: str) -> None:
    monitor, policy = yaml.safe_load_all((PROMETHEUS / "kuberay.yaml").read_text())
    assert kubernetes_validate.validate(policy, version, strict=True) == version
    assert [port["port"] for port in policy["spec"]["ingress"][0]["ports"]] == [8080]
    assert [endpoint["port"] for endpoint in monitor["spec"]["podMetricsEndpoints"]] == ["metrics"]
    for selector in (monitor["spec"]["selector"], policy["spec"]["podSelector"]):
        for template in ray_templates(ray_job()).values():
            assert selector["matchLabels"].items() <= template["metadata"]["labels"].items()


def test_an_alert_says_what_to_do() -> None:
    flags = {f"--{field.name.replace('_', '-')}" for field in fields(ScoreSettings)} | {"--object-store-memory"}
    for rule in RULES:
        if "alert" not in rule:
            continue
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert re.fullmatch(r"\d+m", rule["for"])
        assert "$value" in rule["annotations"]["summary"]
        assert set(re.findall(r"--[a-z-]+", rule["annotations"]["description"])) <= flags, rule["alert"]


# Grafana


def test_grafana_asks_which_prometheus_which_cluster_and_which_run() -> None:
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert (variables["datasource"]["type"], variables["datasource"]["query"]) == ("datasource", "prometheus")
    for name in ("session", "run"):
        assert (variables[name]["type"], variables[name]["allValue"]) == ("query", ".*")
    asked = re.fullmatch(r"label_values\((\w+)\{SessionName=~\"\$session\"\}, run\)", variables["run"]["definition"])
    assert asked and "run" in served_labels(asked[1])
    assert variables["run"]["query"]["query"] == variables["run"]["definition"]
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    for panel in panels():
        assert [panel["datasource"], *(target["datasource"] for target in panel["targets"])] == [chosen] * (
            1 + len(panel["targets"])
        )
        for target in panel["targets"]:
            for name in names_in(target["expr"]):
                chosen_run = r",run=~\"\$run\"" if name.startswith("ray_artifactscan_") else ""
                matchers = r"\{SessionName=~\"\$session\"" + chosen_run + "[,}]"
                assert len(re.findall(name + matchers, target["expr"])) == target["expr"].count(f"{name}{{"), name


def test_each_panel_says_what_it_shows() -> None:
    for panel in panels():
        assert panel["title"] and panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"] in ("short", "s", "percent", "percentunit", "bytes", "Bps")
        assert all(target["legendFormat"] for target in panel["targets"])
        if panel["type"] == "timeseries":
            assert panel["options"]["legend"]["showLegend"] is True


def test_panels_lie_side_by_side() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not taken & cells, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_outcomes_without_frames_are_all_but_those_with_frames() -> None:
    """And `unchanged`, which a run does not look at."""
    (panel,) = (panel for panel in panels() if panel["title"] == "Share without frames")
    (asked,) = re.findall(r'outcome=~"([^"]*)"', panel["targets"][0]["expr"])
    assert set(asked.split("|")) == set(Outcome) - HAS_FRAMES - {Outcome.UNCHANGED}
