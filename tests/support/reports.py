"""Reports of nights that never were, for tests of the page, the message for chat and their benchmark."""

import io
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image
from report_tables import (
    CORPUS,
    GROUPS,
    SAMPLE_FPS,
    THRESHOLDS,
    arrivals_table,
    canaries_table,
    cells_table,
    draw_scores,
    prevalence_table,
    trends_table,
    untested_cells,
)

from artifactscan.audit.night import EXIT_FAIL, EXIT_PASS, EXIT_SCORER_MOVED, Night, Verdict
from artifactscan.audit.night_tables import (
    ALL,
    ARRIVALS,
    ESTIMATES,
    RECENT,
    SAMPLING,
    TONIGHT,
)
from artifactscan.audit.policy import Policy, RateLimit, RiseLimit, as_record
from artifactscan.audit.report_data import Picture, Report, WorstVideo
from artifactscan.labels import LABELS
from artifactscan.schemas import FRAMES
from artifactscan.scoring.events import find_events

POLICY = Policy(
    rates=(RateLimit(label="motion", above=0.4), RateLimit(label="texture", above=0.3, group="generator=sora")),
    rises=RiseLimit(at_least=0.01),
    failed_above=0.2,
)
AUROC = {
    "generators": {
        "macro": (0.62, 0.57, 0.68),
        "boundary": (0.7, 0.63, 0.77),
        "texture": (0.46, 0.35, 0.58),
        "motion": (0.68, 0.59, 0.78),
        "object": (0.63, 0.56, 0.71),
    },
    "videos": {"macro": (0.72, 0.67, 0.77)},
}


def make_report(
    *,
    videos: int = 60,
    nights: int = 14,
    groups: Sequence[str] = GROUPS,
    code: int = EXIT_FAIL,
    worst: int = 3,
    links: Sequence[str | None] = (),
    seed: int = 1,
    worse_before: int = 0,
    blind: bool = False,
) -> Report:
    """A night of ``videos`` arrivals after ``nights`` earlier ones; the worst have ``links`` as far as there are any.

    A tenth of the videos (one at least, of twenty on) has no score. With EXIT_FAIL motion has risen in all videos and
    in the first group, as on the last ``worse_before`` nights; with EXIT_SCORER_MOVED the first canary has moved and
    the last cannot be compared. ``blind``: twelve canaries, whose planted clips score like the others.
    """
    random = np.random.default_rng(seed)
    frames, ledger = draw_scores(random, videos, groups)
    durations = dict(zip(ledger["video_id"], ledger["duration_s"], strict=True))
    events = find_events(frames, THRESHOLDS, sample_fps=SAMPLE_FPS, durations_s=durations)
    arrivals = arrivals_table(ledger, frames, events)
    first = datetime(2026, 5, 15, 1) - timedelta(days=nights)
    names = [f"{first + timedelta(days=day):%Y%m%dT%H%M%SZ}-{day:08x}" for day in range(nights + 1)]
    cells = cells_table(random, arrivals, groups, code) if nights else untested_cells(arrivals, groups)
    night = _night(names, arrivals, code)
    if blind and code == EXIT_PASS:
        unknown = "whether the scorer moved is not known, as the canaries cannot see a change"
        headline = night.verdict.headline.replace("the scorer stood still", unknown)
        night = replace(night, verdict=replace(night.verdict, headline=headline))
    return Report(
        night=night,
        history=_history(night, names, worse_before),
        store="s3://generated-video/audit",
        arrivals=arrivals,
        events=events,
        cells=cells,
        trends=trends_table(random, cells, names, worse_before=worse_before),
        canaries=canaries_table(random, moved=code == EXIT_SCORER_MOVED, blind=blind),
        sampling=pa.Table.from_pylist(
            [
                {"label": label, "videos": 12, "events": 31 - 6 * n, "missed": (3, 5, 9, 0)[n]}
                for n, label in enumerate(LABELS)
            ],
            SAMPLING,
        ),
        prevalence=prevalence_table(),
        worst=_worst(arrivals, frames, worst, links),
        link_expires="2026-05-22T01:31:00+00:00" if any(str(link).startswith("http") for link in links) else None,
    )


def with_estimates(report: Report, *, labelled: int = 58, drawn: int = 60, scope: str = TONIGHT) -> Report:
    """The report with estimates from so many labelled clips of those drawn; too few of them give none."""
    groups, rows = [ALL, *sorted(set(report.cells["group"].to_pylist()) - {ALL})], []
    for group in groups:
        for n, label in enumerate(LABELS):
            for unit, share in (("clips", 0.31 - 0.06 * n), ("frames", 0.12 - 0.02 * n)):
                count = labelled if group == ALL else labelled // 3
                row = {
                    "scope": scope,
                    "label": label,
                    "group": group,
                    "unit": unit,
                    "nights": 1 + 2 * (scope == RECENT),
                }
                row |= {"clips": 3000 if group == ALL else 1000, "drawn": drawn, "flag_rate": min(1.0, 2.6 * share)}
                row |= {"labelled_clips": count, "labelled_frames": 6 * count, "labelled_by": "people"}
                if count < 10:
                    rows.append({**row, "reason": f"{count} labelled clips are too few; an estimate needs 10"})
                    continue
                for name, half in (("estimate", 0.3), ("labels_alone", 0.4)):
                    row |= {name: share, f"{name}_low": share * (1 - half), f"{name}_high": share * (1 + half)}
                rows.append({**row, "correlation": None if label == "object" else 0.61})
    sheet = "s3://generated-video/audit/nights/20260515T010000Z-0000000e/to-label/export/csv/labels.csv"
    return replace(report, estimates=pa.Table.from_pylist(rows, ESTIMATES), label_sheet=sheet)


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
        checkpoint={
            "digest": "b91e77aa01c2d3e4",
            "backbone": "tf_efficientnet_lite0",
            "trained": True,
            "auroc": AUROC,
        },
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
        "still.",
    ),
    EXIT_FAIL: Verdict(
        code=EXIT_FAIL,
        headline="Motion rose from 14.8 % to 23.3 % of all videos, the clearest of 2 rises; the corpus changed, not "
        "the scorer.",
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
        headline="The scorer moved, so tonight says nothing of the corpus: the boundary score of canary canary-00.mp4 "
        "shifted by 0.190 (4 more moved).",
        reasons=(
            "Canary canary-00.mp4 shifts by 0.190 in one frame's boundary score, more than 0.02.",
            "Canary canary-05.mp4 cannot be compared (decoding took longer than 120 s).",
        ),
    ),
}


def _history(night: Night, names: Sequence[str], worse_before: int) -> tuple[Night, ...]:
    """The nights before: they pass, but for the last ``worse_before``; the last one has another torch."""
    before = names[:-1]
    worse = before[len(before) - worse_before :]
    verdicts = [_VERDICTS[EXIT_FAIL if name in worse else EXIT_PASS] for name in before]
    history = [replace(night, night=name, verdict=one) for name, one in zip(before, verdicts, strict=True)]
    return (*history[:-1], *(replace(one, versions={**one.versions, "torch": "2.11.0"}) for one in history[-1:]))


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
        if "labelled_by" in columns:
            columns["labelled_by"] = [text] * rows.num_rows
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
            checkpoint={"digest": "d", "trained": True, "standing": text},
            versions={**one.versions, text: text},
            settings={"corpus": text, "store": text, "include": [text, text]},
            runs=(text,),
        )

    assert report.previous is not None
    return replace(
        report,
        night=night(report.night),
        history=(*report.history[:-1], replace(report.previous, settings={text: text})),
        store=text,
        **{
            name: table(getattr(report, name))
            for name in ("arrivals", "events", "cells", "trends", "canaries", "sampling", "prevalence", "estimates")
        },
        label_notes=tuple(text for _ in report.label_notes),
        label_sheet=report.label_sheet and text,
        worst=tuple(
            replace(video, uri=text, path=text, link=text, frames=table(video.frames)) for video in report.worst
        ),
    )
