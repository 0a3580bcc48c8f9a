"""The names of clips in labels and exports."""

from artifactscan.corpus.path_below import path_below


def test_a_clip_is_named_by_its_path_below_the_input() -> None:
    assert path_below("s3://b/videos/x/a.mp4", "s3://b/videos/") == "x/a.mp4"
    assert path_below("/c/a.mp4", "/c") == "a.mp4"
    assert path_below("/c/a.mp4", "/c/a.mp4") == path_below("/c/a.mp4", "/c/list.csv") == "a.mp4"
    assert path_below("/cc/a.mp4", "/c/x") == "/cc/a.mp4"
    assert path_below("s3://other/a.mp4", "s3://b/list.parquet") == "s3://other/a.mp4"
