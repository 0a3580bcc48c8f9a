"""Parquet files with damage that their footers do not show."""

import random
from pathlib import Path

import pyarrow.parquet as pq


def damage_pages(file: str | Path, column: int = 0) -> None:
    """Writes random bytes over the pages of one column; the footer stays."""
    chunk = pq.read_metadata(file).row_group(0).column(column)
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    content = bytearray(Path(file).read_bytes())
    content[start : start + chunk.total_compressed_size] = random.Random(0).randbytes(chunk.total_compressed_size)
    Path(file).write_bytes(content)
