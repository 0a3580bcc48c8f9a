"""The demo's clips with planted defects."""

from pathlib import Path

import pytest

from artifactscan.corpus.listing import ListSettings, list_corpus
from artifactscan.demo import planted
from artifactscan.labels import LABELS


def test_each_clip_is_there_with_and_without_defects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planted, "PAIRS", 4)
    monkeypatch.setattr(planted, "SECONDS", 2.0)
    shown = planted.write_planted_clips(tmp_path / "planted")
    listed = [uri for batch in list_corpus(str(tmp_path), ListSettings()) for uri in batch["uri"].to_pylist()]
    assert sorted(Path(uri).name for uri in listed) == sorted(shown)
    assert len(shown) == 8
    assert sum(any(labels.values()) for labels in shown.values()) == 4
    assert all(any(labels[label] for labels in shown.values()) for label in LABELS)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.mp4")}
    assert planted.write_planted_clips(tmp_path / "planted") == shown
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.mp4")} == written
