"""Reports of nights that never were, for tests of the page, the message for chat and their benchmark."""

import io
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from PIL import Image

from artifactscan.audit.night import EXIT_FAIL, EXIT_PASS, EXIT_SCORER_MOVED, Night, Verdict
from artifactscan.audit.night_tables import ALL, ARRIVALS, CANARIES, CELLS, PREVALENCE, SAMPLING, TRENDS
from artifactscan.audit.policy import Policy, RateLimit, RiseLimit, as_record
from artifactscan.audit.report_data import Picture, Report, WorstVideo
from artifactscan.labels import LABELS
from artifactscan.schemas import FRAMES
from artifactscan.scoring.events import find_events

THRESHOLDS = {"boundary": 0.55, "texture": 0.6, "motion": 0.5, "object": 0.45}
CORPUS = "s3://generated-video/nightly"
GROUPS = ("generator=sora", "generator=veo", "generator=wan", "version=2")
SAMPLE_FPS = 2.0

POLICY = Policy(
    rates=(RateLimit(label="motion", above=0.4), RateLimit(label="texture", above=0.3, group="generator=sora")),
    rises=RiseLimit(at_least=0.01),
)

_FAILED = {
    "undecodable": "Invalid data found when processing input",
    "timed_out": "decoding took longer than 120 s",
    "unreadable": "access denied",
}
_PROMPTS = ["a-street-in-the-rain", "two-dogs-running", "a-chef-at-work", "hands-playing-piano", "a-crowd-at-dusk"]


def make_report(
    *,
    videos: int = 60,
    nights: int = 14,
    groups: Sequence[str] = GROUPS,
    code: int = EXIT_FAIL,
    worst: int = 3,
    links: Sequence[str | None] = (),
    seed: int = 1,
) -> Report:
    """A night of ``videos`` arrivals after ``nights`` earlier ones; the worst have ``links`` as far as there are any.

    A tenth of the videos (one at least, of twenty on) has no score. With EXIT_FAIL motion has risen in all videos and
    in the first group; with EXIT_SCORER_MOVED the first canary has moved and the last cannot be compared.
    """
    random = np.random.default_rng(seed)
    frames, ledger = _scored(random, videos, groups)
    durations = dict(zip(ledger["video_id"], ledger["duration_s"], strict=True))
    events = find_events(frames, THRESHOLDS, sample_fps=SAMPLE_FPS, durations_s=durations)
    arrivals = _arrivals(ledger, frames, events)
    first = datetime(2026, 5, 15, 1) - timedelta(days=nights)
    names = [f"{first + timedelta(days=day):%Y%m%dT%H%M%SZ}-{day:08x}" for day in range(nights + 1)]
    cells = _cells(random, arrivals, groups, code) if nights else _cells_untested(arrivals, groups)
    night = _night(names, arrivals, code)
    return Report(
        night=night,
        previous=_before(night, names) if nights else None,
        arrivals=arrivals,
        events=events,
        cells=cells,
        trends=_trends(random, cells, names),
        canaries=_canaries(random, moved=code == EXIT_SCORER_MOVED),
        sampling=pa.Table.from_pylist(
            [
                {"label": label, "videos": 12, "events": 31 - 6 * n, "missed": (3, 5, 9, 0)[n]}
                for n, label in enumerate(LABELS)
            ],
            SAMPLING,
        ),
        prevalence=_prevalence(),
        worst=_worst(arrivals, frames, worst, links),
        link_expires="2026-05-22T01:31:00+00:00" if any(str(link).startswith("http") for link in links) else None,
    )


def with_arrivals(report: Report, **columns: Sequence[Any]) -> Report:
    """The report with whole columns of its arrivals replaced."""
    values = {name: columns.get(name, report.arrivals[name]) for name in ARRIVALS.names}
    return replace(report, arrivals=pa.table(values, ARRIVALS))


def jpeg(colour: tuple[int, int, int], *, width: int = 320, height: int = 180, noise: float = 0.0) -> bytes:
    """A picture with something on it: a gradient in one colour and a darker box.

    With ``noise`` of 12 it has the 13 kB that frames of real clips have at this size.
    """
    y, x = np.mgrid[0:height, 0:width]
    picture = np.stack([channel * (0.35 + 0.65 * (x + y) / (width + height)) for channel in colour], axis=-1)
    picture[height // 3 : height // 3 * 2, width // 4 : width // 2] *= 0.5
    picture += noise * np.random.default_rng(0).normal(size=(height, width, 1))
    file = io.BytesIO()
    Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=72)
    return file.getvalue()


def _scored(random: np.random.Generator, videos: int, groups: Sequence[str]) -> tuple[pa.Table, dict[str, list]]:
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


def _arrivals(ledger: dict[str, list], frames: pa.Table, events: pa.Table) -> pa.Table:
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


def _cells(random: np.random.Generator, arrivals: pa.Table, groups: Sequence[str], code: int) -> pa.Table:
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


def _cells_untested(arrivals: pa.Table, groups: Sequence[str]) -> pa.Table:
    why = "there is no night to compare with"
    rows = [{**_rates(arrivals, group, label), "untested": why} for group in (ALL, *groups) for label in LABELS]
    return pa.Table.from_pylist(rows, CELLS)


def _trends(random: np.random.Generator, cells: pa.Table, nights: Sequence[str]) -> pa.Table:
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
            rows.append({**row, "rate": rate, "rate_low": low, "rate_high": high})
    return pa.Table.from_pylist(rows, TRENDS)


def _canaries(random: np.random.Generator, *, moved: bool) -> pa.Table:
    rows = []
    for clip in range(6):
        for n, label in enumerate(LABELS):
            planted = n == clip % len(LABELS)
            score = 0.9 if planted else 0.08
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


def _prevalence() -> pa.Table:
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


def _worst(arrivals: pa.Table, frames: pa.Table, count: int, links: Sequence[str | None]) -> tuple[WorstVideo, ...]:
    rows = [row for row in arrivals.to_pylist() if any(row[f"events_{label}"] for label in LABELS)]
    rows.sort(key=lambda row: -sum(row[f"frames_over_{label}"] for label in LABELS) / row["frames"])
    scores = frames.to_pandas().groupby("video_id") if count else None
    worst = []
    for n, row in enumerate(rows[:count]):
        assert scores is not None
        own = pa.Table.from_pandas(scores.get_group(row["video_id"]), FRAMES, preserve_index=False)
        worst.append(
            WorstVideo(
                video_id=row["video_id"],
                uri=row["uri"],
                path=row["path"],
                link=links[n] if n < len(links) else None,
                frames=own,
                pictures=tuple(
                    Picture(
                        label=label,
                        frame_index=row[f"peak_frame_{label}"],
                        pts_s=row[f"peak_s_{label}"],
                        score=row[f"peak_{label}"],
                        frame_jpeg=jpeg((90, 130, 170)),
                        overlay_jpeg=jpeg((200, 90, 40)) if label != "texture" else None,
                    )
                    for label in LABELS
                    if row[f"events_{label}"]
                ),
            )
        )
    return tuple(worst)


def _night(names: Sequence[str], arrivals: pa.Table, code: int) -> Night:
    outcomes = {entry["values"].as_py(): entry["counts"].as_py() for entry in arrivals["outcome"].value_counts()}
    listed = 20_000 + arrivals.num_rows
    return Night(
        night=names[-1],
        corpus=CORPUS,
        started="2026-05-15T01:00:00+00:00",
        finished="2026-05-15T01:31:00+00:00",
        scorer=names[0],
        spec_digest="5d1c0f3a9be27744",
        spec={"sample_fps": SAMPLE_FPS, "decoder": "auto", "input": {"height": 192, "width": 336}},
        checkpoint={"digest": "b91e77aa01c2d3e4", "backbone": "tf_efficientnet_lite0", "trained": True},
        versions={"artifactscan": "0.1.0", "python": "3.11.2", "torch": "2.12.0", "ray": "2.60.0", "av": "18.0.0"},
        tables="tables-0a1b2c3d",
        runs=("20260515T010003Z-11aa22bb",),
        counts={"listed": listed, "new": arrivals.num_rows - 3, "changed": 3, "removed": 2, "quarantined": 11},
        outcomes=outcomes,
        standing_outcomes={"scored": listed - 14, "undecodable": 9, "timed_out": 5},
        standing_rates=dict(zip(LABELS, (0.21, 0.13, 0.17, 0.09), strict=True)),
        baseline=tuple(names[-8:-1]),
        thresholds=THRESHOLDS,
        events={"release_ratio": 0.8, "max_gap_frames": 1, "min_frames": 1},
        policy=as_record(POLICY),
        verdict=_VERDICTS[code],
        notes=("2 files were removed from the corpus",),
        settings={
            "corpus": CORPUS,
            "store": "s3://generated-video/audit",
            "sample_fps": SAMPLE_FPS,
            "webhook": "secret",
        },
    )


_VERDICTS = {
    EXIT_PASS: Verdict(
        code=EXIT_PASS,
        headline="No worse than before: none of 19 rates rose by more than chance against 7 nights; the scorer stood "
        "still (largest canary shift 0.001).",
    ),
    EXIT_FAIL: Verdict(
        code=EXIT_FAIL,
        headline="Worse than before: motion rose from 14.8 % to 23.3 % of all videos (+8.5 points, 95 % interval +4.5 "
        "to +12.5), the clearest of 2 rises; the scorer stood still (largest canary shift 0.001), so it is the corpus "
        "that changed.",
        reasons=(
            "Motion rose from 14.8 % to 23.3 % of all videos (+8.5 points, 95 % interval +4.5 to +12.5), q value 0.008 "
            "where 0.05 or less fails.",
            "Motion rose from 13.8 % to 22.3 % of the videos in generator=sora (+8.5 points, 95 % interval +4.5 to "
            "+12.5), q value 0.008 where 0.05 or less fails.",
        ),
        worse=True,
    ),
    EXIT_SCORER_MOVED: Verdict(
        code=EXIT_SCORER_MOVED,
        headline="The scorer moved, so tonight says nothing of the corpus: canary canary-00.mp4 shifts by 0.190 in one "
        "frame's boundary score, more than 0.02 (4 more moved).",
        reasons=(
            "Canary canary-00.mp4 shifts by 0.190 in one frame's boundary score, more than 0.02.",
            "Canary canary-05.mp4 cannot be compared (decoding took longer than 120 s).",
        ),
    ),
}


def _before(night: Night, names: Sequence[str]) -> Night:
    return replace(night, night=names[-2], versions={**night.versions, "torch": "2.11.0"})


def poisoned(report: Report, text: str) -> Report:
    """The report with ``text`` in place of every name, path, reason and setting that others may have written.

    Where names have to differ from each other a number is added. Labels, ids and outcomes stay.
    """

    def numbered(column: pa.ChunkedArray) -> list[str | None]:
        place = {value: n for n, value in enumerate(column.unique().to_pylist())}
        return [value if value in (None, ALL) else f"{text}{place[value]}" for value in column.to_pylist()]

    def table(rows: pa.Table) -> pa.Table:
        columns = {name: rows[name] for name in rows.column_names}
        for name in {"uri", "path", "group", "clip"}.intersection(columns):
            columns[name] = numbered(rows[name])
        for name in {"reason", "untested"}.intersection(columns):
            columns[name] = [value and text for value in rows[name].to_pylist()]
        if "groups" in columns:
            columns["groups"] = [[f"{text}{n}" for n, _ in enumerate(names)] for names in rows["groups"].to_pylist()]
        return pa.table(columns, rows.schema)

    def night(one: Night) -> Night:
        reasons = tuple(text for _ in one.verdict.reasons) or (text,)
        return replace(
            one,
            corpus=text,
            verdict=replace(one.verdict, headline=text, reasons=reasons),
            notes=(text, text),
            spec={**one.spec, text: text},
            checkpoint={**one.checkpoint, "standing": text},
            versions={**one.versions, text: text},
            settings={"corpus": text, "store": text, "include": [text, text]},
            runs=(text,),
        )

    assert report.previous is not None
    return replace(
        report,
        night=night(report.night),
        previous=replace(report.previous, settings={text: text}),
        **{
            name: table(getattr(report, name))
            for name in ("arrivals", "events", "cells", "trends", "canaries", "sampling", "prevalence")
        },
        worst=tuple(
            replace(video, uri=text, path=text, link=text, frames=table(video.frames)) for video in report.worst
        ),
    )
