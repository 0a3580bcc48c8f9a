"""Labels of clips without defects."""

import io
from pathlib import Path

import pytest
from media import write_clip
from rich.console import Console

import artifactscan
from artifactscan.annotation.clean_clips import label_clean_clips
from artifactscan.annotation.labels_table import read_labels
from artifactscan.annotation.settings import CleanSettings
from artifactscan.errors import UsageError
from artifactscan.labels import LABELS, SEVERITY_COLUMNS


def test_the_first_sampled_frames_of_each_clip_show_nothing(tmp_path: Path) -> None:
    (tmp_path / "clips" / "a").mkdir(parents=True)
    clips = {
        "a/1.mp4": write_clip(tmp_path / "clips" / "a" / "1.mp4", seconds=3),
        "2.mp4": write_clip(tmp_path / "clips" / "2.mp4", seconds=1),
    }
    (tmp_path / "clips" / "broken.mp4").write_bytes(b"no video")
    printed, output = io.StringIO(), str(tmp_path / "camera.csv")
    settings = CleanSettings(input=str(tmp_path / "clips"), output=output, frames_per_clip=4)
    label_clean_clips(settings, Console(file=printed, width=200))
    table = read_labels(output)
    wanted = {file: list(artifactscan.sample_frames(str(path)).frame_index)[:4] for file, path in clips.items()}
    assert set(zip(table["file"].to_pylist(), table["frame_index"].to_pylist(), strict=True)) == {
        (file, index) for file, indices in wanted.items() for index in indices
    }
    assert {value for name in (*LABELS, *SEVERITY_COLUMNS) for value in table[name].to_pylist()} == {0}
    assert set(table["generator"].to_pylist()) == {"camera"}
    assert "6 frames without defects, of 2 clips" in printed.getvalue()
    assert "left out:" in printed.getvalue() and "broken.mp4" in printed.getvalue()


def test_a_folder_without_a_clip_that_can_be_decoded_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    with pytest.raises(UsageError, match="has no clip that can be decoded"):
        label_clean_clips(
            CleanSettings(input=str(tmp_path), output=str(tmp_path / "x.csv")), Console(file=io.StringIO())
        )


def test_a_table_that_is_there_is_kept(tmp_path: Path) -> None:
    write_clip(tmp_path / "1.mp4", seconds=1)
    (table := tmp_path / "labels.csv").write_text("hand-made")
    with pytest.raises(UsageError, match=r"--output .*labels\.csv is there already; name another file"):
        label_clean_clips(CleanSettings(input=str(tmp_path), output=str(table)), Console(file=io.StringIO()))
    assert table.read_text() == "hand-made"


@pytest.mark.parametrize(("name", "value"), [("frames_per_clip", 0), ("sample_fps", 0.0)])
def test_numbers_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"--{name.replace('_', '-')} is {value}"):
        CleanSettings(input="in", output="out.csv", **{name: value})  # type: ignore[arg-type]
