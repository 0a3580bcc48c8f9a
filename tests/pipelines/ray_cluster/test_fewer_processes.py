"""Which processes Ray starts with; a real one, in a process of its own."""

import json
import subprocess
import sys

SCRIPT = """
import json, sys
import psutil, ray
from contextlib import nullcontext
from artifactscan.pipelines.ray_cluster.fewer_processes import fewer_processes

with fewer_processes() if sys.argv[1] == "fewer" else nullcontext():
    ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level=40, num_cpus=2)
names = [" ".join(child.cmdline()) for child in psutil.Process().children(recursive=True)]
assert ray.get(ray.remote(lambda: 3).remote()) == 3
ray.shutdown()
print(json.dumps(names))
"""
LEFT_OUT = ("dashboard/dashboard.py", "autoscaler/_private/monitor.py", "_private/log_monitor.py")


def processes(how: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", SCRIPT, how], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_three_processes_less() -> None:
    usual, fewer = processes("usual"), processes("fewer")
    for part in LEFT_OUT:
        assert any(part in command for command in usual), f"{part} is what Ray starts otherwise"
        assert not any(part in command for command in fewer)
    assert any("raylet/raylet" in command for command in fewer)
