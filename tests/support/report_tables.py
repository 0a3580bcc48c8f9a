"""Tables of a night that never was, for reports.make_report."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from artifactscan.audit.night import EXIT_FAIL
from artifactscan.audit.night_tables import ALL, ARRIVALS, CANARIES, CELLS, PREVALENCE, TRENDS
from artifactscan.labels import LABELS
from artifactscan.schemas import FRAMES

THRESHOLDS = {"boundary": 0.55, "texture": 0.6, "motion": 0.5, "object": 0.45}
CORPUS = "s3://generated-video/nightly"
GROUPS = ("generator=sora", "generator=veo", "generator=wan", "version=2")
SAMPLE_FPS = 2.0

_FAILED = {
    "undecodable": "Invalid data found when processing input",
    "timed_out": "decoding took longer than 120 s",
    "unreadable": "access denied",
}
_PROMPTS = ["a-street-in-the-rain", "two-dogs-running", "a-chef-at-work", "hands-playing-piano", "a-crowd-at-dusk"]


def draw_scores(random: np.random.Generator, videos: int, groups: Sequence[str]) -> tuple[pa.Table, dict[str, list]]:
    """FRAMES of the videos that have a score, and each video's ledger columns."""
    failed = set(range(5, videos, 10)) if videos >= 20 else set()
    reasons, kinds = list(_FAILED.items()), [group for group in groups if not group.startswith("version=")]
    ledger: dict[str, list] = {
        name: [] for name in ("video_id", "uri", "path", "groups", "outcome", "reason", "duration_s")
    }
    rows: dict[str, list[np.ndarray]] = {name: [] for name in FRAMES.names}
    for n in range(videos):
        kind = kinds[n % len(kinds)] if kinds else "generator=none"
        path = f"{kind.partition('=')[2]}/v{1 + n % 2}/{_PROMPTS[n % len(_PROMPTS)]}/clip-{n:05d}.mp4"
        outcome, reason = reasons[n % len(reasons)] if n in failed else ("scored", None)
        seconds = float(4 + n % 9)
        ledger["video_id"].append(f"{n:016x}")
        ledger["uri"].append(f"{CORPUS}/{path}")
        ledger["path"].append(path)
        ledger["groups"].append([kind, f"version={1 + n % 2}"])
        ledger["outcome"].append(outcome)
        ledger["reason"].append(reason)
        ledger["duration_s"].append(None if n in failed else seconds)
        if n in failed:
            continue
        count = int(seconds * SAMPLE_FPS)
        rows["video_id"].append(np.repeat(ledger["video_id"][-1], count))
        rows["uri"].append(np.repeat(ledger["uri"][-1], count))
        rows["frame_index"].append(12 * np.arange(count, dtype=np.int32))
        rows["pts_s"].append(np.arange(count) / SAMPLE_FPS)
        for label in LABELS:
            level = random.beta(1.2, 5.0) * 0.8
            bump = 0.9 * (random.random() < 0.2) * np.exp(-((np.arange(count) - random.uniform(0, count)) ** 2) / 6)
            rows[f"p_{label}"].append(np.clip(level + bump + random.normal(0, 0.05, count), 0, 1).astype(np.float32))
    columns = {
        name: np.concatenate(parts) if parts else np.empty(0, FRAMES.field(name).type.to_pandas_dtype())
        for name, parts in rows.items()
    }
    return pa.table({name: pa.array(columns[name], FRAMES.field(name).type) for name in FRAMES.names}, FRAMES), ledger


def arrivals_table(ledger: dict[str, list], frames: pa.Table, events: pa.Table) -> pa.Table:
    scores, found = frames.to_pandas(), events.to_pandas()
    videos = pd.DataFrame(ledger).set_index("video_id", drop=False)
    by_video = scores.groupby("video_id")
    videos["frames"] = by_video.size().reindex(videos.index).fillna(0).astype(np.int32)
    for label in LABELS:
        own = found[found["label"] == label]
        lengths = (own["end_s"] - own["start_s"]).groupby(own["video_id"])
        peak = scores.loc[by_video[f"p_{label}"].idxmax()].set_index("video_id")
        over = (scores[f"p_{label}"] >= THRESHOLDS[label]).groupby(scores["video_id"]).sum()
        videos[f"events_{label}"] = lengths.size().reindex(videos.index).fillna(0)
        videos[f"event_s_{label}"] = lengths.sum().reindex(videos.index).fillna(0.0)
        videos[f"frames_over_{label}"] = over.reindex(videos.index).fillna(0)
        videos[f"peak_{label}"] = peak[f"p_{label}"].reindex(videos.index)
        videos[f"peak_frame_{label}"] = peak["frame_index"].reindex(videos.index)
        videos[f"peak_s_{label}"] = peak["pts_s"].reindex(videos.index)
    return pa.Table.from_pandas(videos[ARRIVALS.names], ARRIVALS, preserve_index=False)


def _rates(arrivals: pa.Table, group: str, label: str) -> dict[str, Any]:
    rows = arrivals.to_pandas()
    member = np.array([group == ALL or group in of_video for of_video in rows["groups"]], bool)
    rows = rows[(rows["frames"] > 0) & member]
    count, flagged = len(rows), int((rows[f"events_{label}"] > 0).sum())
    frames, over = int(rows["frames"].sum()), int(rows[f"frames_over_{label}"].sum())
    rate, frame_rate = flagged / max(1, count), over / max(1, frames)
    half, frame_half = (1.96 * np.sqrt(share * (1 - share) / max(1, count)) for share in (rate, frame_rate))
    return {
        "label": label,
        "group": group,
        "videos": count,
        "flagged": flagged,
        "frames": frames,
        "frames_over": over,
        "base_videos": 0,
        "base_flagged": 0,
        **_bounded("rate", rate, half, count),
        **_bounded("frame_rate", frame_rate, frame_half, count),
    }


def _bounded(name: str, value: float, half: float, count: int) -> dict[str, float | None]:
    if not count:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"))
    return {name: value, f"{name}_low": max(0.0, value - half), f"{name}_high": min(1.0, value + half)}


def cells_table(random: np.random.Generator, arrivals: pa.Table, groups: Sequence[str], code: int) -> pa.Table:
    rows = []
    for group in (ALL, *groups):
        for label in LABELS:
            row = _rates(arrivals, group, label)
            risen = code == EXIT_FAIL and label == "motion" and group in (ALL, groups[0])
            row["untested"] = None
            if group == groups[-1] and label == "object":
                rows.append({**row, "untested": "the baseline has 12 videos, a test needs 30"})
                continue
            change = 0.085 if risen else random.normal(0, 0.01)
            base = max(0.0, (row["rate"] or 0.0) - change)
            row |= {
                "base_videos": 14 * row["videos"],
                "base_flagged": round(base * 14 * row["videos"]),
                "base_rate": base,
                "base_frame_rate": row["frame_rate"],
                "change": change,
                "change_low": change - 0.04,
                "change_high": change + 0.04,
                "frame_change": change / 3,
                "frame_change_low": change / 3 - 0.02,
                "frame_change_high": change / 3 + 0.02,
                "dispersion": 1.0 + abs(random.normal(0, 0.2)),
                "p_value": 0.0004 if risen else float(random.uniform(0.1, 0.9)),
                "q_value": 0.008 if risen else float(random.uniform(0.3, 0.95)),
                "psi": 0.31 if risen else float(random.uniform(0, 0.08)),
                "ks": 0.24 if risen else float(random.uniform(0.02, 0.09)),
                "ks_q_value": 0.002 if risen else float(random.uniform(0.2, 0.9)),
            }
            rows.append(row)
    return pa.Table.from_pylist(rows, CELLS)


def untested_cells(arrivals: pa.Table, groups: Sequence[str]) -> pa.Table:
    why = "there is no night to compare with"
    rows = [{**_rates(arrivals, group, label), "untested": why} for group in (ALL, *groups) for label in LABELS]
    return pa.Table.from_pylist(rows, CELLS)


def trends_table(
    random: np.random.Generator, cells: pa.Table, nights: Sequence[str], *, worse_before: int = 0
) -> pa.Table:
    rows = []
    for night in nights:
        for cell in cells.to_pylist():
            tonight = night == nights[-1]
            level = cell["base_rate"] if cell["base_rate"] is not None else cell["rate"] or 0.0
            noise = random.normal(0, 0.015)
            rate = cell["rate"] if tonight else min(1.0, max(0.0, level + noise))
            low = cell["rate_low"] if tonight else max(0.0, rate - 0.05)
            high = cell["rate_high"] if tonight else min(1.0, rate + 0.05)
            row = {"night": night, "label": cell["label"], "group": cell["group"], "videos": cell["videos"]}
            risen = cell["q_value"] is not None and cell["q_value"] < 0.05 and night in nights[-1 - worse_before :]
            row["risen"] = None if cell["untested"] else risen
            rows.append({**row, "rate": rate, "rate_low": low, "rate_high": high})
    return pa.Table.from_pylist(rows, TRENDS)


def canaries_table(random: np.random.Generator, *, moved: bool, blind: bool = False) -> pa.Table:
    rows = []
    for clip in range(12 if blind else 6):
        for n, label in enumerate(LABELS):
            planted = n == clip % len(LABELS)
            score = 0.5 + 0.01 * (5 * clip % 12) if blind else 0.9 if planted else 0.08
            shift = 0.19 if moved and clip == 0 else float(random.uniform(0, 0.0005))
            known = not moved or clip != 5
            rows.append(
                {
                    "clip": f"canary-{clip:02d}.mp4",
                    "label": label,
                    "frames": 8 if known else 0,
                    "planted": planted,
                    "score": score - shift if known else None,
                    "reference": score,
                    "shift": shift if known else None,
                    "reason": None if known else "decoding took longer than 120 s",
                }
            )
    return pa.Table.from_pylist(rows, CANARIES)


def prevalence_table() -> pa.Table:
    rows: list[dict[str, Any]] = [
        {
            "label": label,
            "labelled_videos": 40,
            "labelled_frames": 620,
            "sensitivity": 0.82 - 0.05 * n,
            "specificity": 0.93,
            "frame_rate": 0.09,
            "corrected": 0.027 + 0.01 * n,
            "corrected_low": 0.0,
            "corrected_high": 0.06 + 0.01 * n,
        }
        for n, label in enumerate(LABELS[:3])
    ]
    unknown = {"label": LABELS[3], "labelled_videos": 2, "labelled_frames": 11, "frame_rate": 0.04}
    rows.append({**unknown, "reason": "2 labelled videos are too few; label at least 10"})
    return pa.Table.from_pylist(rows, PREVALENCE)
