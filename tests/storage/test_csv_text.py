"""CSV as people and spreadsheets write it."""

import csv
import io
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifactscan.storage.csv_text import CsvTextError, other_separator, read_text_cells, write_text_cells

CELLS = st.none() | st.text(" \t\n\r\"',;=+-@\\\u00a0aß0.", max_size=6)


def read(text: str | bytes) -> list[dict[str, str]]:
    data = text if isinstance(text, bytes) else text.encode()
    return read_text_cells(data, needed=["file", "n"]).to_pylist()


ROW = [{"file": "a b.mp4", "n": "1"}]


@pytest.mark.parametrize(
    "text",
    [
        "file,n\na b.mp4,1\n",
        "file,n\r\na b.mp4,1\r\n",
        "file,n\ra b.mp4,1",
        "\ufefffile,n\na b.mp4,1\n",
        " file , n\n a b.mp4\t,\u00a01 \n",
        '"file","n"\n"a b.mp4","1"\n',
        'file, "n"\n "a b.mp4" , "1"\n',
        "sep=,\nfile,n\na b.mp4,1\n",
        "\n\nfile,n\n\na b.mp4,1\n ,\n,\n",
    ],
)
def test_one_table_however_it_is_written(text: str) -> None:
    assert read(text) == ROW


def test_spaces_in_quotes_belong_to_the_cell() -> None:
    assert read('file,n\n" a b.mp4 ",1\n') == [{"file": " a b.mp4 ", "n": "1"}]
    assert read('file,n\n"a , b\n ; ""c""",1\n') == [{"file": 'a , b\n ; "c"', "n": "1"}]
    assert read('file,n\n6" tall, 1\n') == [{"file": '6" tall', "n": "1"}]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file;n\na.mp4;1\n", "its columns are separated by semicolons; save it as CSV with commas"),
        ("file\tn\na.mp4\t1\n", "its columns are separated by tabs; save it as CSV with commas"),
        ("file | n\na.mp4 | 1\n", "its columns are separated by vertical bars; save it as CSV with commas"),
        ('"file";"n";"grade"\na.mp4;1;1,5\n', "its columns are separated by semicolons; save it as CSV with commas"),
        ("\ufeffsep=;\r\nfile;n\r\na.mp4;1\r\n", "its columns are separated by semicolons; save it as CSV with commas"),
        ("file;n;note, or none\na.mp4;1;\n", "its columns are separated by semicolons; save it as CSV with commas"),
        (
            "file,n\na.mp4,1,5\n",
            "the row 'a.mp4,1,5' has 3 cells where the heading has 2; put a cell with a comma in quotes, and write "
            "decimals with a point",
        ),
        ("file,n\na.mp4,1\n".encode("utf-16"), "it is UTF-16 text; save it as CSV in UTF-8, with commas"),
        ("file,n\nä.mp4,1\n".encode("latin-1"), "line 2 is not UTF-8 text; save it as CSV in UTF-8"),
    ],
)
def test_what_is_no_csv_with_commas_is_named(text: str | bytes, said: str) -> None:
    with pytest.raises(CsvTextError) as raised:
        read(text)
    assert str(raised.value) == said


def test_a_table_with_other_columns_is_not_taken_for_another_separator() -> None:
    assert other_separator(["file;x", "n"], ["file", "n"]) is None
    assert other_separator(["file", "n"], ["file", "n"]) is None
    assert other_separator(["uri"], ["uri"]) is None
    assert other_separator(["uri;size_bytes"], ["uri"]) is not None


@given(st.lists(st.tuples(st.text("aß ,\"'=-", min_size=1, max_size=5), CELLS, CELLS), max_size=4))
def test_what_is_written_is_read(rows: list[tuple]) -> None:
    names = ["file", "n", "note"]
    found = read_text_cells(write_text_cells([names, *rows]), needed=["file", "n"])
    assert found.to_pylist() == [dict(zip(names, (cell or "" for cell in row), strict=True)) for row in rows]


@given(st.text(" \t\r\n'=+-@\uff1da", min_size=1, max_size=8))
def test_no_text_that_is_written_is_a_formula(text: str) -> None:
    [_, [cell]] = csv.reader(io.StringIO(write_text_cells([["note"], [text]]).decode(), newline=""))
    assert not cell.strip().startswith(tuple("=+-@\uff1d"))


def test_texts_of_a_spreadsheet_that_are_no_formulas_are_read_as_they_were_meant() -> None:
    assert read("file,n\n'=a.mp4,'-1\n") == [{"file": "=a.mp4", "n": "-1"}]
    assert read("file,n\n'a'.mp4,'\n") == [{"file": "'a'.mp4", "n": "'"}]
    assert write_text_cells([["file", "n"], ["-a.mp4", -1.5]]) == b"file,n\n'-a.mp4,-1.5\n"


@given(st.text(" \t\n'=-a,\"\uff1d", max_size=8) | st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_comes_back(text: str) -> None:
    [row] = read_text_cells(write_text_cells([["file", "n"], [text, "1"]]), needed=["file", "n"]).to_pylist()
    assert row == {"file": text, "n": "1"}


@pytest.mark.parametrize("own", ["'-ish' edges", "'=' is missing", "' +1' it says", "it's -1", "''", "'a' = 'b'"])
def test_apostrophes_of_a_quotation_are_the_own_ones_of_the_text(own: str) -> None:
    assert read(f"file,n\n{own},1\n") == [{"file": own, "n": "1"}]
    assert write_text_cells([["file"], [own]]) == f"file\n{own}\n".encode()


@pytest.mark.parametrize(
    ("text", "cell"),
    [("-ish' edges", "''-ish' edges"), ("=it's", "'=it's"), ("'=1", "''=1"), ("=x|' y'!A0", "'=x|' y'!A0")],
)
def test_what_an_apostrophe_would_make_a_quotation_gets_two(text: str, cell: str) -> None:
    assert write_text_cells([["file", "n"], [text, "1"]]) == f"file,n\n{cell},1\n".encode()
    assert read(f"file,n\n{cell},1\n") == [{"file": text, "n": "1"}]


@pytest.mark.parametrize("cell", [" " * 300_000 + "x", '"' * 300_001, 'a"' * 150_000, '"a" x' * 60_000])
def test_cells_that_a_careless_pattern_takes_quadratic_time_for(cell: str) -> None:
    begun = time.process_time()
    with suppress(ValueError):
        read(f"file,n\n{cell},1\n")
    assert time.process_time() - begun < 5
