"""A store of which events are exported."""

from pathlib import Path

import pytest
from exported import add_run

from artifactscan.store.layout import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "store"))
    scores = {
        "/clips/a.mp4": {"motion": [0.1, 0.9, 0.9, 0.1], "object": [0.0, 0.0, 0.9, 0.9]},
        "/clips/day/b.mp4": {"texture": [0.1, 0.1]},
        "/clips/broken.mp4": "undecodable",
    }
    add_run(store, "run1", scores)
    return store
