"""CSV as people and spreadsheets write and read it: text cells without the spaces around them, which are no formulas.

Other formats are named.
"""

import re
from collections.abc import Collection, Iterable, Sequence

import pyarrow as pa
import pyarrow.csv as pa_csv

_OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_SPACES = r"[^\S\r\n]*"
_CELL = re.compile(
    rf'(^|[,\r\n]){_SPACES}(?:("(?:[^"]|"")*"){_SPACES}(?=[,\r\n]|\Z)|([^,\r\n]*))'  # a quoted one, or any other
)
_SEPARATOR_LINE = re.compile(r"\A\s*sep=.\r?\n")
"""Tells Excel the separator; no part of the table."""
_SHOWN_CHARS = 80
_BEGINS_FORMULA = "[=+\\-@＝＋－＠]"  # noqa: RUF001 - spreadsheets take the full-width ones, too
_FORMULA = re.compile(rf"[\s']*{_BEGINS_FORMULA}")
"""How a text begins that a spreadsheet may evaluate (OWASP, CSV injection), or that has been kept from it."""
_AS_TEXT = "'"
"""Before such a text; spreadsheets mark a cell as text by it."""
_QUOTATION = re.compile(rf"'\s*{_BEGINS_FORMULA}[\w\s-]*'(?!\w)")
"""Of words, such as '-ish' edges: its apostrophe is the text's own."""


class CsvTextError(ValueError):
    """Text that is no CSV with commas; the message says what it is instead, and the way out."""


def read_text_cells(data: bytes, *, needed: Collection[str]) -> pa.Table:
    """All columns of a CSV as strings, without rows of empty cells only.

    Spaces around a cell or a column's name are no part of it, unless they are in quotes, nor is the apostrophe of
    ``as_text_cell``. ``needed``: columns that the table has, by which another separator is noticed. CsvTextError for
    another separator or encoding, and for a row with another number of cells than there are columns; pa.ArrowException
    for what else is no CSV.
    """
    text = _SEPARATOR_LINE.sub("", _decode(data))
    if not text.strip():
        raise CsvTextError(f"it is empty; write a heading with {', '.join(needed)} and a row for each frame")
    if said := other_separator(text.lstrip().partition("\n")[0].split(","), needed):
        raise CsvTextError(said)
    clean = _CELL.sub(lambda cell: cell[1] + (cell[2] or cell[3].rstrip()), text).encode()
    wrong: list[pa_csv.InvalidRow] = []

    def keep_wrong(row: pa_csv.InvalidRow) -> str:
        wrong.append(row)
        return "skip"

    parse = pa_csv.ParseOptions(newlines_in_values=True, invalid_row_handler=keep_wrong)
    names = pa_csv.open_csv(pa.BufferReader(clean), parse_options=parse).schema.names
    wrong.clear()
    convert = pa_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
    table = pa_csv.read_csv(pa.BufferReader(clean), parse_options=parse, convert_options=convert)
    if wrong:
        row = wrong[0]
        raise CsvTextError(
            f"the row {row.text[:_SHOWN_CHARS]!r} has {row.actual_columns} cells where the heading has "
            f"{row.expected_columns}; put a cell with a comma in quotes, and write decimals with a point"
        )
    columns = [[_from_text_cell(cell) for cell in column.to_pylist()] for column in table.columns]
    filled = [any(row) for row in zip(*columns, strict=True)]
    read = pa.table([pa.array(column, pa.string()) for column in columns], names=table.column_names)
    return read.filter(pa.array(filled, pa.bool_()))


def write_text_cells(rows: Iterable[Sequence[object]]) -> bytes:
    """A CSV that ``read_text_cells`` reads as it was, and whose texts no spreadsheet evaluates.

    Cells with spaces around them are in quotes; None is empty.
    """
    return "".join(f"{','.join(_quoted(cell) for cell in row)}\n" for row in rows).encode()


def as_text_cell(text: str) -> str:
    """``text`` with an apostrophe before it where a spreadsheet would take it for a formula."""
    return _AS_TEXT + text if _FORMULA.match(text) else text


def other_separator(names: Collection[str], needed: Collection[str]) -> str | None:
    """What to say of a CSV whose ``needed`` columns hide, by another separator than commas, in its column ``names``."""
    for separator, word in _OTHER_SEPARATORS.items():
        found = [name.strip().strip('"') for name in ",".join(names).split(separator)]
        if len(found) > 1 and set(needed) <= set(found):
            return f"its columns are separated by {word}; save it as CSV with commas"
    return None


def _quoted(cell: object) -> str:
    text = _to_text_cell(cell) if isinstance(cell, str) else "" if cell is None else str(cell)
    if text == text.strip() and not re.search('[",\r\n]', text):
        return text
    return '"' + text.replace('"', '""') + '"'


def _to_text_cell(text: str) -> str:
    """As ``as_text_cell``, so that ``_from_text_cell`` gives back every text.

    A quotation is a text already. What one apostrophe would make a quotation of gets two.
    """
    if _QUOTATION.match(text):
        return text
    cell = as_text_cell(text)
    return _AS_TEXT + cell if _QUOTATION.match(cell) else cell


def _from_text_cell(cell: str) -> str:
    """The text of which ``_to_text_cell`` makes ``cell``."""
    if not cell.startswith(_AS_TEXT) or not _FORMULA.match(cell) or _QUOTATION.match(cell):
        return cell
    return cell[2:] if _QUOTATION.match(cell[1:]) else cell[1:]


def _decode(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise CsvTextError("it is UTF-16 text; save it as CSV in UTF-8, with commas")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise CsvTextError(f"line {line} is not UTF-8 text; save it as CSV in UTF-8") from None
