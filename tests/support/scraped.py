"""The metrics page of a real Ray in which two actors have recorded every metric that we declare.

``python scraped.py`` prints it; ``scrape()`` runs that in its own process, as this one may have another Ray. The page
is read HELD_S after the last value of a gauge.
"""

import json
import os
import subprocess
import sys
import time
from functools import cache
from urllib.request import urlopen

from paths import ROOT
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

VALUE = 3.0
"""The value that each actor recorded for each metric, with TAG as each tag."""
TAG = "any"
RUN_ID = "20261126T101019Z-bc80f852"
"""The run that each actor works for."""
REPORT_S = 3.0
"""Ray's default is 10 s."""
HELD_S = 5 * REPORT_S
"""Ray drops a gauge that is not set for two reports."""
_APPEAR_S = 90.0


@cache
def scrape() -> dict[str, Metric]:
    """Every metric family by its exported name, which ends in ``_total`` for counters."""
    report = {"RAY_metrics_report_interval_ms": str(int(REPORT_S * 1000)), "RAY_USAGE_STATS_ENABLED": "0"}
    ran = subprocess.run([sys.executable, __file__], capture_output=True, text=True, env={**os.environ, **report})
    assert ran.returncode == 0, ran.stderr[-2000:]
    return families(json.loads(ran.stdout.splitlines()[-1]))


def families(page: str) -> dict[str, Metric]:
    """The families of a page of metrics, by exported name."""
    found = text_string_to_metric_families(page)
    return {family.name + ("_total" if family.type == "counter" else ""): family for family in found}


def main() -> None:
    """Prints the page of metrics as one line of JSON, once it has all of ours."""
    sys.path[:0] = [str(ROOT)]
    import ray

    from artifactscan.pipelines.ray_cluster.metrics import METRICS, work_for

    path = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": path}},
    )

    @ray.remote(num_cpus=0)
    class User:
        def use(self) -> None:
            work_for(RUN_ID)
            for metric in METRICS:
                metric.record(VALUE, **dict.fromkeys(metric.tags, TAG))

    users = [User.remote(), User.remote()]
    ray.get([user.use.remote() for user in users])
    used = time.monotonic()
    port = ray.nodes()[0]["MetricsExportPort"]
    while True:
        with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            page = answer.read().decode()
        missing = [metric.exported for metric in METRICS if f"\n# TYPE {metric.exported} " not in page]
        if not missing and time.monotonic() - used > HELD_S:
            break
        if time.monotonic() - used > HELD_S + _APPEAR_S:
            sys.exit(f"not served: {missing}")
        time.sleep(0.5)
    print(json.dumps(page))


if __name__ == "__main__":
    main()
