"""Synthetic clips beside labelled ones."""

from pathlib import Path

import numpy as np
import pytest
from labelled_clips import write_labelled

from artifactscan.labels import LABELS
from artifactscan.training import synthetic
from artifactscan.training.labelled_frames import load_labelled_frames


def test_pairs_are_written_once_and_follow_the_labelled_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = str(tmp_path / "drawn")
    labels = synthetic.write_synthetic_clips(folder, 1, seed=3)
    assert sorted(path.name for path in (tmp_path / "drawn" / "clips").iterdir()) == [
        "00000_clean.mp4",
        "00000_defect.mp4",
    ]
    monkeypatch.setattr(synthetic, "write_corpus", None)
    assert synthetic.write_synthetic_clips(folder, 1, seed=3) == labels, "existing clips are not written again"

    own = load_labelled_frames([str(write_labelled(tmp_path / "own", clips=2, seconds=0.5))], [])
    both = synthetic.append_synthetic(own, labels)
    count = own.table.num_rows
    assert both.table.slice(0, count).equals(own.table)
    assert both.table.schema == own.table.schema
    drawn = both.files[count:]
    assert set(drawn) == {"synthetic:clips/00000_clean.mp4", "synthetic:clips/00000_defect.mp4"}
    assert set(both.clips) == {*own.clips, *drawn}
    assert not both.y[count:][["_clean" in file for file in drawn]].any()
    assert LABELS[np.flatnonzero(both.y[count:].any(axis=0))[0]] == "boundary"
    assert np.isin(both.y, (0, 1)).all()
