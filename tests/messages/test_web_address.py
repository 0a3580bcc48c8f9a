"""Which addresses of web servers can be used, and how they are shown."""

import pytest

from artifactscan.messages.web_address import is_visible_ascii, is_web_address, origin, refused_address


@pytest.mark.parametrize("url", ["https://h/a?b#c", "http://127.0.0.1:80", "http://[::1]:5000/x", "HTTP://user:x@host"])
def test_web_addresses(url: str) -> None:
    assert is_web_address(url)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://h",
        "javascript:alert(1)",
        "https://",
        "https://:80",
        "https://[h",
        "http://[::1",
        "http://h:99999",
        "http://h:0",
        "http://h:port",
        f"http://{64 * 'h'}",
        "h/a",
        "http://ho st",
        "http://h/a b",
        "http://h\n",
        "\nhttp://h",
        " http://h",
        "http://h/\x1b",
        "http://h/\x00",
        "http://m\N{LATIN SMALL LETTER U WITH DIAERESIS}nchen.example",
        "http://\N{FULLWIDTH DIGIT ONE}.0.0.1",
        "",
    ],
)
def test_what_is_no_web_address(url: str) -> None:
    assert not is_web_address(url)


@pytest.mark.parametrize(("url", "visible"), [("https://h/a", True), ("https://h/a b", False), ("https://h/\n", False)])
def test_what_can_stand_in_a_link_as_it_is(url: str, visible: bool) -> None:
    assert is_visible_ascii(url) is visible


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:secret@h:80/path?token=x", "https://h:80"),
        ("mlruns", ""),
        ("http://[::1", ""),
        ("http://h\x1b/x", "http://h\\x1b"),
    ],
)
def test_an_address_is_shown_without_secrets(url: str, shown: str) -> None:
    assert origin(url) == shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("ftp://h/\x1b[31m", "ftp://h/\\x1b[31m"),
        ("http://me:sec ret@h", "http://…@h"),
        ("http://me:'secret'@h\n", "http://…@h\\n"),
        ("me:se cret@h", "…@h"),
        ("me:sec://ret@h", "…@h"),
        ("http://h:0/?token=secret", "http://h:0/?token=…"),
        ("http://" + 200 * "h", "http://" + 42 * "h" + "…" + 50 * "h"),
    ],
)
def test_what_is_no_address_is_shown_without_secrets(url: str, shown: str) -> None:
    assert refused_address(url) == shown
