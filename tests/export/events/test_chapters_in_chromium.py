"""The chapters of a clip in a real browser: it reads each cue, with its times and its text."""

from pathlib import Path
from typing import Any

from exported import scored_video
from media import write_clip

from artifactscan.export.events.webvtt import write_chapters

PAGE = """<!doctype html><meta charset="utf-8"><video preload="auto" muted>
<track kind="chapters" src="clip.vtt" default></video>"""
LOAD = """async () => {
    const clip = await (await fetch('clip.webm')).blob();  // seekable though the server gives no parts of files
    document.querySelector('video').src = URL.createObjectURL(clip);
}"""


def test_a_browser_reads_the_chapters(browser: Any, file_server: str, tmp_path: Path) -> None:
    scores = {"motion": [0.1, 0.9, 0.8, 0.1, 0.1, 0.1], "object": [0.0, 0.0, 0.7, 0.6, 0.0, 0.0]}
    video = scored_video(scores, file="<i>clip --> 00:01</i>.webm")
    options = {"cpu-used": "8", "deadline": "realtime"}
    write_clip(tmp_path / "clip.webm", codec="libvpx-vp9", seconds=3.0, options=options)
    (tmp_path / "clip.vtt").write_bytes(write_chapters(video, scorer="resnet50-01234567"))
    (tmp_path / "page.html").write_text(PAGE)
    tab = browser.new_page()
    tab.goto(f"{file_server}/page.html")
    tab.evaluate(LOAD)
    tab.wait_for_function("document.querySelector('track').readyState >= 2")
    cues = tab.evaluate("[...document.querySelector('track').track.cues].map(c => [c.startTime, c.endTime, c.text])")
    assert cues == [[0.5, 1.0, "motion 0.90"], [1.0, 2.0, "object 0.70"], [1.0, 1.5, "motion 0.90"]]
    for time, texts in {
        0.7: ["motion 0.90"],
        1.2: ["motion 0.90", "object 0.70"],
        1.7: ["object 0.70"],
        2.5: [],
        0.6: ["motion 0.90"],
    }.items():
        tab.evaluate("time => { document.querySelector('video').currentTime = time; }", time)
        tab.wait_for_function(
            """([time, texts]) => {
                const video = document.querySelector('video'), track = document.querySelector('track').track;
                const shown = [...track.activeCues].map(cue => cue.text).sort();
                return !video.seeking && video.currentTime === time && shown.join() === texts.join();
            }""",
            arg=[time, texts],
            timeout=15_000,
        )
    tab.close()
