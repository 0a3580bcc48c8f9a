"""The night as Markdown."""

import html
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rendered import markdown_of
from reports import make_report, poisoned

from artifactscan.audit.night import EXIT_FAIL, EXIT_PASS, EXIT_SCORER_MOVED
from artifactscan.audit.night_tables import ARRIVALS, CELLS
from artifactscan.audit.page.markdown import code, escaped
from artifactscan.messages.text import printable
from artifactscan.schemas import EVENTS

ZERO_WIDTH_SPACE = "\u200b"
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.text(
    "\\`*_[]()<>#|~!$@&:/.-+=1 \n\twa", max_size=30
)


def rendered(markdown: str) -> str:
    """HTML as GitHub's dialect makes it, tables and strike-through with it."""
    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(markdown)


def test_a_failed_night() -> None:
    text = markdown_of(make_report(code=EXIT_FAIL))
    lines = text.splitlines()
    assert lines[0].startswith("## ❌ Fail: Motion rose from 14.8 % to 23.3 % of all videos")
    assert "60 videos arrived, 6 without a score, 57 new, 3 changed, 2 removed, 11 quarantined, 20,060 listed" in text
    assert "Exit code 1." in text
    assert lines[2] == "- **Since**: Tonight for the first time in 15 nights."
    assert "- Motion rose from 13.8 % to 22.3 % of the videos in generator=sora" in text
    assert text.count("Motion rose from 14.8 %") == 1, "the sentence is not said again"
    assert len(lines) < 60
    [row] = [line for line in lines if line.startswith("| motion | `generator=sora` |")]
    assert "+8.5 (+4.5 to +12.5) | 0.008 |" in row
    assert "- version `torch`: `2.11.0` → `2.12.0`" in lines
    assert "- 2 videos `undecodable`: Invalid data found when processing input, as" in text


@pytest.mark.parametrize(
    ("verdict", "start"),
    [(EXIT_PASS, "## ✅ Pass: No worse"), (EXIT_SCORER_MOVED, "## ⚠️ The scorer moved, so")],
)
def test_other_verdicts(verdict: int, start: str) -> None:
    assert markdown_of(make_report(code=verdict)).startswith(start)


def test_the_first_night_of_nothing() -> None:
    report = replace(
        make_report(nights=0, code=EXIT_PASS, worst=0),
        arrivals=ARRIVALS.empty_table(),
        events=EVENTS.empty_table(),
        cells=CELLS.empty_table(),
    )
    text = markdown_of(report)
    assert "0 videos arrived, 60 new" in text or "0 videos arrived, " in text
    assert "without a score" not in text
    assert "| label |" not in text


def test_it_stays_short() -> None:
    report = make_report(videos=200, groups=[f"generator=g{n}" for n in range(40)], worst=20)
    verdict = replace(report.night.verdict, reasons=tuple(f"reason {n}" for n in range(50)))
    night = replace(report.night, verdict=verdict, notes=("a note",) * 30, versions={f"v{n}": "1" for n in range(40)})
    lines = markdown_of(replace(report, night=night)).splitlines()
    assert len(lines) < 60
    assert "- and 46 more reasons" in lines, "one is the sentence, three are shown"


@given(TEXTS)
def test_no_text_starts_markup_in_a_sentence(text: str) -> None:
    page = rendered(f"- {escaped(text)}\n")
    [inside] = re.fullmatch(r"<ul>\n<li>(.*)</li>\n</ul>\n", page).groups()
    assert "<" not in inside
    assert html.unescape(inside).replace(ZERO_WIDTH_SPACE, "").strip() == printable(text.strip(), 400).strip()


@given(TEXTS)
def test_any_name_is_one_code_span_in_one_cell(text: str) -> None:
    page = rendered(f"| a | b |\n|---|---|\n| {code(text)} | end |\n")
    cells = re.findall(r"<td>(.*?)</td>", page, re.DOTALL)
    assert len(cells) == 2 and cells[1] == "end"
    [inside] = re.fullmatch(r"<code>(.*)</code>", cells[0], re.DOTALL).groups()
    assert "<" not in inside
    shown = html.unescape(inside)
    for sign in "`|<>":
        shown = shown.replace(f"\\x{ord(sign):02x}", sign)
        assert sign not in html.unescape(inside)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("@everyone", f"@{ZERO_WIDTH_SPACE}everyone"),
        ("see https://evil.example/x", "see https:\\//evil.example/x"),
        ("www.evil.example", "www\\.evil.example"),
        ("[x](javascript:a)", "\\[x\\](javascript:a)"),
        ("<!channel> & co", "&lt;!channel&gt; &amp; co"),
        ("# big", "\\# big"),
        ("1. first", "1\\. first"),
        ("- item", "\\- item"),
        ("a\nb", "a\\\\nb"),
        ("\u202egpj", "\\\\u202egpj"),
    ],
)
def test_what_is_escaped_in_a_sentence(text: str, expected: str) -> None:
    assert escaped(text) == expected


@pytest.mark.parametrize(
    "text", ["| a | b |", "`code`", "<script>x</script>", "@everyone", "[a](b)", "![a](b)", "a\nb\n# c", "<!channel>"]
)
def test_hostile_names_in_every_field(text: str) -> None:
    markdown = markdown_of(poisoned(make_report(), text))
    plain = markdown_of(make_report())
    assert len(markdown.splitlines()) == len(markdown_of(poisoned(make_report(), "name")).splitlines())
    assert "<script" not in markdown and "<!channel" not in markdown
    page = rendered(markdown)
    assert "<img" not in page and "<a " not in page and "<h1" not in page
    assert page.count("<tr>") == rendered(plain).count("<tr>")
    outside_code = re.sub(r"`[^`]*`", "", markdown)
    assert "@everyone" not in outside_code
