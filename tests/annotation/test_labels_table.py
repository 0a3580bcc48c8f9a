"""The labels table: read, merged, and refused in one sentence."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from labelled import ODD_FILES, graded_row, label_row, labels_table
from paths import SHARED
from s3_server import S3Server

from artifactscan.annotation.labels_table import (
    LABELLED,
    check_against_clips,
    merge_labels,
    read_filled_labels,
    read_labels,
    write_labels,
)
from artifactscan.annotation.merge_rows import Rule
from artifactscan.errors import UsageError
from artifactscan.labels import LABELS, SEVERITY_COLUMNS

HEADER = "file,frame_index,boundary,texture,motion,object"
GRADES = "severity_boundary,severity_texture,severity_motion,severity_object"
DATA = SHARED / "data"


def csv_file(folder: Path, *lines: str, header: str = HEADER) -> str:
    path = folder / "labels.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return str(path)


def refusal(action, *arguments, **keywords) -> str:
    with pytest.raises(UsageError) as raised:
        action(*arguments, **keywords)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_other_columns_are_ignored(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "b.mp4,12,0,1,0,1,1,melts", "a.mp4,3,1,0,0,0,0,", header=f"{HEADER},agreed,note")
    table = read_labels(path)
    assert table.schema.equals(LABELLED)
    assert table.to_pylist() == [label_row("a.mp4", 3, "1000"), label_row("b.mp4", 12, "0101", note="melts")]


def test_parquet_of_other_types(tmp_path: Path) -> None:
    columns = {"file": ["a.mp4"], "frame_index": pa.array([7.0]), "boundary": [True], "texture": [False]}
    columns |= {"motion": pa.array([1], pa.int64()), "object": pa.array([0.0]), "annotator": ["Änne"]}
    pq.write_table(pa.table(columns), tmp_path / "labels.parquet")
    table = read_labels(str(tmp_path / "labels.parquet"))
    assert table.to_pylist() == [label_row("a.mp4", 7, "1010", annotator="Änne")]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("a.mp4,1,0,0,2,0", "row 2 has motion '2', which is neither 0 nor 1; correct it or remove the row"),
        ("a.mp4,1,yes,0,0,0", "row 2 has boundary 'yes', which is neither 0 nor 1; correct it or remove the row"),
        ("a.mp4,1,0,,0,0", "row 2 has no texture; fill it in or remove the row"),
        ("a.mp4,,0,0,0,0", "row 2 has no frame_index; fill it in or remove the row"),
        ("a.mp4,-1,0,0,0,0", "row 2 has frame_index '-1', which is not a whole number from 0; correct it or"),
        ("a.mp4,1.5,0,0,0,0", "row 2 has frame_index '1.5', which is not a whole number from 0; correct it or"),
        ("a.mp4,9999999999,0,0,0,0", "row 2 has frame_index '9999999999', which is not a whole number from 0"),
        (",1,0,0,0,0", "row 2 has no file; fill it in or remove the row"),
    ],
)
def test_an_invalid_cell_is_named(tmp_path: Path, line: str, said: str) -> None:
    path = csv_file(tmp_path, "a.mp4,0,0,0,0,0", line)
    assert refusal(read_labels, path).startswith(f"labels {path}: {said}")


def test_spaces_around_cells_are_no_part_of_them(tmp_path: Path) -> None:
    rows = [" a.mp4 , 3, 1,0 ,0,0, anna", "a.mp4,3,1,0,0,0,anna ", '"b .mp4",0,0,1,0,0,', " , , , , , , "]
    path = csv_file(tmp_path, *rows, header=f" {HEADER.replace(',', ' , ')},annotator ")
    found = [label_row("a.mp4", 3, "1000", "anna"), label_row("b .mp4", 0, "0100")]
    assert read_labels(path).to_pylist() == found
    assert read_filled_labels(path)[0].to_pylist() == found
    assert read_filled_labels(path)[1] == 0


@pytest.mark.parametrize(("separator", "word"), [(";", "semicolons"), ("\t", "tabs")])
def test_another_separator_is_named(tmp_path: Path, separator: str, word: str) -> None:
    path = csv_file(
        tmp_path, separator.join(["a.mp4", "0", "0", "0", "0", "1,5"]), header=HEADER.replace(",", separator)
    )
    said = f"labels {path} cannot be read: its columns are separated by {word}; save it as CSV with commas"
    assert refusal(read_labels, path) == said
    assert refusal(read_filled_labels, path) == said


def test_a_decimal_comma_is_named(tmp_path: Path) -> None:
    path = csv_file(tmp_path, 'a.mp4,0,"1,5",0,0,0', header=f"file,frame_index,{GRADES}")
    assert refusal(read_labels, path) == (
        f"labels {path}: row 1 has severity_boundary '1,5', which has a comma before its decimals where a point is "
        "needed; correct it or remove the row"
    )


def test_grades_give_the_labels_that_a_row_does_not_have(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "a.mp4,3,0,1,2,3", "a.mp4,4,1.5,1.25,0,0.0", header=f"file,frame_index,{GRADES}")
    assert read_labels(path).to_pylist() == [
        graded_row("a.mp4", 3, "0123"),
        graded_row("a.mp4", 4, [1.5, 1.25, 0, 0]),
    ]
    rows = ["a.mp4,3,,,,,0,1,2,3", "a.mp4,4,1,0,0,0,2,0,0,0", "a.mp4,5,1,0,0,0,,,,"]
    path = csv_file(tmp_path, *rows, header=f"{HEADER},{GRADES}")
    assert read_labels(path).to_pylist() == [
        graded_row("a.mp4", 3, "0123"),
        graded_row("a.mp4", 4, "2000"),
        label_row("a.mp4", 5, "1000"),
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("4,0,0,0", "row 2 has severity_boundary '4', which is not a grade from 0 to 3; correct it or remove the row"),
        ("0,-0.5,0,0", "row 2 has severity_texture '-0.5', which is not a grade from 0 to 3; correct it or remove"),
        ("0,0,clear,0", "row 2 has severity_motion 'clear', which is not a grade from 0 to 3; correct it or remove"),
        ("0,0,0,nan", "row 2 has severity_object 'nan', which is not a grade from 0 to 3; correct it or remove"),
        ("2,,0,1", "row 2 has severity_boundary and no severity_texture; grade all four labels or none"),
        (",,,", "row 2 has no severity_boundary; fill it in or remove the row"),
    ],
)
def test_an_invalid_grade_is_named(tmp_path: Path, line: str, said: str) -> None:
    path = csv_file(tmp_path, "a.mp4,0,0,0,0,0", f"a.mp4,1,{line}", header=f"file,frame_index,{GRADES}")
    assert refusal(read_labels, path).startswith(f"labels {path}: {said}")


@pytest.mark.parametrize("label", [0, 1])
def test_a_label_that_its_severity_contradicts_is_named(tmp_path: Path, label: int) -> None:
    severity = 1 if label else 2
    path = csv_file(tmp_path, f"a.mp4,0,0,{label},0,0,0,{severity},0,0", header=f"{HEADER},{GRADES}")
    said = (
        f"labels {path}: row 1 has texture {label} and severity_texture {severity}, which is a label of {1 - label}; "
        "correct one of the two"
    )
    assert refusal(read_labels, path) == said
    assert refusal(read_filled_labels, path) == said


@pytest.mark.parametrize("rule", ["any", "all", "majority"])
@pytest.mark.parametrize("names", [("anna", "ben", "cleo"), ("anna", None, None), (None, None, None)])
def test_rows_merged_by_a_rule_are_read_again(tmp_path: Path, rule: Rule, names: tuple[str | None, ...]) -> None:
    for grades in (("0002", "2222", "1222"), ("0001", "3303", "3032"), ("0000", "0033", "0333")):
        rows = [graded_row("a.mp4", 0, given, name) for given, name in zip(grades, names, strict=True)]
        for more in ([], [label_row("a.mp4", 0, "1111", "dora")], [label_row("a.mp4", 0, "0000")]):
            table = merge_labels([labels_table(*rows, *more)], rule=rule) if rule != "majority" or not more else None
            if table is not None:
                write_labels(table, str(tmp_path / "labels.csv"))
                assert read_labels(str(tmp_path / "labels.csv")).to_pylist() == table.to_pylist()


def test_a_table_with_grades_for_some_labels_only(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "a.mp4,0,0,0,0,0,1,1", header=f"{HEADER},severity_texture,severity_motion")
    assert refusal(read_labels, path) == (
        f"labels {path} have a column severity_texture and no column severity_boundary and no column severity_object; "
        "grade all four labels or none"
    )


def test_a_table_without_grades_is_written_without_their_columns(tmp_path: Path) -> None:
    for row, header in (
        (label_row("a.mp4", 0, "0100"), HEADER),
        (graded_row("a.mp4", 0, "0210"), f"{HEADER},{GRADES}"),
    ):
        write_labels(labels_table(row), str(tmp_path / "labels.csv"))
        assert (tmp_path / "labels.csv").read_text().splitlines()[0] == f"{header},annotator,note"
        write_labels(labels_table(row), str(tmp_path / "labels.parquet"))
        assert pq.read_schema(tmp_path / "labels.parquet").names == [*header.split(","), "annotator", "note"]


def test_a_file_that_is_not_a_labels_table(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "a.mp4,0,1", header="file,frame_index,boundary")
    assert refusal(read_labels, path) == (
        f"labels {path} have no column texture and no column motion and no column object; "
        "the columns are file, frame_index, boundary"
    )
    path = csv_file(tmp_path, "a.mp4,0,1,0,0,0,1", header=f"{HEADER},object")
    assert refusal(read_labels, path) == f"labels {path} have more than one column object; remove all but one"
    missing = str(tmp_path / "none.csv")
    assert refusal(read_labels, missing) == f"labels {missing} cannot be read: there is no such file"
    assert "end it in .csv or .parquet" in refusal(read_labels, str(tmp_path / "labels.xlsx"))
    (tmp_path / "labels.parquet").write_bytes(b"PAR1 and nothing more")
    assert "cannot be read: " in refusal(read_labels, str(tmp_path / "labels.parquet"))
    (tmp_path / "empty.csv").write_bytes(b"")
    assert "cannot be read: " in refusal(read_labels, str(tmp_path / "empty.csv"))


def test_equal_rows_are_merged(tmp_path: Path) -> None:
    rows = ["a.mp4,0,1,0,0,0,anna,jagged", "a.mp4,0,1,0,0,0,ben,", "a.mp4,0,1,0,0,0,anna,jagged"]
    path = csv_file(tmp_path, *rows, header=f"{HEADER},annotator,note")
    assert read_labels(path).to_pylist() == [label_row("a.mp4", 0, "1000", annotator="anna; ben", note="jagged")]
    assert read_labels(path, rule="keep")["annotator"].to_pylist() == ["anna", "ben"]


def test_rows_that_differ_need_a_rule(tmp_path: Path) -> None:
    votes = ["1100", "1010", "0010"]
    path = csv_file(tmp_path, "a.mp4,9,0,0,0,0", *(f"a.mp4,12,{','.join(vote)}" for vote in votes))
    assert refusal(read_labels, path) == (
        f"labels {path}: rows 2 and 3 label frame 12 of 'a.mp4' differently (texture 1 and 0); "
        "give a rule to merge them: --label-rule any, all or majority"
    )
    merged = {rule: read_labels(path, rule=rule).to_pylist()[1] for rule in ("any", "all", "majority")}
    assert merged == {
        "any": label_row("a.mp4", 12, "1110"),
        "all": label_row("a.mp4", 12, "0000"),
        "majority": label_row("a.mp4", 12, "1010"),
    }


def test_a_tie_is_no_majority_and_equal_rows_are_one_vote() -> None:
    anna, ben = label_row("a.mp4", 0, "1000", "anna"), label_row("a.mp4", 0, "0000", "ben")
    tables = [labels_table(anna, anna), labels_table(ben)]
    assert refusal(merge_labels, tables, rule="majority") == (
        "labels given: boundary of frame 0 of 'a.mp4' has as many votes for 0 as for 1, so there is no majority; "
        "add a vote, or use the rule any or all"
    )
    third = labels_table(label_row("a.mp4", 0, "0001", "cleo"))
    assert merge_labels([*tables, third], rule="majority").to_pylist() == [
        label_row("a.mp4", 0, "0000", annotator="anna; ben; cleo")
    ]
    again = labels_table(label_row("a.mp4", 0, "0001", "anna"))
    assert "keep the one that holds" in refusal(merge_labels, [*tables, again], rule="keep")


def test_rows_not_filled_in_are_counted(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "a.mp4,0,,,,", "a.mp4,12,0,1,0,0", "a.mp4,24,,,,")
    table, unlabelled = read_filled_labels(path)
    assert (table.to_pylist(), unlabelled) == ([label_row("a.mp4", 12, "0100")], 2)
    grades = ["a.mp4,0,,,,,0,0,0,0", "a.mp4,12,,,,,,,,", "a.mp4,24,0,1,0,0,,,,"]
    table, unlabelled = read_filled_labels(csv_file(tmp_path, *grades, header=f"{HEADER},{GRADES}"))
    assert table.to_pylist() == [graded_row("a.mp4", 0, "0000"), label_row("a.mp4", 24, "0100")]
    assert unlabelled == 1
    path = csv_file(tmp_path, "a.mp4,0,,,,", "a.mp4,12,0,1,0,")
    assert refusal(read_filled_labels, path) == f"labels {path}: row 2 has no object; fill it in or remove the row"


@settings(max_examples=40)
@given(
    rows=st.dictionaries(
        st.tuples(ODD_FILES, st.integers(0, 2**31 - 1)),
        st.tuples(
            st.from_regex("[01]{4}", fullmatch=True),
            st.none() | st.tuples(*[st.floats(0, 3)] * 4),
            ODD_FILES | st.none(),
            ODD_FILES | st.none(),
        ),
        max_size=6,
    ),
    ending=st.sampled_from(["csv", "parquet"]),
)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, rows: dict, ending: str) -> None:
    uri = str(tmp_path_factory.mktemp("labels") / f"labels.{ending}")
    table = labels_table(
        *(
            graded_row(file, frame, grades, *rest) if grades else label_row(file, frame, shown, *rest)
            for (file, frame), (shown, grades, *rest) in sorted(rows.items())
        )
    )
    write_labels(table, uri)
    assert read_labels(uri).to_pylist() == table.to_pylist()


def test_labels_on_s3(s3: S3Server) -> None:
    table = labels_table(label_row("a b#.mp4", 3, "0110", note="two\nlines, a comma"))
    for ending in ("csv", "parquet"):
        write_labels(table, s3.uri(f"labels/l.{ending}"))
        assert read_labels(s3.uri(f"labels/l.{ending}")).to_pylist() == table.to_pylist()
    s3.put("clips/a b#.mp4", b"x")
    assert check_against_clips(table, s3.uri("clips")) == {"a b#.mp4": s3.uri("clips/a b#.mp4")}


def test_files_are_found_below_the_clips(tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    (clips / "day 1").mkdir(parents=True)
    (clips / "day 1" / "a.mp4").touch()
    (clips / "b.mp4").touch()
    table = labels_table(label_row("day 1/a.mp4", 0, "0000"), label_row("clips/b.mp4", 0, "0000"))
    assert check_against_clips(table, str(clips)) == {
        "clips/b.mp4": f"{clips}/b.mp4",
        "day 1/a.mp4": f"{clips}/day 1/a.mp4",
    }
    gone = labels_table(label_row("c.mp4", 0, "0000"), label_row("b.mp4", 0, "0000"), label_row("d.mp4", 0, "0000"))
    assert refusal(check_against_clips, gone, str(clips)) == (
        f"labels name 'c.mp4' and 1 more, which --clips {clips} does not have; "
        "give the folder that the paths in column `file` start from"
    )
    twice = labels_table(label_row("b.mp4", 0, "0000"), label_row("clips/b.mp4", 0, "0000"))
    assert f"labels name the clip {clips}/b.mp4 twice" in refusal(check_against_clips, twice, str(clips))


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "file", "rows", "clips"),
    [
        ("sora15", "labels.csv", 300, 15),
        ("sora35", "labels.csv", 543, 35),
        ("sora15", "severity.csv", 90, 15),
        ("sora35", "severity.csv", 210, 35),
        ("gen85", "labels.csv", 516, 86),
    ],
)
def test_the_real_labels(name: str, file: str, rows: int, clips: int) -> None:
    folder = DATA / name
    if not folder.is_dir():
        pytest.skip("the real clips are not beside the project")
    table = read_labels(str(folder / file))
    assert table.num_rows == rows
    assert len(check_against_clips(table, str(folder / "clips"))) == clips
    assert len(check_against_clips(table, str(folder))) == clips


@pytest.mark.realdata
@pytest.mark.parametrize(("name", "merged"), [("gen85", "labels"), ("sora15", "severity"), ("sora35", "severity")])
def test_two_real_annotators_are_averaged_as_their_merged_table_says(name: str, merged: str) -> None:
    folder = DATA / name
    if not folder.is_dir():
        pytest.skip("the real clips are not beside the project")
    tables = [read_labels(str(folder / f"{merged}_{one}.csv"), rule="keep") for one in ("first", "second")]
    expected = read_labels(str(folder / f"{merged}.csv"))
    columns = ["file", "frame_index", *LABELS, *SEVERITY_COLUMNS]
    assert merge_labels(tables, rule="error").select(columns) == expected.select(columns)


def test_the_maker_of_a_clip_is_kept_where_it_is_told(tmp_path: Path) -> None:
    table = labels_table(
        label_row("a.mp4", 0, "0000", "one") | {"generator": "sora"}, label_row("a.mp4", 0, "0000", "two")
    )
    merged = merge_labels([table], rule="error")
    assert merged["generator"].to_pylist() == ["sora"]
    write_labels(merged, str(tmp_path / "labels.csv"))
    assert read_labels(str(tmp_path / "labels.csv"))["generator"].to_pylist() == ["sora"]
    write_labels(labels_table(label_row("a.mp4", 0, "0000")), str(tmp_path / "none.csv"))
    assert "generator" not in (tmp_path / "none.csv").read_text()
    other = labels_table(label_row("a.mp4", 0, "0000", "three") | {"generator": "veo"})
    with pytest.raises(UsageError, match=r"name two generators of 'a.mp4', 'sora' and 'veo'; keep the one that holds"):
        merge_labels([table, other], rule="error")
