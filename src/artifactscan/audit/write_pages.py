"""Writes a night's page, Markdown and CSV beside its tables."""

from collections.abc import Sequence
from datetime import timedelta
from html import escape

import pyarrow as pa
import pyarrow.compute as pc

from artifactscan import storage
from artifactscan.audit.audit_store import AuditStore
from artifactscan.audit.night import Night
from artifactscan.audit.night_estimates import night_estimates
from artifactscan.audit.night_tables import ARRIVALS, CANARIES, CELLS, PICTURES, PREVALENCE, SAMPLING, TRENDS
from artifactscan.audit.page.csv_export import videos_csv
from artifactscan.audit.page.html import render_html
from artifactscan.audit.page.markdown import render_markdown
from artifactscan.audit.pictures import pictures_of, worst_videos
from artifactscan.audit.policy import parse_policy
from artifactscan.audit.report_data import Report, WorstVideo
from artifactscan.audit.video_links import expiry, video_link
from artifactscan.schemas import EVENTS
from artifactscan.storage.concurrent import map_in_order
from artifactscan.storage.parquet import write_table
from artifactscan.store.stored_rows import stored_frames

TREND_NIGHTS = 60
"""Most nights in a page's trends."""
PAGE, MARKDOWN, CSV, LATEST = "report.html", "report.md", "videos.csv", "latest.html"


def write_pages(store: AuditStore, night: Night, earlier: Sequence[Night]) -> str:
    """Writes report.html, report.md and videos.csv into the night's folder; returns the URI of the page.

    The night's tables are written already; ``earlier`` are the nights before it, oldest first.
    """
    report = build_report(store, night, earlier)
    folder = store.folder(night.night)
    storage.write_bytes(storage.join(folder, CSV), videos_csv(report.arrivals))
    if report.estimates.num_rows:
        write_table(report.estimates, store.estimates(night.night))
    storage.write_bytes(storage.join(folder, MARKDOWN), render_markdown(report).encode())
    page = storage.join(folder, PAGE)
    storage.write_bytes(page, render_html(report).encode())
    return page


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
    shown = worst_videos(arrivals, night.settings["worst_videos"])
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
    most = parse_policy(night.policy, f"policy of night {night.night}").baseline_nights
    estimates = night_estimates(store, night, earlier, most_nights=most)
    return Report(
        night=night,
        previous=earlier[-1] if earlier else None,
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
    columns = [name for name in TRENDS.names if name != "night"]
    before = earlier[1 - TREND_NIGHTS :]
    tables = [*map_in_order(lambda one: store.table(one, "cells", CELLS), before), cells]
    return pa.concat_tables(
        table.select(columns).add_column(0, TRENDS.field("night"), pa.repeat(pa.scalar(one.night), table.num_rows))
        for one, table in zip([*before, night], tables, strict=True)
    )
