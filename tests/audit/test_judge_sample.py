"""A night's sample judged by a real HTTP stub."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from extraction import write_extraction
from judge_server import JudgeServer, prose

from artifactscan.audit.judge_sample import judge_sample
from artifactscan.audit.label_folder import LabelFolder, labels_by_source
from artifactscan.audit.night_tables import LABEL_SAMPLE
from artifactscan.audit.settings import AuditSettings
from artifactscan.errors import UsageError
from artifactscan.judge.frames_to_judge import plan_asks
from artifactscan.labels import SCORE_COLUMNS
from artifactscan.storage.parquet import read_table

SAMPLE = pa.Table.from_pylist(
    [
        dict.fromkeys(SCORE_COLUMNS, 0.5)
        | {
            "video_id": "id",
            "uri": "/c/a.mp4",
            "path": "a.mp4",
            "position": 0,
            "frame_index": index,
            "pts_s": index / 24,
        }
        | {"clip_frames": 5, "clip_probability": 0.5, "frame_probability": 0.6, "seed": 1}
        for index in (0, 24, 48, 600)
    ],
    LABEL_SAMPLE,
)
"""Of these, frame 600 has no image."""


@pytest.fixture
def server() -> Iterator[JudgeServer]:
    with JudgeServer() as server:
        server.grade(lambda question: {"motion": 3 if question.pts_s >= 1 else 0})
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> LabelFolder:
    write_extraction(tmp_path / "to-label", {"a.mp4": 5})
    return LabelFolder(str(tmp_path / "to-label"))


def judged(folder: LabelFolder, url: str, model: str = "stub-vl") -> str:
    settings = AuditSettings(corpus="/c", store="/s", judge_share=0.5, judge_endpoint=url, judge_model=model)
    return judge_sample(SAMPLE, folder, settings, requests_per_minute=60_000)


def test_the_sample_alone_is_judged_with_the_frames_around_it(server: JudgeServer, folder: LabelFolder) -> None:
    assert judged(folder, server.url) == "3 frames drawn for labelling went to judge:stub-vl"
    assert {question.pts_s for question in server.questions} == {0.0, 1.0, 2.0}
    middle = next(question for question in server.questions if question.pts_s == 1)
    assert len(middle.images) == 3
    found, notes = labels_by_source(SAMPLE, folder, human_labels=None)
    assert (list(found), notes) == (["judge:stub-vl"], [])
    assert found["judge:stub-vl"].select(["frame_index", "motion"]).to_pylist() == [
        {"frame_index": 0, "motion": 0},
        {"frame_index": 24, "motion": 1},
        {"frame_index": 48, "motion": 1},
    ]


def test_answers_that_are_not_believed_are_counted(server: JudgeServer, folder: LabelFolder) -> None:
    server.misbehave(prose("I like it"), when=lambda question: question.pts_s == 1)
    note = judged(folder, server.url)
    assert note.endswith("; 1 of them have no answer that is believed")
    outcomes = read_table(f"{folder.judge}/outcomes.parquet")
    assert outcomes["outcome"].to_pylist() == ["judged", "failed", "judged"]


def test_a_judge_that_cannot_be_asked_leaves_the_sample_to_people(server: JudgeServer, folder: LabelFolder) -> None:
    note = judged(folder, server.url, model="another")
    assert note.startswith(f"the sample was not judged and waits for people in {folder.sheet}: ")
    assert "another" in note
    assert labels_by_source(SAMPLE, folder, human_labels=None) == ({}, [])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"judge_share": 1.5}, "--judge-share is 1.5; give a share between 0 and 1"),
        ({"judge_share": 0.1, "judge_model": "m"}, "--judge-endpoint and --judge-model go together"),
        ({"judge_endpoint": "http://h/v1", "judge_model": "m"}, "--judge-endpoint has nothing to judge"),
        ({"judge_share": 0.1, "judge_endpoint": "here", "judge_model": "m"}, "--endpoint here is not a URL"),
    ],
)
def test_settings_that_cannot_be(flags: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("?", r"\?")):
        AuditSettings(corpus="/c", store="/s", **flags)


def test_labels_of_a_judge_that_contradicts_itself_are_not_used(
    server: JudgeServer, folder: LabelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("artifactscan.judge.judge_frames.plan_asks", partial(_plan_twice, plan_asks))
    server.grade(lambda question: {"motion": 3 if question.second and question.pts_s < 1 else 0})
    assert judged(folder, server.url) == (
        f"the sample waits for people in {folder.sheet}: judge:stub-vl contradicts itself on 1 of 3 frames that it was "
        "asked about twice, so its labels are not used"
    )
    assert labels_by_source(SAMPLE, folder, human_labels=None) == ({}, [])
    assert read_table(f"{folder.judge}/outcomes.parquet")["outcome"].to_pylist().count("contradicted") == 1


def _plan_twice(plan: Callable[..., pa.Table], *arguments: Any, **settings: Any) -> pa.Table:
    return plan(*arguments, **settings | {"repeat_share": 1.0})
