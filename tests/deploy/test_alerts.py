"""Each alert of deploy/prometheus fires on series where it should and on no others: promtool plays two hours."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from paths import ROOT

ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yaml"
RULES = {
    rule["alert"]: rule
    for group in yaml.safe_load(ALERTS.read_text())["groups"]
    for rule in group["rules"]
    if "alert" in rule
}
END = "118m"
RUN, NEXT_RUN = "20261126T101019Z-bc80f852", "20261126T113019Z-0a1b2c3d"

pytestmark = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (package prometheus)"
)

Series = dict[str, str]


def healthy(session: str) -> Series:
    """All is well: 30 videos a minute, one of them undecodable, and 10,000 to go. A value a minute, two hours long."""
    label = f'SessionName="{session}",run="{RUN}"'
    return {
        f'videos_total{{{label},outcome="scored"}}': "0+29x120",
        f'videos_total{{{label},outcome="undecodable"}}': "0+1x120",
        f'frames_total{{{label},outcome="decoded"}}': "0+600x120",
        f'retries_total{{{label},what="fetch"}}': "0+3x120",
        f"fetch_seconds_count{{{label}}}": "0+30x120",
        f"classify_seconds_sum{{{label}}}": "0+50x120",
        f'actors{{{label},stage="decode"}}': "8x120",
        f'actors{{{label},stage="classify"}}': "1x120",
        f"videos_waiting{{{label}}}": "10000-30x120",
        f"frames_waiting{{{label}}}": "200x120",
        f'ray_object_store_used_memory{{SessionName="{session}",NodeAddress="n"}}': "6x120",
        f'ray_object_store_available_memory{{SessionName="{session}",NodeAddress="n"}}': "4x120",
        f'ray_node_disk_utilization_percentage{{SessionName="{session}",ip="n"}}': "57x120",
    }


def series(name: str, values: str, **labels: str) -> Series:
    """One of session a, in the place of the healthy one or beside it; none where ``values`` are empty."""
    if not name.startswith("ray_"):
        labels = {"run": RUN, **labels}
    told = "".join(f',{label}="{value}"' for label, value in labels.items())
    return {f'{name}{{SessionName="a"{told}}}': values}


def videos(outcome: str, values: str, worker: str = "w") -> Series:
    return series("videos_total", values, outcome=outcome, WorkerId=worker)


def classifiers(values: str) -> Series:
    return series("actors", values, stage="classify")


NO_VIDEOS = series("videos_total", "", outcome="scored") | series("videos_total", "", outcome="undecodable")
STUCK = {
    **series("videos_waiting", "10000-30x40 8800x80"),
    **series("frames_total", "0+600x40 24000x80", outcome="decoded"),
    **series("classify_seconds_sum", "0+50x40 2000x80"),
    **series("frames_waiting", "0x120"),
}
NEVER_BEGAN = dict.fromkeys(healthy("a"), "") | series("videos_waiting", "10000x120")

FIRES: dict[str, tuple[list[str], Series]] = {
    "access was taken away": (["VideosUnreadable"], videos("unreadable", "0x60 0+5x60")),
    "a decoder with a fault": (["VideosCrashed"], videos("crashed", "0+3x120")),
    "one crash each in many processes, whose counters begin with it": (
        ["VideosCrashed"],
        {name: value for n in range(60) for name, value in videos("crashed", f"_x{89 + n // 3} 1x60", f"w{n}").items()},
    ),
    "a decoder with a fault, half of whose crashes are in the next run": (
        ["VideosCrashed"],
        videos("crashed", "0+1.5x120") | series("videos_total", "0+1.5x120", outcome="crashed", run=NEXT_RUN),
    ),
    "nodes that are overbooked": (["VideosTimedOut"], videos("timed_out", "0+3x120")),
    "a folder of text": (["VideosUndecodable"], videos("undecodable", "0+3x120")),
    "all stands still": (["ClassifiersStarve", "NothingMoves"], STUCK),
    "nothing ever began": (["NothingMoves"], NEVER_BEGAN),
    "classifiers do not start": (
        ["NoClassifier"],
        classifiers("") | series("classify_seconds_sum", "") | series("frames_waiting", "900x120"),
    ),
    "classifiers died": (["NoClassifier"], classifiers("1x60 0x60")),
    "a second GPU and no more decoders": (["ClassifiersStarve"], classifiers("2x120")),
    "503 SlowDown": (["StorageRetries"], series("retries_total", "0+20x120", what="fetch")),
    "a storage that gives nothing": (
        ["StorageRetries"],
        series("retries_total", "0+20x120", what="fetch") | series("fetch_seconds_count", "30x120"),
    ),
    "frames pile up": (["ObjectStoreNearlyFull"], series("ray_object_store_used_memory", "95x120", NodeAddress="n")),
    "a full disk": (["DiskNearlyFull"], series("ray_node_disk_utilization_percentage", "80+0.15x120", ip="n")),
}

SILENT: dict[str, Series] = {
    "all is well": {},
    "4 % crash": videos("crashed", "0+1.2x120"),
    "a few videos, half of them bad": NO_VIDEOS | videos("scored", "0+0.2x120") | videos("crashed", "0+0.2x120"),
    "failures of more than half an hour ago": videos("crashed", "0+3x80 240x40"),
    "other people's files are left alone": videos("unchanged", "0+300x120"),
    "a node that went with what it had counted": videos("crashed", "500x60 _x60") | videos("scored", "0+60x60 _x60"),
    "the next run of a night goes well, after one in which much crashed": {
        **series("videos_total", "0+29x60 1740x60", outcome="scored"),
        **series("videos_total", "0+3x60 180x60", outcome="crashed"),
        **series("videos_total", "_x60 0+30x60", outcome="scored", run=NEXT_RUN),
        **series("videos_waiting", "10000-30x60 _x60"),
        **series("videos_waiting", "_x60 10000-30x60", run=NEXT_RUN),
    },
    "the run is over": {**STUCK, **series("videos_waiting", "0x120")},
    "the driver is gone": {**STUCK, **series("videos_waiting", "10000x40 _x80")},
    "a video every four minutes, none with a frame": {
        **series("videos_waiting", " ".join(f"{n}x3" for n in range(930, 900, -1))),
        **series("frames_total", "7x120", outcome="decoded"),
    },
    "a burst of crashes three minutes ago": videos("crashed", "0x115 100x5"),
    "a burst of what cannot be read three minutes ago": videos("unreadable", "0x115 100x5"),
    "a burst of slow videos three minutes ago": videos("timed_out", "0x115 100x5"),
    "a burst of text files three minutes ago": videos("undecodable", "0x115 100x5"),
    "all stood still a quarter of an hour ago": {
        **series("videos_waiting", "10000-30x103 6910x20"),
        **series("frames_total", "0+600x103 61800x20", outcome="decoded"),
    },
    "classifiers went five minutes ago": classifiers("1x113 0x7"),
    "a second GPU came twenty minutes ago": classifiers("1x98 2x22"),
    "a disk that filled up three minutes ago": series("ray_node_disk_utilization_percentage", "57x115 97x5", ip="n"),
    "one long video, whose frames come": series("videos_waiting", "9x120"),
    "a cluster that starts": classifiers("_x113 1x6") | series("frames_waiting", "_x113 1x6"),
    "no frames and no classifiers yet": classifiers("") | series("frames_waiting", "0x120"),
    "the last videos are being decoded": {
        **series("videos_waiting", "8x60 7x5 6x5 5x5 4x45"),
        **series("classify_seconds_sum", "0+1x120"),
    },
    "a few throttled minutes": series("retries_total", "0x112 0+60x7", what="fetch"),
    "a full object store for five minutes": series("ray_object_store_used_memory", "6x113 95x7", NodeAddress="n"),
    "a disk at 89 %": series("ray_node_disk_utilization_percentage", "89x120", ip="n"),
}


def played(changed: Series, tests: dict[str, Any], tmp_path: Path) -> None:
    """Has promtool play session a with ``changed`` beside a healthy session b; what it then finds must be ``tests``."""
    every = {**healthy("a"), **changed, **healthy("b")}
    named = {name if name.startswith("ray_") else f"ray_artifactscan_{name}": values for name, values in every.items()}
    group = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in named.items() if values],
        **tests,
    }
    file = tmp_path / "tests.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": [group]}))
    ran = subprocess.run(["promtool", "test", "rules", str(file)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def firing(alerts: list[str]) -> dict[str, Any]:
    """At the end exactly ``alerts`` fire, all of them for session a."""
    samples = [{"labels": f'{{SessionName="a",alertname="Artifactscan{name}"}}', "value": 1} for name in alerts]
    query = 'sum by (SessionName, alertname) (ALERTS{alertstate="firing"})'
    return {"promql_expr_test": [{"expr": query, "eval_time": END, "exp_samples": samples}]}


@pytest.mark.parametrize("case", FIRES)
def test_it_fires(case: str, tmp_path: Path) -> None:
    alerts, changed = FIRES[case]
    played(changed, firing(alerts), tmp_path)


@pytest.mark.parametrize("case", SILENT)
def test_it_is_silent(case: str, tmp_path: Path) -> None:
    played(SILENT[case], firing([]), tmp_path)


def test_every_alert_was_seen_to_fire() -> None:
    assert {f"Artifactscan{name}" for names, _ in FIRES.values() for name in names} == set(RULES)


@pytest.mark.parametrize(
    ("case", "alert", "labels", "summary"),
    [
        (
            "a decoder with a fault",
            "VideosCrashed",
            {"SessionName": "a", "outcome": "crashed"},
            "9.091% of the videos of the last 30 minutes crashed their decoder",
        ),
        ("a full disk", "DiskNearlyFull", {"SessionName": "a", "ip": "n"}, "The disk of n is 97.7 % full"),
    ],
)
def test_what_a_person_reads(case: str, alert: str, labels: dict[str, str], summary: str, tmp_path: Path) -> None:
    rule = RULES[f"Artifactscan{alert}"]
    read = {
        "exp_labels": {**labels, **rule["labels"]},
        "exp_annotations": {**rule["annotations"], "summary": summary},
    }
    test = {"alertname": f"Artifactscan{alert}", "eval_time": END, "exp_alerts": [read]}
    played(FIRES[case][1], {"alert_rule_test": [test]}, tmp_path)
