"""Other people's text, safe to print."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifactscan.text import human_bytes, printable


def test_control_characters_are_escaped() -> None:
    assert printable("a\nb\x1b[31m\u202ec") == "a\\nb\\x1b[31m\\u202ec"
    assert printable("\udcff") == "\\udcff"
    assert printable("видео 視頻") == "видео 視頻"


@given(st.text(), st.integers(3, 40))
def test_any_text_becomes_printable_and_fits(text: str, width: int) -> None:
    shown = printable(text, width)
    assert shown.isprintable()
    assert len(shown) <= width


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (2_600_000, "2.6 MB"), (10**15, "1.0 PB"), (10**18, "1000.0 PB")],
)
def test_bytes(count: int, text: str) -> None:
    assert human_bytes(count) == text
