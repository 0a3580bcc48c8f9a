"""Groups from paths and from tables."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from artifactscan.audit.video_groups import (
    MAX_VALUES,
    Grouping,
    check_matches,
    drop_high_cardinality,
    load_grouping,
    paths_below,
    ungrouped_note,
)
from artifactscan.errors import UsageError


def assigned(grouping: Grouping, *paths: str) -> list[list[str]]:
    uris = pa.array([f"s3://bucket/videos/{path}" for path in paths])
    groups = grouping.assign(uris, pa.array(paths, pa.string()))
    assert groups.type == pa.list_(pa.string())
    return groups.to_pylist()


@pytest.mark.parametrize(
    ("pattern", "path", "groups"),
    [
        ("{generator}", "sora/a.mp4", ["generator=sora"]),
        ("{generator}", "a.mp4", ["generator=none"]),
        ("{generator}/{version}", "sora/v2/x/a.mp4", ["generator=sora", "version=v2"]),
        ("{generator}/{version}/…", "sora/v2/x/a.mp4", ["generator=sora", "version=v2"]),
        ("/{generator}/{version}/", "sora/v2/a.mp4", ["generator=sora", "version=v2"]),
        ("{generator}-{version}/{prompt}", "sora-2/cats/a.mp4", ["generator=sora", "version=2", "prompt=cats"]),
        ("nightly/{generator}", "nightly/sora/a.mp4", ["generator=sora"]),
        ("nightly/{generator}", "weekly/sora/a.mp4", ["generator=none"]),
        ("{generator}/{version}/{prompt}", "sora/a.mp4", ["generator=none", "version=none", "prompt=none"]),
        ("{set}/{clip}.mp4", "b/käse 1.mp4", ["set=b", "clip=käse 1"]),
        ("(x)+{a}", "(x)+7/clip", ["a=7"]),
    ],
)
def test_a_pattern_stands_for_folders_below_the_corpus(pattern: str, path: str, groups: list[str]) -> None:
    assert assigned(load_grouping(pattern, None), path) == [groups]


def test_without_groups_a_video_is_in_none() -> None:
    assert assigned(Grouping(), "a.mp4", "b.mp4") == [[], []]
    assert assigned(load_grouping("{g}", None)) == []


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("sora/v2", "names no group"),
        ("{generator", "names no group"),
        ("{generator}/{}", "brace without a name"),
        ("{a}/{a}", "names a group twice"),
        ("{a}{b}", "nothing between"),
        ("{all}", "cannot be called all"),
    ],
)
def test_a_pattern_that_cannot_be_used(pattern: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        load_grouping(pattern, None)


def write_csv(tmp_path: Path, text: str) -> str:
    path = tmp_path / "meta.csv"
    path.write_text(text)
    return str(path)


def test_a_table_is_joined_on_uri_or_path(tmp_path: Path) -> None:
    table = write_csv(
        tmp_path, "uri, model,version\ns3://bucket/videos/a.mp4,sora ,1.10\n x/b.mp4,veo, \n7.mp4,1,007\n"
    )
    assert assigned(load_grouping(None, table), "a.mp4", "x/b.mp4", "7.mp4", "c.mp4") == [
        ["model=sora", "version=1.10"],
        ["model=veo", "version=none"],
        ["model=1", "version=007"],
        ["model=none", "version=none"],
    ]
    parquet = tmp_path / "meta.parquet"
    pq.write_table(pa.table({"uri": ["a.mp4"], "model": ["sora"]}), parquet)
    assert assigned(load_grouping("{clip}.mp4", str(parquet)), "a.mp4") == [["clip=a", "model=sora"]]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("name,model\na,b\n", "has the columns name, model; it needs `uri`"),
        ("uri\na\n", "has the columns uri; it needs `uri` and at least one more"),
        ("uri,model\na,b\na,c\n", "names a twice"),
        ("", "cannot be read"),
        (
            "uri;model\na;b\n",
            "cannot be read: its columns are separated by semicolons; save it as CSV with commas; give",
        ),
    ],
)
def test_a_table_that_cannot_be_used(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        load_grouping(None, write_csv(tmp_path, text))


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--metadata .*gone\.csv cannot be read"):
        load_grouping(None, str(tmp_path / "gone.csv"))


def test_pattern_and_table_may_not_name_the_same_group(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="both name model"):
        load_grouping("{model}", write_csv(tmp_path, "uri,model\na,b\n"))


def listing(*paths: str) -> pa.RecordBatch:
    return pa.record_batch({"uri": pa.array([f"/c/{path}" for path in paths], pa.string())})


def test_what_matches_nothing_is_refused() -> None:
    grouping = load_grouping("nightly/{generator}", None)
    check_matches(grouping, "/c", [listing("a.mp4"), listing("nightly/sora/b.mp4")])
    check_matches(Grouping(), "/c", [listing("a.mp4")])
    why = r"--groups nightly/\{generator\} matches none of the 2 videos, such as a\.mp4"
    with pytest.raises(UsageError, match=why):
        check_matches(grouping, "/c", [listing("a.mp4"), listing("b.mp4")])


def test_the_listing_is_read_no_further_than_to_the_first_match() -> None:
    def batches():
        yield listing("nightly/sora/b.mp4")
        raise AssertionError("read on")

    check_matches(load_grouping("nightly/{generator}", None), "/c", batches())


def test_what_is_in_no_group_is_noted() -> None:
    grouping = load_grouping("nightly/{generator}", None)
    arrivals = pa.table({"uri": ["a.mp4", "nightly/s/b.mp4"], "path": ["a.mp4", "nightly/s/b.mp4"]})
    assert ungrouped_note(grouping, arrivals) == "1 of 2 videos are in no group"
    assert ungrouped_note(grouping, arrivals.slice(1)) is None
    assert ungrouped_note(Grouping(), arrivals) is None


def test_a_kind_with_too_many_values_is_left_out() -> None:
    paths = pa.array([f"sora/{number}/a.mp4" for number in range(MAX_VALUES + 1)])
    arrivals = pa.table({"uri": paths, "path": paths})
    grouping = load_grouping("{generator}/{prompt}", None)
    fewer, notes = drop_high_cardinality(grouping, arrivals)
    assert notes == [
        f"prompt has 201 groups tonight, more than {MAX_VALUES}, and is left out: nothing is compared by it"
    ]
    assert fewer.assign(paths, paths).to_pylist() == [["generator=sora"]] * len(paths)
    assert drop_high_cardinality(grouping, arrivals.slice(1)) == (grouping, [])
    assert drop_high_cardinality(Grouping(), arrivals) == (Grouping(), [])


def test_paths_below_a_corpus() -> None:
    assert paths_below("s3://b/videos/", ["s3://b/videos/x/a.mp4", "s3://other/a.mp4"]) == [
        "x/a.mp4",
        "s3://other/a.mp4",
    ]
    assert paths_below("/c", ["/c/a.mp4", "/cc/a.mp4"]) == ["a.mp4", "/cc/a.mp4"]
