"""A night's videos as CSV for spreadsheets; programs read arrivals.parquet."""

import io

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from artifactscan.messages.text import printable
from artifactscan.storage.csv_text import as_text_cell

GROUP_SEPARATOR = "; "

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def videos_csv(arrivals: pa.Table) -> bytes:
    """``arrivals`` (ARRIVALS) as CSV in UTF-8, one line per video, its groups in one cell.

    Control characters are escaped, and a text that spreadsheets would evaluate as a formula gets an apostrophe in front
    (OWASP, CSV injection). The file begins with a byte order mark, which Excel needs to read UTF-8.
    """
    columns = []
    for name in arrivals.column_names:
        column = arrivals[name]
        if pa.types.is_list(column.type):
            column = pc.binary_join(column, GROUP_SEPARATOR)
        if pa.types.is_string(column.type):
            column = pa.array([None if text is None else cell(text) for text in column.to_pylist()], pa.string())
        columns.append(column)
    file = io.BytesIO()
    pa_csv.write_csv(pa.table(columns, names=arrivals.column_names), file)
    return _BYTE_ORDER_MARK + file.getvalue()


def cell(text: str) -> str:
    """``text`` as a cell that no spreadsheet evaluates."""
    return as_text_cell(printable(text))
