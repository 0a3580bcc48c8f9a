"""The nightly audit on a real local Ray: nights in a row over a corpus that changes in between."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from paths import ROOT

from artifactscan.audit import canaries
from artifactscan.audit.audit_store import AuditStore
from artifactscan.audit.night import Night
from artifactscan.audit.night_tables import ARRIVALS, CANARIES, CELLS, PICTURES, SAMPLING
from artifactscan.demo.marks import SHOWN_FROM_S, SHOWN_TO_S, write_checkpoint, write_clip, write_night
from artifactscan.jobs.audit import main as audit
from artifactscan.jobs.report import main as report
from artifactscan.jobs.why import main as why

pytestmark = pytest.mark.long

BRIGHTER = ROOT / "tests" / "shims" / "brighter"
POLICY = "min_videos: 8\n"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def canary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Canary clips, which take some seconds to draw; every store here is given the same."""
    folder = tmp_path_factory.mktemp("canary")
    canaries.ensure_clips(str(folder), 4)
    return folder


def arguments(corpus: Path | str, store: Path | str, checkpoint: str, *more: object) -> list[str]:
    places = ("--corpus", corpus, "--store", store, "--checkpoint", checkpoint)
    flags = (*places, "--canary-clips", 4, "--decode-actors", 1, "--quiet")
    return [*map(str, (*flags, *more))]


@dataclass
class Story:
    """Three nights: two generators, nothing new, and a night on which one got worse and files changed."""

    corpus: Path
    store: Path
    checkpoint: str
    flags: tuple[object, ...]
    codes: list[int]
    said: list[str]

    def audit(self, *more: object) -> list[str]:
        return arguments(self.corpus, self.store, self.checkpoint, *self.flags, *more)

    @property
    def nights(self) -> list[Night]:
        return AuditStore(str(self.store)).nights()

    def table(self, night: Night, name: str, schema) -> pd.DataFrame:
        return AuditStore(str(self.store)).table(night, name, schema).to_pandas()


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, checkpoint: str, canary: Path, ray_here: None) -> Story:
    folder = tmp_path_factory.mktemp("story")
    shutil.copytree(canary, folder / "store" / "canary")
    corpus, policy = folder / "corpus", folder / "policy.yaml"
    policy.write_text(POLICY)
    flags = ("--groups", "{generator}", "--policy", policy, "--resample-share", 0.2)
    told = Story(corpus, folder / "store", checkpoint, flags, [], [])

    def night() -> None:
        with pytest.MonkeyPatch.context() as patch:
            lines: list[str] = []
            patch.setattr(sys.stdout, "write", lambda text: lines.append(text))
            told.codes.append(audit(told.audit()))
        told.said.append("".join(lines))

    write_night(corpus, "one", {"sora": (10, [3], "motion"), "veo": (10, [7], "motion")})
    (corpus / "sora" / "broken.mp4").write_bytes(b"no video")
    night()
    night()
    write_night(corpus, "three", {"sora": (10, [3], "motion"), "veo": (10, range(9), "motion")})
    write_clip(corpus / "sora" / "one-00.mp4", ["texture"], seed=99)  # replaced
    (corpus / "sora" / "one-01.mp4").unlink()  # removed
    damaged = corpus / "sora" / "one-02.mp4"
    damaged.write_bytes(damaged.read_bytes()[:200])
    night()
    return told


def test_the_nights_end_as_they_should(story: Story) -> None:
    assert story.codes == [0, 0, 1]
    assert [night.verdict.code for night in story.nights] == story.codes


def test_a_first_night_compares_with_nothing_and_says_so(story: Story) -> None:
    first = story.nights[0]
    assert story.said[0].splitlines()[0] == first.verdict.sentence == f"Pass: {first.verdict.headline}"
    assert "o earlier night to compare with" in first.verdict.headline
    assert first.counts | {"listed": 21, "new": 21, "changed": 0, "arrivals": 21, "quarantined": 1} == first.counts
    assert first.outcomes == {"scored": 20, "undecodable": 1}
    cells = story.table(first, "cells", CELLS)
    assert set(cells["group"]) == {"all", "generator=sora", "generator=veo"}
    assert set(cells["untested"]) == {"no baseline"}
    assert cells.set_index(["label", "group"]).loc[("motion", "all"), ["videos", "flagged"]].tolist() == [20, 2]


def test_arrivals_say_which_video_shows_what_and_when(story: Story) -> None:
    arrivals = story.table(story.nights[0], "arrivals", ARRIVALS).set_index("path")
    assert len(arrivals) == 21
    flagged = arrivals[arrivals["events_motion"] > 0]
    assert list(flagged.index) == ["sora/one-03.mp4", "veo/one-07.mp4"]
    assert flagged["event_s_motion"].tolist() == [SHOWN_TO_S - SHOWN_FROM_S] * 2
    assert flagged["peak_s_motion"].between(SHOWN_FROM_S, SHOWN_TO_S).all()
    assert arrivals.loc["sora/broken.mp4", "outcome"] == "undecodable"
    assert arrivals.loc["sora/broken.mp4", "groups"].tolist() == ["generator=sora"]


def test_a_night_with_nothing_new_decodes_nothing_and_passes(story: Story) -> None:
    second = story.nights[1]
    assert second.counts | {"listed": 21, "new": 0, "settled": 21, "arrivals": 0, "quarantined": 1} == second.counts
    assert second.runs == ()
    assert "nothing new" in second.verdict.headline.lower()
    assert len(list((story.store / "scores" / "runs").iterdir())) == 2, "one each of the first and the third night"


def test_a_planted_rise_fails_the_night_and_is_named(story: Story) -> None:
    third = story.nights[2]
    assert story.said[2].splitlines()[0] == third.verdict.sentence == f"Fail: {third.verdict.headline}"
    assert "Motion rose" in third.verdict.headline
    assert any("Motion rose" in reason and "generator=veo" in reason for reason in third.verdict.reasons)
    assert not any("generator=sora" in reason for reason in third.verdict.reasons)
    assert third.baseline == (story.nights[0].night,), "a night without arrivals is no baseline"
    cell = story.table(third, "cells", CELLS).set_index(["label", "group"]).loc[("motion", "generator=veo")]
    assert cell[["videos", "flagged", "base_videos", "base_flagged"]].tolist() == [10, 9, 10, 1]
    assert cell["change"] == pytest.approx(0.8)
    assert cell["q_value"] < 0.05


def test_only_what_changed_was_scored_and_what_vanished_is_recorded(story: Story) -> None:
    third = story.nights[2]
    wanted = {"listed": 40, "new": 20, "changed": 2, "removed": 1, "settled": 18, "arrivals": 22, "quarantined": 2}
    assert third.counts | wanted == third.counts
    arrivals = story.table(third, "arrivals", ARRIVALS).set_index("path")
    assert arrivals.loc["sora/one-00.mp4", ["events_texture", "events_motion"]].tolist() == [1, 0]
    assert arrivals.loc["sora/one-02.mp4", "outcome"] == "undecodable"
    assert third.standing_outcomes == {"scored": 38, "undecodable": 2}
    assert "sora/one-01.mp4" not in arrivals.index


def test_a_share_was_scored_at_double_the_rate(story: Story) -> None:
    first = story.table(story.nights[0], "sampling", SAMPLING).set_index("label")
    assert set(first["videos"]) == {4}
    assert (first["missed"] == 0).all(), "the squares stay for a second"


def test_the_canaries_stood_still(story: Story) -> None:
    for night in story.nights:
        assert night.scorer == story.nights[0].night
        table = story.table(night, "canaries", CANARIES)
        assert len(table) == 16
        assert table["shift"].max() < 1e-4


def test_the_worst_videos_have_pictures_and_the_pages_are_there(story: Story) -> None:
    third = story.nights[2]
    pictures = story.table(third, "pictures", PICTURES)
    assert len(pictures) == 11
    folder = Path(AuditStore(str(story.store)).folder(third.night))
    page = (folder / "report.html").read_text()
    assert "veo/three-00.mp4" in page
    assert page.count("data:image/jpeg") >= 11
    assert f"--store {story.store}" in page, "the command to replay a video works from any folder"
    assert "Not known: no night before was compared." in page, "since when: of the two before nothing was compared"
    assert third.verdict.headline in (folder / "report.md").read_text().replace("\\", "")
    assert len(pd.read_csv(folder / "videos.csv")) == 22
    assert f"nights/{third.night}/report.html" in (story.store / "latest.html").read_text()


def test_a_video_replayed_here_has_the_same_scores(
    story: Story, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = story.corpus / "sora" / "one-03.mp4"
    assert why(["sora/one-03.mp4", "--store", str(story.store), "--output", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{uri}: the same scores here as in run")
    assert "h264" in said
    assert "motion" in said
    assert (tmp_path / "sheet.png").exists()


def test_why_refuses_what_it_cannot_replay(story: Story, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert why([str(story.corpus / "nowhere.mp4"), "--store", str(story.store)]) == 2
    assert "is in no ledger of" in capsys.readouterr().err
    assert why(["x.mp4", "--store", str(tmp_path)]) == 2
    assert "has neither nights nor runs" in capsys.readouterr().err
    broken = story.corpus / "sora" / "broken.mp4"
    assert why([str(broken), "--store", str(story.store), "--output", str(tmp_path / "x")]) == 0
    assert "undecodable here as in run" in capsys.readouterr().out
    assert why([str(story.corpus / "sora" / "one-03.mp4"), "--store", str(story.store), "--checkpoint", "builtin"]) == 2
    assert "give that one with --checkpoint" in capsys.readouterr().err


def test_other_thresholds_flip_the_verdict_without_decoding(
    story: Story, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [night.verdict.code for night in story.nights]
    flags = ["--store", str(story.store), "--thresholds", "motion=0.9999"]
    assert report([*flags, "--plan"]) == 0
    said = capsys.readouterr().out
    assert "1 of 3 nights have another verdict" in said
    assert "fail → pass" in said
    assert f"night {story.nights[2].night}, motion: 10 videos without one any more" in said
    assert f"night {story.nights[0].night}, motion: 2 videos without one any more" in said
    assert [night.verdict.code for night in story.nights] == before, "--plan writes nothing"
    hidden = story.corpus.with_name("hidden")
    story.corpus.rename(hidden)
    try:
        assert report(flags) == 0
        assert [night.verdict.code for night in story.nights] == [0, 0, 0]
        assert {night.thresholds["motion"] for night in story.nights} == {0.9999}
        assert story.table(story.nights[2], "arrivals", ARRIVALS)["events_motion"].sum() == 0
        assert report(["--store", str(story.store), "--thresholds", "motion=0.5"]) == 1
    finally:
        hidden.rename(story.corpus)
    assert [night.verdict.code for night in story.nights] == before


def test_a_damaged_table_is_mended_from_the_scores(story: Story, capsys: pytest.CaptureFixture[str]) -> None:
    first = story.nights[0]
    whole = story.table(first, "arrivals", ARRIVALS)
    for name in ("arrivals", "cells", "canaries"):
        (Path(AuditStore(str(story.store)).folder(first.night)) / first.tables / f"{name}.parquet").write_bytes(b"x")
    store = ["--store", str(story.store)]
    assert report([*store, "--night", first.night]) == 2
    assert "arrivals.parquet cannot be read" in capsys.readouterr().err
    assert report([*store, "--anew"]) == 1
    pd.testing.assert_frame_equal(story.table(story.nights[0], "arrivals", ARRIVALS), whole)
    assert [night.verdict for night in story.nights[:2]] == [first.verdict, story.nights[1].verdict]


def test_each_night_keeps_criteria_that_are_not_given(story: Story, tmp_path: Path) -> None:
    lenient = tmp_path / "lenient.yaml"
    lenient.write_text("min_videos: 8\nrises: {at_least: 1.0}\n")
    flags = ["--store", str(story.store)]
    policies = [night.policy for night in story.nights]
    try:
        assert report([*flags, "--night", story.nights[0].night, "--policy", str(lenient)]) == 0
        assert [night.verdict.code for night in story.nights] == [0, 0, 0]
        assert report([*flags, "--thresholds", "texture=0.6"]) == 0
        assert {night.policy["rises"]["at_least"] for night in story.nights} == {1.0}
    finally:
        strict = tmp_path / "strict.yaml"
        strict.write_text(POLICY)
        assert report([*flags, "--policy", str(strict), "--thresholds", "texture=0.5"]) == 1
    assert [night.policy for night in story.nights] == policies


def test_report_refuses_wrong_usage(story: Story, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = ["--store", str(story.store)]
    for flags, why_not in (
        (["--store", str(tmp_path)], "has no nights"),
        ([*store, "--night", "x"], "--night x is none of this store"),
        ([*store, "--thresholds", "motion"], "--thresholds 'motion' is not a label and a number"),
        ([*store, "--thresholds", "hands=0.5"], "--thresholds 'hands=0.5' is not a label"),
        ([*store, "--thresholds", "motion=1.5"], "not a label and a number from 0 to 1"),
        ([*store, "--min-frames", "0"], "min_frames is 0; give 1 or more"),
    ):
        assert report(flags) == 2
        assert why_not in capsys.readouterr().err


def run(story: Story, *more: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """The audit as a process of its own, with a Ray of its own."""
    return subprocess.run(
        [sys.executable, str(ROOT / "jobs" / "audit.py"), *story.audit(*more)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.slow
def test_a_changed_decoder_ends_with_scorer_moved(story: Story) -> None:
    write_night(story.corpus, "four", {"sora": (2, [], "motion")})
    moved = run(story, PYTHONPATH=str(BRIGHTER))
    assert moved.returncode == 4, moved.stderr
    assert "scorer moved" in moved.stdout.splitlines()[0]
    night = story.nights[-1]
    assert (night.verdict.code, night.runs, night.counts) == (4, (), {})
    assert story.table(night, "canaries", CANARIES)["shift"].max() > 0.02
    still = run(story)
    assert still.returncode == 0, still.stderr
    assert story.nights[-1].counts["new"] == 2, "nothing was scored by the scorer that moved"


@pytest.mark.slow
def test_a_scorer_that_is_accepted_begins_a_new_baseline(story: Story) -> None:
    accepted = run(story, "--accept-scorer", PYTHONPATH=str(BRIGHTER))
    assert accepted.returncode == 0, accepted.stderr
    last = story.nights[-1]
    assert (last.scorer, last.baseline) == (last.night, ())


@pytest.mark.slow
def test_the_next_audit_continues_a_killed_one(story: Story, canary: Path, tmp_path: Path) -> None:
    flags = ("--groups", "{generator}", "--resample-share", 0)
    mine = Story(tmp_path / "corpus", tmp_path / "store", story.checkpoint, flags, [], [])
    shutil.copytree(canary, mine.store / "canary")
    write_night(mine.corpus, "one", {"sora": (10, [1, 2], "object")})
    for moment in (
        "manifest.parquet",
        "run.json",
    ):  # while the corpus is scored; when it is, and the night is not closed
        _kill_at(mine, f"scores/runs/*/{moment}")
        assert mine.nights == []
    assert audit(mine.audit()) == 0
    [night] = mine.nights
    assert night.outcomes == {"scored": 10}
    assert [path.name for path in (mine.store / "nights").iterdir()] == [night.night]
    assert (mine.table(night, "arrivals", ARRIVALS)["events_object"] > 0).sum() == 2
    assert audit(mine.audit()) == 0
    assert mine.nights[1].counts["arrivals"] == 0


def _kill_at(story: Story, pattern: str) -> None:
    """Starts an audit and kills it, and all it started, as soon as there is such a file in its store."""
    command = [sys.executable, str(ROOT / "jobs" / "audit.py"), *story.audit()]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline and not list(story.store.glob(pattern)):
            assert process.poll() is None, "it ended before"
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    assert list(story.store.glob(pattern))


def test_a_second_audit_of_a_store_is_refused(story: Story, capsys: pytest.CaptureFixture[str]) -> None:
    from artifactscan.storage.lease import Lease

    with Lease(AuditStore(str(story.store)).lease):
        assert audit(story.audit()) == 2
    assert "is working on this store" in capsys.readouterr().err


def test_audit_refuses_wrong_usage(story: Story, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad_policy = tmp_path / "policy.yaml"
    bad_policy.write_text("rise: 1\n")
    before = len(story.nights)
    for flags, why_not in (
        (story.audit("--sample-fps", 1), "were scored by another spec (sample_fps 1.0 instead of 2.0)"),
        (story.audit("--policy", bad_policy), "rise"),
        (story.audit("--groups", "nightly/{x}"), "matches none of the"),
        (story.audit("--metadata", tmp_path / "gone.csv"), "gone.csv cannot be read"),
        (story.audit("--baseline", "20200101"), "--baseline 20200101 is no night or run of this store"),
        (story.audit("--webhook", "ftp://x"), "webhook"),
        (story.audit("--mail-to", "x@example.com", "--smtp", "ftp://x"), "ARTIFACTSCAN_SMTP"),
        (arguments(tmp_path / "gone", tmp_path / "new", story.checkpoint), "gone"),
        (arguments(story.corpus, story.store / "scores", story.checkpoint), "is a scoring store"),
        (arguments(story.corpus, story.corpus / "audit", story.checkpoint), "lies in the corpus"),
    ):
        write_night(story.corpus, "five", {"sora": (1, [], "motion")})
        assert audit(flags) == 2, why_not
        assert why_not in capsys.readouterr().err
    assert len(story.nights) == before


def test_a_night_is_told_by_mail_and_a_refusal_changes_no_verdict(
    story: Story, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = pytest.importorskip("mail_server", reason="aiosmtpd is not installed")
    flags = ("--mail-to", "oncall@example.com", "--page-url", "https://audits.example.com")
    with servers.mail_server() as server:
        monkeypatch.setenv("ARTIFACTSCAN_SMTP", server.url(query="?starttls=off"))
        code = audit(story.audit(*flags))
        night = story.nights[-1]
        assert code == night.verdict.code
        [mail] = server.mails
        [text, _] = mail.iter_parts()
        said = text.get_content()
        assert mail["To"] == "oncall@example.com" and mail["Subject"] == f"artifactscan: {night.verdict.sentence}"
        assert f"https://audits.example.com/nights/{night.night}/report.html" in said
        assert capfd.readouterr().out.splitlines()[0] == said.splitlines()[0] == night.verdict.sentence
        server.to_data = ["554 no"]
        assert audit(story.audit(*flags)) == story.nights[-1].verdict.code
        assert "the mail was not sent: the mail server at 127.0.0.1:" in capfd.readouterr().err
    for kept in (story.store / "nights").rglob("*"):
        if kept.suffix in (".json", ".html", ".md"):
            assert "oncall@example.com" not in kept.read_text()


def test_a_clock_behind_the_last_night_is_refused(
    story: Story, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store" / "nights" / "29990101T000000Z-00000000"
    store.mkdir(parents=True)
    night = json.loads(Path(AuditStore(str(story.store)).night_json(story.nights[0].night)).read_text())
    night |= {"night": store.name, "started": "2999-01-01T00:00:00+00:00"}
    (store / "night.json").write_text(json.dumps(night))
    assert audit(arguments(story.corpus, tmp_path / "store", story.checkpoint)) == 2
    assert "the clock says" in capsys.readouterr().err
