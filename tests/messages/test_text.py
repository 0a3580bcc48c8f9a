"""Untrusted text made safe to print."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifactscan.messages.text import first_few, human_bytes, listed, printable, without_credentials


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
    ("text", "shown"),
    [
        ("no answer from http://me:secret@host:9000/b", "no answer from http://…@host:9000/b"),
        ("no answer from https://AK:a/b@c+d@127.0.0.1:9/ here", "no answer from https://…@127.0.0.1:9/ here"),
        ("Custom endpoint `https://AKIA:wJalr/XUtn@h:9/`", "Custom endpoint `https://…@h:9/`"),
        ('input s3://me:secret@bucket/videos: "s3://me:secret@b"', 'input s3://…@bucket/videos: "s3://…@b"'),
        ("catalogue postgresql+psycopg2://u5er:p4/s@s@h:5432/db is", "catalogue postgresql+psycopg2://…@h:5432/db is"),
        ("https://h/x?X-Amz-Signature=abc&t=1", "https://h/x?X-Amz-Signature=…&t=1"),
        ("endpoint: u5er:p4ssw0rd@127.0.0.1:15180)", "endpoint: …@127.0.0.1:15180)"),
        ("(u5er:p4ss/w@rd@h:9)", "(…@h:9)"),
        ("`//u5er:p4ssw0rd@127.0.0.1:9`", "`//…@127.0.0.1:9`"),
        ("//t0ken@127.0.0.1:9", "//…@127.0.0.1:9"),
        ("'http:/u5er:p4ss/w0rd@h'", "'http:/…@h'"),
        ("http:u5er:p4ssw0rd@h", "http:…@h"),
        ("gs:/u5er:p4ssw0rd@h", "…@h"),
        ("HTTP://u5er:p4ss/w0rd@h", "HTTP://…@h"),
        ("RAY_ADDRESS t0ken@head:6379: no", "RAY_ADDRESS …@head:6379: no"),
        ("file /a/b:c@d.mp4, s3://bucket/b:c@d.mp4 are whole", "file /a/b:c@d.mp4, s3://bucket/b:c@d.mp4 are whole"),
        ("s3://bucket/a@b.mp4 of me@host is whole?token", "s3://bucket/a@b.mp4 of me@host is whole?token"),
    ],
)
def test_credentials_in_urls_are_not_shown(text: str, shown: str) -> None:
    assert without_credentials(text) == shown


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (2_600_000, "2.6 MB"), (10**15, "1.0 PB"), (10**18, "1000.0 PB")],
)
def test_bytes_have_a_unit(count: int, text: str) -> None:
    assert human_bytes(count) == text


def test_names_are_listed_as_in_prose() -> None:
    assert [listed(["a", "b", "c"][:count]) for count in (1, 2, 3)] == ["a", "a and b", "a, b and c"]


def test_the_first_few_names_are_safe_to_print() -> None:
    assert first_few(["a", "b\x1b", "c"]) == "a, b\\x1b, c"
    assert first_few(["a", "b", "c", "d"]) == "a, b, c, …"
