"""The printed plan, and the summary at the end of a run."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from parts import record
from rich.console import Console

from artifactscan import storage
from artifactscan.labels import LABELS
from artifactscan.messages.console import console
from artifactscan.schemas import VIDEOS
from artifactscan.scoring import summary
from artifactscan.scoring.plan import Plan
from artifactscan.scoring.summary import MOST_AFFECTED, print_plan, print_run, short_uri
from artifactscan.storage.parquet import write_table
from artifactscan.store.layout import Store

RUN = "run1"
THRESHOLDS = dict(zip(LABELS, (0.5, 0.25, 0.75, 1.0), strict=True))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def scored(uri: str, over: tuple[int, int, int, int], *, frames: int = 10, peak: float = 0.9, **values: Any) -> dict:
    """The ledger's row of a video with ``over`` frames over the threshold of each label."""
    row: dict[str, Any] = {"video_id": uri, "uri": uri, "outcome": "scored", "frames_decoded": frames, **values}
    for label, count in zip(LABELS, over, strict=True):
        row |= {f"frames_over_{label}": count, f"max_{label}": peak if label == "motion" else 0.1, f"mean_{label}": 0.1}
    return row


def failed(uri: str, outcome: str, reason: str) -> dict:
    return {"video_id": uri, "uri": uri, "outcome": outcome, "reason": reason}


def write_ledger(store: Store, rows: list[dict], *, file: str = "videos-00000.parquet") -> None:
    write_table(pa.Table.from_pylist(rows, schema=VIDEOS), storage.join(store.videos(RUN), file))


def shown(store: Store, *, unproven: tuple[str, ...] = (), **outcomes: int) -> str:
    """What is printed of a run with these outcomes, 110 columns wide."""
    out = io.StringIO()
    run = replace(record(RUN), outcomes=outcomes)
    print_run(store, run, THRESHOLDS, Console(file=out, width=110), unproven=unproven)
    return out.getvalue()


def cells(text: str) -> list[list[str]]:
    """The rows of all tables in ``text``, without their headings."""
    lines = [line for line in text.splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]


def test_the_table_of_a_plan() -> None:
    plan = Plan(new=1000, changed=2, again=3, settled=4, removed=5, bytes_to_read=2_500_000, frames_per_byte=0.0124)
    out = io.StringIO()
    print_plan(plan, Console(file=out, width=110))
    assert cells(out.getvalue()) == [
        ["listed", "1,009"],
        ["new", "1,000"],
        ["changed", "2"],
        ["to try again", "3"],
        ["already settled", "4"],
        ["removed since the last run", "5"],
        ["bytes to read", "2.5 MB"],
        ["expected frames", "about 31,000"],
    ]


def test_the_three_tables_of_a_run(store: Store) -> None:
    write_ledger(
        store,
        [
            scored("/in/a.mp4", (0, 0, 0, 0), frames=10, peak=0.25),
            scored("/in/b.mp4", (5, 0, 30, 0), frames=30, outcome="partial", reason="2 frames lost"),
            failed("/in/c.mp4", "undecodable", "no video stream"),
            failed("/in/d.mp4", "undecodable", "not a video"),
        ],
    )
    text = shown(store, undecodable=2, partial=1, scored=1, unchanged=1234)
    assert "Labels in 2 videos, 40 frames" in text
    assert cells(text) == [
        ["scored", "1", ""],
        ["partial", "1", "in/b.mp4: 2 frames lost"],
        ["undecodable", "2", "in/c.mp4: no video stream"],
        ["unchanged", "1,234", ""],
        ["boundary", "0.50", "12.5%", "50.0%"],
        ["texture", "0.25", "0.0%", "0.0%"],
        ["motion", "0.75", "75.0%", "50.0%"],
        ["object", "1.00", "0.0%", "0.0%"],
        ["in/b.mp4", "17%", "0%", "100%", "0%", "0.90"],
    ], "a video without a frame over a threshold is not affected"


def test_where_no_frame_is_over_a_threshold_no_video_is_affected(store: Store) -> None:
    write_ledger(store, [scored("/in/a.mp4", (0, 0, 0, 0))])
    assert "Most affected" not in shown(store, scored=1)


def test_the_most_affected_videos_come_first(store: Store) -> None:
    fewest = [scored(f"/in/{n:02d}", (1, 0, 0, 0)) for n in reversed(range(MOST_AFFECTED))]
    share, peak = scored("/in/share", (1, 1, 0, 0), frames=4, peak=0.8), scored("/in/peak", (1, 0, 0, 0), peak=0.95)
    write_ledger(store, [*fewest[:5], peak, *fewest[5:], share])
    ranked = [row[0] for row in cells(shown(store)) if row[0].startswith("in/")]
    assert ranked == ["in/share", "in/peak", *(f"in/{n:02d}" for n in range(MOST_AFFECTED - 2))]


def test_unchanged_videos_are_counted_but_not_ranked(store: Store) -> None:
    write_ledger(store, [scored("/in/old", (9, 9, 9, 9), outcome="unchanged")], file="unchanged-00000.parquet")
    text = shown(store, unchanged=1)
    assert cells(text) == [["unchanged", "1", ""]]
    assert "Labels in" not in text


def test_a_run_without_a_scored_video_has_no_table_of_rates(store: Store) -> None:
    write_ledger(store, [failed("/in/a", "timed_out", "300 s were not enough")])
    text = shown(store, timed_out=1)
    assert cells(text) == [["timed_out", "1", "in/a: 300 s were not enough"]]


def test_each_path_is_printed_in_one_line_however_long() -> None:
    store = Store("/" + "long/" * 40 + "store")
    lines = shown(store).splitlines()
    assert lines[-4:] == [
        f"frames  {store.frames(RUN)}",
        f"videos  {store.videos(RUN)}",
        f"events  {store.events(RUN)}",
        f"run     {store.run_json(RUN)}",
    ]


def test_uris_and_reasons_are_printed_without_markup_and_control_characters(store: Store) -> None:
    hostile = "/in/[red]\x1b[2J\n.mp4"
    write_ledger(store, [scored(hostile, (1, 1, 1, 1)), failed(hostile, "crashed", "[bold]died\r")])
    text = shown(store, scored=1, crashed=1)
    assert ["crashed", "1", "in/[red]\\x1b[2J\\n.mp4: [bold]died\\r"] in cells(text)
    assert ["in/[red]\\x1b[2J\\n.mp4", "10%", "10%", "10%", "10%", "0.90"] in cells(text)
    assert all(line.isprintable() for line in text.splitlines())
    assert r"[red]\x1b" in shown(Store("/nowhere/[red]\x1b")).splitlines()[-1]


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("/a", "/a"),
        ("/a/b/c.mp4", "b/c.mp4"),
        ("s3://bucket/c.mp4", "bucket/c.mp4"),
        ("s3://bucket/a/b/c.mp4", "b/c.mp4"),
        (f"/a/b/{'x' * 99}.mp4", f"b/{'x' * 19}…{'x' * 18}.mp4"),
    ],
)
def test_short_uri(uri: str, expected: str) -> None:
    assert short_uri(uri) == expected


def test_the_width_of_the_console(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("COLUMNS", "77")
    assert console().width == 110
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert console().width == 77


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.00"), (0.001, "under 0.01"), (0.0049, "under 0.01"), (0.005, "0.01"), (1234.5, "1,234.50")],
)
def test_small_costs_are_not_printed_as_zero(value: float, text: str) -> None:
    assert summary._two_decimals(value) == text


def test_unproven_labels_are_named_and_rank_no_video_beside_proven_ones(store: Store) -> None:
    write_ledger(store, [scored("a", (9, 0, 0, 9)), scored("b", (0, 5, 0, 0))])
    text = shown(store, scored=2, unproven=("boundary", "object"))
    assert [row[0] for row in cells(text)][1:5] == ["boundary (unproven)", "texture", "motion", "object (unproven)"]
    assert "Most affected videos: share" in text
    assert [row[0] for row in cells(text)][5:] == ["b"], "by texture and motion"
    assert text.count("unproven: boundary, object; the scores are not shown to be better than chance on clips") == 1


def test_where_no_label_is_proven_the_table_of_the_most_affected_says_so(store: Store) -> None:
    write_ledger(store, [scored("a", (9, 0, 0, 0))])
    text = " ".join(shown(store, scored=1, unproven=LABELS).split())
    assert "Most affected videos by unproven labels: share of frames" in text


def test_a_threshold_that_nearly_all_frames_reach_separates_nothing_and_names_no_video(store: Store) -> None:
    write_ledger(store, [scored("a", (45, 2, 0, 0), frames=50), scored("b", (0, 1, 0, 0), frames=0)])
    text = shown(store, scored=2)
    said = "boundary: its threshold separates nothing, as 90.0% of the frames reach it; no video is named as most"
    assert f"{said} affected" in text.replace("\n", " ")
    most_affected = text[text.index("Most affected") :]
    assert "boundary" not in most_affected.split("boundary: its")[0]
    assert "texture" in most_affected


def test_where_all_thresholds_separate_nothing_no_video_is_most_affected(store: Store) -> None:
    write_ledger(store, [scored("a", (50, 50, 48, 49), frames=50)])
    text = shown(store, scored=1)
    assert "Most affected" not in text
    assert text.count("separates nothing") == 4


def test_of_few_frames_no_threshold_is_said_to_separate_nothing(store: Store) -> None:
    write_ledger(store, [scored("a", (49, 0, 0, 0), frames=49)])
    assert "separates nothing" not in shown(store, scored=1)


def test_a_long_reason_is_cut_between_words(store: Store) -> None:
    reason = "the video cannot be opened, since " + "moov " * 20 + "is not there"
    write_ledger(store, [failed("/in/a.mp4", "undecodable", reason)])
    table = " ".join(shown(store, undecodable=1).replace("│", " ").split())
    assert "moov …" in table and "is not there" not in table
    write_ledger(store, [failed("/in/a.mp4", "undecodable", "x" * 100)])
    assert f"{'x' * 9}…{'x' * 9}" in shown(store, undecodable=1).replace("│", "").replace("\n", "").replace(" ", "")
