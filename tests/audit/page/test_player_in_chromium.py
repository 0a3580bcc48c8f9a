"""The players of the page in a real browser: seeking, the keyboard, videos that are not there."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from media import write_clip
from opened_page import Open, Opened
from PIL import Image
from reports import make_report


@pytest.fixture
def played(open_page: Open, tmp_path: Path) -> Opened:
    """A page whose first worst video is a clip beside it; none of its events begins in the first second."""
    options = {"cpu-used": "8", "deadline": "realtime"}
    write_clip(tmp_path / "clip.webm", codec="libvpx-vp9", seconds=13.0, options=options)
    report = make_report(videos=120, worst=40)
    early = {row["video_id"] for row in report.events.to_pylist() if row["start_s"] < 1}
    first = next(video for video in report.worst if video.video_id not in early)
    others = [video for video in report.worst if video is not first][:2]
    worst = (replace(first, link="clip.webm"), replace(others[0], link="gone.webm"), others[1])
    return open_page(replace(report, worst=worst))


def current(card: Any) -> float:
    return card.locator("video").evaluate("video => video.currentTime")


def wait_until_at(page: Opened, card: Any, start_s: float) -> None:
    handle = card.locator("video").element_handle()
    page.tab.wait_for_function(
        "([video, start]) => video.readyState >= 2 && !video.seeking && video.currentTime >= start - 0.05",
        arg=[handle, start_s],
        timeout=10_000,
    )
    assert start_s - 0.05 <= current(card) <= start_s + 2.0


def test_an_event_s_block_and_entry_seek_the_player(played: Opened) -> None:
    card = played.tab.locator("#video-1")
    assert "clip.webm" not in " ".join(played.requests)
    event = card.locator(".event").first
    start_s = float(event.get_attribute("data-seek") or 0)
    assert start_s >= 1
    event.click()
    wait_until_at(played, card, start_s)
    assert played.requests[-1].endswith("/clip.webm")
    assert event.get_attribute("aria-current") == "true"
    assert card.locator(".playhead").first.is_visible()
    card.locator("video").evaluate("video => { video.currentTime = 0; }")
    entry = card.locator(".events button").first
    entry.click()
    wait_until_at(played, card, float(entry.get_attribute("data-seek") or 0))


def test_it_works_from_a_server_with_links_to_another(open_page: Open, file_server: str, tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", seconds=13.0)
    link = f"{file_server.replace('127.0.0.1', 'localhost')}/clip.mp4?X-Amz-Signature=1&x=%2F"
    page = open_page(make_report(videos=120, links=[link]), home=file_server)
    assert [url.removeprefix(file_server) for url in page.requests if not url.startswith("data:")] == ["/report.html"]
    card = page.tab.locator("#video-1")
    entry = card.locator(".events button").last
    entry.click()
    wait_until_at(page, card, float(entry.get_attribute("data-seek") or 0))
    assert {url for url in page.requests if not url.startswith((file_server, "data:"))} == {link}
    page.requests[:] = [url for url in page.requests if url != link]


def test_a_picture_and_a_strip_seek_the_player(played: Opened) -> None:
    card = played.tab.locator("#video-1")
    picture = card.locator(".picture").first
    picture.click()
    wait_until_at(played, card, float(picture.get_attribute("data-seek") or 0))
    track = card.locator(".track").first
    box = track.bounding_box()
    assert box is not None
    duration_s = float(track.get_attribute("data-duration") or 0)
    track.click(position={"x": box["width"] * 0.75, "y": 2}, force=True)
    wait_until_at(played, card, 0.74 * duration_s)


def test_events_lie_where_they_are_in_time(played: Opened) -> None:
    for card in played.tab.locator(".card").all():
        for track in card.locator(".track").all():
            whole, duration_s = track.bounding_box(), float(track.get_attribute("data-duration") or 0)
            assert whole is not None
            for event in track.locator(".event").all():
                box, start_s = event.bounding_box(), float(event.get_attribute("data-seek") or 0)
                assert box is not None
                assert box["x"] - whole["x"] == pytest.approx(whole["width"] * start_s / duration_s, abs=1)


def test_the_keyboard_reaches_an_event(played: Opened) -> None:
    card = played.tab.locator("#video-1")
    for _ in range(200):
        played.tab.keyboard.press("Tab")
        if played.tab.evaluate("document.activeElement.matches('#video-1 .event')"):
            break
    focused = played.tab.locator(":focus")
    assert focused.evaluate("button => getComputedStyle(button).outlineStyle") == "solid"
    assert (focused.get_attribute("aria-label") or "").startswith("Play ")
    start_s = float(focused.get_attribute("data-seek") or 0)
    played.tab.keyboard.press("Enter")
    wait_until_at(played, card, start_s)


def test_a_video_that_is_not_there_says_so(played: Opened) -> None:
    card = played.tab.locator("#video-2")
    card.locator(".events button").first.click()
    card.locator(".player-says:not(:empty)").wait_for()
    assert "cannot be played here" in card.locator(".player-says").inner_text()
    played.errors[:] = [error for error in played.errors if "ERR_FILE_NOT_FOUND" not in error]
    alone = played.tab.locator("#video-3")
    assert alone.locator("video").count() == 0
    assert "cannot reach the file" in alone.inner_text()


def test_a_clip_of_the_first_screen_plays_at_its_peak(open_page: Open, tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.webm", codec="libvpx-vp9", seconds=13.0, options={"cpu-used": "8"})
    page = open_page(make_report(code=0, videos=120, links=["clip.webm"]))
    look = page.tab.locator('.looks a[href="#video-1"]')
    peak_s = float(look.get_attribute("data-play") or 0)
    assert peak_s > 0
    look.click()
    wait_until_at(page, page.tab.locator("#video-1"), peak_s)
    assert page.tab.url.endswith("#video-1")


def test_a_gif_is_shown_when_asked_for(open_page: Open, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (64, 36), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "moves.gif", save_all=True, append_images=frames[1:])
    page = open_page(make_report(videos=120, links=["moves.gif"]))
    card = page.tab.locator("#video-1")
    assert card.locator("video").count() == 0
    assert card.locator(".events button").first.is_disabled()
    assert not [url for url in page.requests if url.endswith(".gif")]
    card.locator(".show-gif").click()
    page.tab.wait_for_function("document.querySelector('#video-1 img.moving').naturalWidth === 64")
    assert [url for url in page.requests if url.endswith(".gif")] == [f"{page.home}/moves.gif"]


def test_an_expired_link_says_so(open_page: Open) -> None:
    report = make_report(links=["https://bucket.s3.amazonaws.com/b.mp4?X-Amz-Signature=1"])
    says = open_page(report).tab.locator("#video-1 .player-says")
    assert report.link_expires is not None
    assert "The link to this video has expired" in says.inner_text()
