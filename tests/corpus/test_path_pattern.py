"""Names read out of paths; what a pattern may not be is tested with --groups."""

import pyarrow as pa
import pytest

from artifactscan.corpus.path_pattern import match_paths, pattern_names


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("{generator}", "sora/a.mp4", "sora"),
        ("{generator}/…", "sora/2/a.mp4", "sora"),
        ("clips/{generator}_{name}.mp4", "clips/sora_b_1.mp4", "sora"),
        ("clips/{generator}", "sora/a.mp4", None),
        ("{generator}", "a.mp4", None),
    ],
)
def test_a_maker_in_a_path(pattern: str, path: str, expected: str | None) -> None:
    assert "generator" in pattern_names(pattern)
    assert match_paths(pattern, pa.array([path]))["generator"].to_pylist() == [expected]
