"""The judging job on a real local Ray, against a real HTTP stub that answers, refuses, lies and hangs."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from extraction import write_extraction
from judge_server import JudgeServer, answer_text, hang, prose, status
from labelled import label_row, labels_table
from labelled_clips import write_labelled
from paths import ROOT

from artifactscan.annotation.labels_table import read_labels, write_labels
from artifactscan.jobs.extract import main as extract
from artifactscan.jobs.finetune import main as finetune
from artifactscan.jobs.judge import main
from artifactscan.labels import LABELS
from artifactscan.model.checkpoint import load_checkpoint

CLIPS = {"a.mp4": 6, "b/c.mp4": 4}
FAST = ("--requests-per-minute", 60_000, "--timeout-s", 2, "--quiet")


@pytest.fixture
def server() -> Iterator[JudgeServer]:
    with JudgeServer() as server:
        server.grade(lambda question: {"texture": 3 if question.pts_s >= 1 else 0})
        yield server


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return write_extraction(tmp_path / "extraction", CLIPS)


def arguments(server: JudgeServer, index: Path, *more: object) -> list[str]:
    out = index.parent.parent / "judged"
    given = ("--index", index, "--output", out, "--endpoint", server.url, "--model", "stub-vl", *FAST, *more)
    return [str(argument) for argument in given]


def outcomes(index: Path) -> pd.DataFrame:
    return pd.read_parquet(index.parent.parent / "judged" / "outcomes.parquet")


def judge(server: JudgeServer, index: Path, *more: object) -> int:
    return main(arguments(server, index, *more))


@pytest.mark.usefixtures("ray_here")
def test_a_judgement_is_a_labels_table_and_an_outcome_for_every_frame(
    server: JudgeServer, index: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.misbehave(prose("Looks like a fine clip!"), when=lambda question: question.pts_s == 0.5)
    server.misbehave(prose(None, refusal="No people, please"), when=lambda question: question.pts_s == 2.5)
    server.misbehave(prose(f"```json\n{answer_text({})}\n```"), when=lambda question: question.pts_s == 1, times=1)
    server.misbehave(hang(), when=lambda question: question.pts_s == 0, times=1)
    server.misbehave(status(429, retry_after="0.2"), when=lambda question: question.pts_s == 2, times=1)
    (index.parent / "frames/1-3.png").write_bytes(b"no image")
    assert judge(server, index, "--attempts", 2, "--repeat-share", 0, "--max-failed", 0.6) == 0

    table = outcomes(index)
    assert list(zip(table["file"], table["frame_index"], table["outcome"], strict=True)) == [
        *(("a.mp4", 12 * n, outcome) for n, outcome in enumerate(["judged", "failed", *["judged"] * 3, "refused"])),
        *(("b/c.mp4", 12 * n, outcome) for n, outcome in enumerate(["judged", "failed", "failed", "failed"])),
    ]
    reasons = table.set_index(["file", "frame_index"])["reason"]
    assert reasons["a.mp4", 60] == "No people, please"
    assert reasons["a.mp4", 12].startswith("its answer is not believed: it is not a JSON object but 'Looks like")
    for frame in (24, 36):  # the damaged image is their own, or a neighbour's
        assert "1-3.png: not a readable image" in reasons["b/c.mp4", frame]

    labels = index.parent.parent / "judged" / "labels.csv"
    read = read_labels(str(labels))
    assert read.num_rows == 5
    assert set(read["annotator"].to_pylist()) == {"judge:stub-vl"}
    assert read["texture"].to_pylist() == [0, 1, 1, 1, 0]
    assert read["severity_texture"].to_pylist() == [0.0, 3.0, 3.0, 3.0, 0.0]
    assert read["note"][0].as_py() == "seen at 0.00 s"
    assert all(len(question.images) in (2, 3) for question in server.questions), "neighbours are shown"
    said = capsys.readouterr().out
    assert "judged" in said and "refused" in said and str(labels) in said

    asked = len(server.questions)
    assert judge(server, index, "--attempts", 2, "--repeat-share", 0, "--max-failed", 0.6) == 0
    assert len(server.questions) == asked, "a finished judgement asks nothing"
    assert "nothing to ask: all 10 frames have their outcome" in capsys.readouterr().out
    server._rules.clear()
    assert judge(server, index, "--repeat-share", 0, "--retry-failed", "--max-failed", 0.6) == 0
    assert outcomes(index)["outcome"].value_counts().to_dict() == {"judged": 7, "failed": 2, "refused": 1}
    assert len(server.questions) == asked + 2, "the frames without images are not sent"
    assert judge(server, index, "--repeat-share", 0) == 1
    assert "3 of 10 frames are not judged, more than --max-failed 0.05 allows" in capsys.readouterr().err


@pytest.mark.usefixtures("ray_here")
def test_a_judge_that_contradicts_itself(server: JudgeServer, index: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server.grade(lambda question: {"motion": 3 if question.second and question.pts_s < 1 else 0})
    assert judge(server, index, "--repeat-share", 1, "--max-failed", 1) == 1
    assert (
        "error: the judge contradicts itself on 4 of 10 frames that it was asked about twice, more than "
        "--max-contradicted 0.2 allows; its labels are not written\n"
    ) in capsys.readouterr().err
    assert outcomes(index)["outcome"].value_counts().to_dict() == {"judged": 6, "contradicted": 4}
    labels = index.parent.parent / "judged" / "labels.csv"
    assert not labels.exists()
    assert judge(server, index, "--repeat-share", 1, "--max-failed", 1, "--max-contradicted", 0.5) == 0
    assert "asked twice: 10 frames, 4 with contradicting answers" in capsys.readouterr().out
    assert read_labels(str(labels)).num_rows == 6
    assert judge(server, index, "--repeat-share", 1, "--max-failed", 1) == 1
    assert not labels.exists(), "a limit that is lowered takes the labels away"


@pytest.mark.usefixtures("ray_here")
def test_so_many_requests_are_under_way_at_a_time(server: JudgeServer, index: Path) -> None:
    server.delay_s = 1.0
    assert judge(server, index, "--concurrent", 5, "--repeat-share", 0) == 0
    assert 4 <= server.most_at_once <= 5


@pytest.mark.usefixtures("ray_here")
def test_requests_keep_the_pace_over_all_actors(server: JudgeServer, index: Path) -> None:
    pace = ("--requests-per-minute", 240, "--concurrent", 8, "--repeat-share", 0)
    assert judge(server, index, *pace) == 0
    arrived = sorted(question.at_s for question in server.questions)
    assert len(arrived) == 10
    assert arrived[-1] - arrived[0] >= 9 * 0.25 - 0.2


@pytest.mark.usefixtures("ray_here")
def test_the_key_is_sent_and_written_nowhere(
    server: JudgeServer, index: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    server.key = "sk-distinctive-secret-0042"
    monkeypatch.setenv("JUDGE_KEY", server.key)
    server.misbehave(status(400, f"bad request with Bearer {server.key}"), times=1)
    server.misbehave(prose(f"Your key is {server.key}"), times=1)
    assert judge(server, index, "--key-variable", "JUDGE_KEY", "--max-failed", 0.2, "--repeat-share", 0) == 0
    assert {question.authorization for question in server.questions} == {f"Bearer {server.key}"}
    session = Path(ray._private.worker._global_node.get_session_dir_path())  # type: ignore[union-attr]
    written = [path for folder in (session, index.parent.parent) for path in folder.rglob("*") if path.is_file()]
    assert any("worker" in path.name for path in written) and any(path.name == "judge.json" for path in written)
    assert [path for path in written if server.key.encode() in path.read_bytes()] == []
    assert server.key not in outcomes(index).to_json()
    said = capfd.readouterr()
    assert server.key not in said.out + said.err


@pytest.mark.usefixtures("ray_here")
def test_a_judge_that_becomes_unusable_cuts_the_run_off_and_the_same_command_continues_it(
    server: JudgeServer, index: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.misbehave(status(401, "expired"), when=lambda question: len(server.questions) > 4)
    assert judge(server, index, "--concurrent", 1, "--repeat-share", 0) == 3
    said = capsys.readouterr().err
    assert "error: the run was cut off: endpoint http://127.0.0.1" in said
    assert said.endswith("answered 401 (expired): no key is set; the same command continues it\n")
    assert not (index.parent.parent / "judged" / "outcomes.parquet").exists()
    server._rules.clear()
    before = {(question.pts_s, question.frame) for question in server.questions[:4]}
    count = len(server.questions)
    assert judge(server, index, "--concurrent", 1, "--repeat-share", 0) == 0
    again = {(question.pts_s, question.frame) for question in server.questions[count:]}
    assert before.isdisjoint(again), "no answer is paid for twice"
    assert set(outcomes(index)["outcome"]) == {"judged"}


def test_a_plan_asks_and_writes_nothing(server: JudgeServer, index: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prices = ("--price-per-million-tokens", 1000, 10_000)
    assert judge(server, index, "--plan", *prices, "--requests-per-minute", 5, "--repeat-share", 0) == 0
    lines = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines())
    assert lines["frames"] == "10 to ask about, of 10"
    assert lines["requests"] == "10, with 26 images; retries come on top"
    assert lines["minutes"] == "2.0 at least, by --requests-per-minute"
    assert float(lines["cost"].removeprefix("about ")) > 10
    assert server.questions == []
    assert not (index.parent.parent / "judged").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--model", "gpt-9"), "model gpt-9 is unknown; known are stub-vl"),
        (("--endpoint", "http://127.0.0.1:9/v1"), "endpoint http://127.0.0.1:9/v1 does not answer"),
        (("--index", "nowhere.parquet"), "index"),
        (("--only", "nowhere.csv"), "--only nowhere.csv cannot be read"),
        (("--guide", "nowhere.md"), "guide nowhere.md cannot be read"),
        (("--against", "nowhere.csv"), "labels nowhere.csv cannot be read"),
    ],
)
def test_what_cannot_be_used_is_one_sentence_and_nothing_is_asked(
    server: JudgeServer, index: Path, more: tuple[str, str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert judge(server, index, *more) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and said in line
    assert server.questions == []
    assert not list((index.parent.parent / "judged").glob("*"))


def test_labels_that_cannot_be_compared_are_refused_before_a_request_is_paid_for(
    server: JudgeServer, index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = tmp_path / "labels.csv"
    write_labels(labels_table(label_row("a.mp4", 0, "1000")), str(labels))
    assert judge(server, index, "--against", labels) == 2
    assert "compares with scores, which index" in capsys.readouterr().err
    write_labels(labels_table(label_row("z.mp4", 0, "1000")), str(labels))
    assert judge(server, index, "--against", labels) == 2
    assert "labels no frame that is to be judged" in capsys.readouterr().err
    write_labels(labels_table(label_row("a.mp4", 0, "1000", "anna; judge:m")), str(labels))
    assert judge(server, index, "--against", labels) == 2
    assert "have 1 rows by anna; judge:m, which are not labels by people alone" in capsys.readouterr().err
    few = write_extraction(tmp_path / "few", {"a.mp4": 1}, scores={("a.mp4", 0): (0.5, 0.5, 0.5, 0.5)})
    write_labels(labels_table(label_row("a.mp4", 0, "1000")), str(labels))
    assert judge(server, few, "--against", labels) == 2
    assert "labels 1 clips of those that are to be judged; label 10, as" in capsys.readouterr().err
    assert server.questions == []


@pytest.mark.usefixtures("ray_here")
def test_a_judge_against_the_scorer(server: JudgeServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clips = {f"clip{n}.mp4": 2 for n in range(12)}
    scores = {(file, n): (0.5, 0.5, 0.5, 0.5) for file in clips for n in range(2)}
    index = write_extraction(tmp_path / "extraction", clips, scores=scores)
    rows = [label_row(file, 12 * n, "1111" if n else "0000") for file in clips for n in range(2)]
    write_labels(labels_table(*rows), str(tmp_path / "labels.csv"))
    server.grade(lambda question: dict.fromkeys(LABELS, 3 if question.pts_s else 0))
    against = ("--against", tmp_path / "labels.csv", "--repeat-share", 0)
    assert judge(server, index, *against) == 0
    assert "the judge beats the scorer: it may change a verdict" in capsys.readouterr().out
    record = json.loads((tmp_path / "judged" / "against.json").read_text())
    assert (record["earned"], record["frames"], record["clips"]) == (True, 24, 12)
    assert record["macro"]["judge"] == 1.0 and record["macro"]["scorer"] == pytest.approx(0.5)
    assert record["judge"]["model"] == "stub-vl"


@pytest.mark.long
@pytest.mark.usefixtures("ray_here")
def test_from_clips_over_frames_and_a_judge_to_a_checkpoint(server: JudgeServer, tmp_path: Path) -> None:
    clips = write_labelled(tmp_path / "set", clips=4).parent
    extraction = tmp_path / "extraction"
    assert extract(["--input", str(clips), "--output", str(extraction), "--include", "*.mp4", "--quiet"]) == 0
    server.grade(lambda question: dict.fromkeys(LABELS, 2 if question.pts_s else 0))
    assert judge(server, extraction / "index.parquet", "--repeat-share", 0.2) == 0
    labels = tmp_path / "judged" / "labels.csv"
    assert read_labels(str(labels)).num_rows == 8
    small = ("--backbone", "test_resnet.r160_in1k", "--init", "none", "--height", 48, "--width", 80, "--resamples", 20)
    places = ("--labels", labels, "--clips", clips, "--output", tmp_path / "trained")
    training = [*places, *small, "--batch-frames", 8, "--epochs", 1, "--folds", 2, "--quiet"]
    assert finetune([str(argument) for argument in training]) == 0
    card = load_checkpoint(str(tmp_path / "trained/test_resnet.r160_in1k/checkpoint")).card
    assert "fine-tuned on 8 frames" in card.origin


def wait_until_quiet(server: JudgeServer) -> None:
    """Waits until nobody has asked a question for two seconds."""
    asked = -1
    while len(server.questions) > asked:
        asked = len(server.questions)
        time.sleep(2)


def test_a_killed_judgement_is_continued_and_no_answer_is_asked_for_twice(server: JudgeServer, index: Path) -> None:
    server.delay_s = 0.3
    options = arguments(server, index, "--concurrent", 2, "--repeat-share", 0)
    command = [sys.executable, "-m", "artifactscan", "judge", *options]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    environment["PYTHONPATH"] = str(ROOT / "src")
    parts = index.parent.parent / "judged" / "parts"
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 180
        while len(list(parts.glob("*.parquet"))) < 3:
            assert process.poll() is None and time.monotonic() < deadline, process.communicate()
            time.sleep(0.02)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not (parts.parent / "outcomes.parquet").exists()
    wait_until_quiet(server)  # the workers of the killed run end, and may write one more answer each
    kept = pd.concat(pd.read_parquet(part) for part in parts.glob("*.parquet"))
    assert 3 <= len(kept) < 10
    count = len(server.questions)
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"{10 - len(kept)} of 10 questions are left" in done.stdout
    assert len(server.questions) - count == 10 - len(kept)
    assert set(outcomes(index)["outcome"]) == {"judged"} and len(outcomes(index)) == 10
    assert not parts.exists()
