"""What the audit's page costs: seconds to render, bytes, seconds to open in Chromium.

    python benchmarks/audit_page.py [--videos 10000] [--worst 24] [--groups 20] [--nights 60] [--keep report.html]

Every worst video has a picture of each label, with its heat map, of the size that real frames have. Prints one line
of JSON, and exits with 1 where a figure is over its limit.
"""

import argparse
import gzip
import json
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tests" / "support")]

from playwright.sync_api import sync_playwright  # noqa: E402
from rendered import html_of, markdown_of  # noqa: E402
from reports import jpeg, make_report  # noqa: E402

from artifactscan.audit.report_data import Picture, Report  # noqa: E402
from artifactscan.labels import LABELS  # noqa: E402

MAX_RENDER_S, MAX_BYTES, MAX_OPEN_S = 30.0, 5_000_000, 2.0
"""What a page of 10,000 videos may cost."""

_NOISE = 12.0
"""With which a picture of 320 pixels has the 13 kB that frames of real generated clips have."""
_OPENINGS = 5
_READY = "() => document.querySelectorAll('#video-table tbody tr').length > 0"


def report_of(videos: int, worst: int, groups: int, nights: int) -> Report:
    """A report whose worst videos have every picture there can be."""
    names = [f"generator=g{n:03d}" for n in range(groups)]
    report = make_report(videos=videos, nights=nights - 1, groups=names, worst=worst, links=["clip.mp4"] * worst)
    frame, overlay = jpeg((90, 130, 170), noise=_NOISE), jpeg((200, 90, 40), noise=_NOISE)
    pictures = tuple(
        Picture(label=label, frame_index=12, pts_s=0.5, score=0.9, frame_jpeg=frame, overlay_jpeg=overlay)
        for label in LABELS
    )
    return replace(report, worst=tuple(replace(video, pictures=pictures) for video in report.worst))


def open_seconds(page: Path) -> list[float]:
    """Seconds from asking for the page to all of it loaded, laid out and its table filled, each in a new context."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    seconds = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium)
        for _ in range(_OPENINGS):
            context = browser.new_context(viewport={"width": 1280, "height": 900})
            tab = context.new_page()
            start = time.perf_counter()
            tab.goto(page.as_uri(), wait_until="load")
            tab.wait_for_function(_READY)
            tab.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
            seconds.append(time.perf_counter() - start)
            context.close()
        browser.close()
    return seconds


def measure(report: Report, keep: Path | None) -> dict[str, Any]:
    """The figures of one report; the page is left at ``keep``."""
    html_of(make_report(videos=2, worst=0))  # templates are compiled once per process
    start = time.perf_counter()
    source = html_of(report).encode()
    rendered = time.perf_counter()
    markdown_of(report)
    written = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="artifactscan-page-") as folder:
        page = keep or Path(folder, "report.html")
        page.write_bytes(source)
        opened = open_seconds(page)
    return {
        "videos": report.arrivals.num_rows,
        "worst": len(report.worst),
        "cells": report.cells.num_rows,
        "render_s": round(rendered - start, 2),
        "markdown_s": round(written - rendered, 2),
        "page_bytes": len(source),
        "gzip_bytes": len(gzip.compress(source, 6)),
        "open_s_median": round(sorted(opened)[len(opened) // 2], 2),
        "open_s_most": round(max(opened), 2),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=10_000)
    parser.add_argument("--worst", type=int, default=24)
    parser.add_argument("--groups", type=int, default=20)
    parser.add_argument("--nights", type=int, default=60)
    parser.add_argument("--keep", type=Path, default=None)
    asked = parser.parse_args()
    figures = measure(
        report_of(asked.videos, asked.worst, asked.groups, asked.nights), asked.keep and asked.keep.resolve()
    )
    print(json.dumps(figures))
    good = (
        figures["render_s"] <= MAX_RENDER_S
        and figures["page_bytes"] <= MAX_BYTES
        and figures["open_s_median"] <= MAX_OPEN_S
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
