"""Writes a night's page, Markdown and CSV beside its tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from html import escape

import pyarrow as pa
import pyarrow.compute as pc

from artifactscan import storage
from artifactscan.audit.audit_store import AuditStore
from artifactscan.audit.brief.night_brief import NightBrief, night_brief
from artifactscan.audit.night import Night
from artifactscan.audit.night_estimates import night_estimates
from artifactscan.audit.night_tables import ARRIVALS, CANARIES, CELLS, PICTURES, PREVALENCE, SAMPLING, TRENDS
from artifactscan.audit.page.csv_export import videos_csv
from artifactscan.audit.page.html import render_html
from artifactscan.audit.page.markdown import render_markdown
from artifactscan.audit.pictures import pictures_of
from artifactscan.audit.policy import parse_policy
from artifactscan.audit.report_data import Report, WorstVideo
from artifactscan.audit.verdict import broken_rules, risen_cells
from artifactscan.audit.video_links import expiry, video_link
from artifactscan.audit.worst_videos import worst_videos
from artifactscan.errors import UsageError
from artifactscan.schemas import EVENTS
from artifactscan.storage.concurrent import map_in_order
from artifactscan.storage.parquet import write_table
from artifactscan.store.stored_rows import stored_frames

TREND_NIGHTS = 60
"""Most nights in a page's trends."""
PAGE, MARKDOWN, CSV, LATEST = "report.html", "report.md", "videos.csv", "latest.html"


@dataclass(frozen=True, kw_only=True)
class WrittenPages:
    """A night's pages."""

    page: str
    """URI of report.html."""
    brief: NightBrief


def write_pages(store: AuditStore, night: Night, earlier: Sequence[Night]) -> WrittenPages:
    """Writes report.html, report.md and videos.csv into the night's folder.

    The night's tables are written already; ``earlier`` are the nights before it, oldest first.
    """
    report = build_report(store, night, earlier)
    brief = night_brief(report)
    folder = store.folder(night.night)
    storage.write_bytes(storage.join(folder, CSV), videos_csv(report.arrivals))
    if report.estimates.num_rows:
        write_table(report.estimates, store.estimates(night.night))
    storage.write_bytes(storage.join(folder, MARKDOWN), render_markdown(report, brief).encode())
    page = storage.join(folder, PAGE)
    storage.write_bytes(page, render_html(report, brief).encode())
    return WrittenPages(page=page, brief=brief)


def write_latest(store: AuditStore, night: Night) -> None:
    """Writes latest.html, which leads to a night's page."""
    target = escape(f"nights/{night.night}/{PAGE}")
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>artifactscan audit</title>'
        f'<meta http-equiv="refresh" content="0; url={target}"><p><a href="{target}">{target}</a></p></html>\n'
    )
    storage.write_bytes(storage.join(store.root, LATEST), page.encode())


def build_report(store: AuditStore, night: Night, earlier: Sequence[Night]) -> Report:
    """What a night's page shows, from its tables."""
    arrivals, cells = store.table(night, "arrivals", ARRIVALS), store.table(night, "cells", CELLS)
    drawn = store.table(night, "pictures", PICTURES)
    life = timedelta(hours=night.settings["link_life_h"])
    policy = parse_policy(night.policy, f"policy of night {night.night}")
    leading_cell = broken_rules(policy, cells, arrivals, night.unproven).leading_cell
    shown = worst_videos(arrivals, night.settings["worst_videos"], leading_cell)
    runs = [run for run in store.scores.runs_of(night.spec_digest) if run in night.runs]
    frames = stored_frames(store.scores, runs, shown["video_id"].combine_chunks())
    frames = frames.sort_by([("uri", "ascending"), ("frame_index", "ascending")])
    worst = tuple(
        WorstVideo(
            video_id=video["video_id"],
            uri=video["uri"],
            path=video["path"],
            link=video_link(video["uri"], store.folder(night.night), life),
            frames=frames.filter(pc.equal(frames["video_id"], video["video_id"])),
            pictures=pictures_of(drawn, video["video_id"]),
        )
        for video in shown.to_pylist()
    )
    estimates = night_estimates(store, night, earlier, most_nights=policy.baseline_nights)
    return Report(
        night=night,
        history=tuple(earlier),
        store=store.root,
        arrivals=arrivals,
        events=store.table(night, "events", EVENTS),
        cells=cells,
        trends=_trends(store, [one for one in earlier if one.scorer == night.scorer], night, cells),
        canaries=store.table(night, "canaries", CANARIES),
        sampling=store.table(night, "sampling", SAMPLING),
        prevalence=store.table(night, "prevalence", PREVALENCE),
        worst=worst,
        estimates=estimates.table,
        label_notes=estimates.notes,
        label_sheet=store.label_folder(night.night).sheet if store.label_sample(night).num_rows else None,
        link_expires=expiry(life) if any(storage.is_remote(video.uri) for video in worst) else None,
    )


def _trends(store: AuditStore, earlier: Sequence[Night], night: Night, cells: pa.Table) -> pa.Table:
    before = earlier[1 - TREND_NIGHTS :]
    tables = [*map_in_order(lambda one: store.table(one, "cells", CELLS), before), cells]
    return pa.concat_tables(_trend(one, table) for one, table in zip([*before, night], tables, strict=True))


def _trend(night: Night, cells: pa.Table) -> pa.Table:
    """TRENDS of one night."""
    columns = {"night": pa.repeat(pa.scalar(night.night), cells.num_rows), "risen": _risen(night, cells)}
    columns |= {name: cells[name] for name in TRENDS.names if name not in columns}
    return pa.table([columns[name] for name in TRENDS.names], TRENDS)


def _risen(night: Night, cells: pa.Table) -> pa.Array | pa.ChunkedArray:
    """TRENDS' ``risen`` of one night: null for all cells where this version cannot read the policy it was judged by."""
    try:
        policy = parse_policy(night.policy, f"policy of night {night.night}")
    except UsageError:  # a newer version's; what an earlier night says of itself must not stop tonight's page
        return pa.nulls(cells.num_rows, pa.bool_())
    risen = {(cell["label"], cell["group"]) for cell in risen_cells(policy, cells, night.unproven)}
    names = zip(cells["label"].to_pylist(), cells["group"].to_pylist(), strict=True)
    return pc.if_else(pc.is_null(cells["untested"]), pa.array([n in risen for n in names], pa.bool_()), None)
