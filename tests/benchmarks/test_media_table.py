"""The table of odd media: artifactscan is right in every row, and the document has every row."""

from pathlib import Path

import pytest
from decoded import SETTINGS
from media import read_number
from paths import ROOT

from artifactscan.decode.video import DecodeError
from benchmarks import media_table
from benchmarks.media_table import KINDS, READERS, Kind, as_markdown, describe, right

DOCUMENT = (ROOT / "docs" / "media.md").read_text()


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
def test_artifactscan_is_right_in_every_row(tmp_path: Path, kind: Kind) -> None:
    found = READERS["artifactscan"](str(kind.make(tmp_path / kind.name)))
    assert describe(kind, found) == "right"
    [line] = [line for line in DOCUMENT.splitlines() if line.startswith(f"| {kind.title} |")]
    assert line.startswith(f"| {kind.title} | {right(kind)} |")
    assert line.endswith("| right |")


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
def test_decord_is_right_or_refused(tmp_path: Path, kind: Kind) -> None:
    pytest.importorskip("decord", reason="decord has wheels for Linux on x86-64 only")
    from artifactscan.decode.with_decord import decode_decord

    path = kind.make(tmp_path / kind.name)
    frames = []
    try:
        facts = decode_decord(str(path), SETTINGS, lambda *frame: frames.append(frame))
    except DecodeError:
        return
    assert [read_number(pixels) for _, _, pixels in frames] == list(kind.frames)
    assert (facts.frames_decoded, facts.width, facts.height) == (facts.frames_sampled, *kind.size)
    if kind.levels:
        bars = frames[-1][2][2:10].mean(axis=(0, 2))
        assert (bars.min(), bars.max()) == pytest.approx(kind.levels, abs=5)


def test_the_document_has_no_other_rows() -> None:
    rows = [line for line in DOCUMENT.splitlines() if line.startswith("|")]
    assert len(rows) == len(KINDS) + 2
    assert rows[:2] == as_markdown([]).splitlines()


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"frames": [0, 12, 24, 36], "size": [160, 96], "levels": [1, 254]}, "right"),
        ({"frames": [0, 12, 24, 35], "size": [160, 96], "levels": [0, 255]}, "0, 12, 24, 35"),
        ({"frames": [0, 12, 24, 36], "size": [228, 96], "levels": [0, 255]}, "228×96"),
        ({"frames": [], "size": [160, 96], "levels": [16, 235]}, "no frame; grey 16 to 235"),
        ({"error": "av.error.InvalidDataError: no | video in /a/b.mp4"}, "error: no video in"),
    ],
)
def test_what_differs_is_said(found: dict, words: str) -> None:
    kind = Kind("grey", "grey.mp4", lambda path: path, levels=(0, 255))
    assert describe(kind, found) == words


def test_a_tool_that_fails_is_a_row_and_not_an_end(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    assert "error" in media_table.read("PyAV alone", tmp_path / "text.mp4")
