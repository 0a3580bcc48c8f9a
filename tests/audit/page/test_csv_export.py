"""A night's videos for a spreadsheet."""

import csv
import io

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reports import make_report, with_arrivals

from artifactscan.audit.night_tables import ARRIVALS
from artifactscan.audit.page.csv_export import cell, videos_csv
from artifactscan.messages.text import printable


def test_a_line_per_video_with_its_figures() -> None:
    arrivals = make_report(videos=30).arrivals
    read = pd.read_csv(io.BytesIO(videos_csv(arrivals)), encoding="utf-8-sig", dtype={"video_id": str})
    assert list(read.columns) == ARRIVALS.names
    rows = arrivals.to_pylist()
    assert read["video_id"].tolist() == [row["video_id"] for row in rows]
    assert read["groups"][0] == "generator=sora; version=1"
    assert read["peak_motion"].tolist() == pytest.approx(arrivals["peak_motion"].to_numpy(), nan_ok=True)
    failed = read[read["outcome"] == "timed_out"].iloc[0]
    assert failed["reason"] == "decoding took longer than 120 s"
    assert pd.isna(failed["peak_motion"]) and failed["frames"] == 0


def test_no_videos_are_a_header() -> None:
    assert videos_csv(ARRIVALS.empty_table()).decode("utf-8-sig").count("\n") == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("clip.mp4", "clip.mp4"),
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        (" =1+1", "' =1+1"),
        ("\t=1+1", "\\t=1+1"),
        ("\r=1+1", "\\r=1+1"),
        ("\uff1d1+1", "'\uff1d1+1"),
        ("a=1", "a=1"),
        ("\u202egpj", "\\u202egpj"),
    ],
)
def test_no_cell_is_a_formula(text: str, expected: str) -> None:
    assert cell(text) == expected


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), st.text("=+-@\t\r\n \"',;a", max_size=12))
def test_any_name_comes_back_as_one_cell(path: str, reason: str) -> None:
    report = make_report(videos=2, worst=0)
    arrivals = with_arrivals(report, path=[path, "b"], reason=[reason, None]).arrivals
    text = videos_csv(arrivals).decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert len(rows) == 2
    assert rows[0]["path"] in (printable(path), f"'{printable(path)}")
    assert not rows[0]["path"].lstrip().startswith(("=", "+", "-", "@"))
    assert not rows[0]["reason"].lstrip().startswith(("=", "+", "-", "@", "\t", "\r"))
