"""The folder of a judgement: what continues it, and what it refuses."""

from pathlib import Path

import pytest
from extraction import write_extraction
from judge_answers import answer, answers_table
from s3_server import S3Server

from artifactscan.annotation.frame_index import read_index
from artifactscan.annotation.labels_table import read_labels
from artifactscan.errors import UsageError
from artifactscan.judge.frames_to_judge import index_digest
from artifactscan.judge.judgement_folder import JudgementFolder
from artifactscan.judge.judgement_tables import frame_outcomes, labels_of
from artifactscan.storage.parquet import write_table

IDENTITY = {"model": "m", "guide": "abc"}


def add_part(folder: JudgementFolder, *rows: dict) -> None:
    write_table(answers_table(*rows), f"{folder.parts}/{len(list(Path(folder.root).rglob('*')))}.parquet")


def test_parts_continue_a_judgement_and_its_failed_questions_are_asked_again(tmp_path: Path) -> None:
    folder = JudgementFolder(str(tmp_path))
    assert folder.read_answers().num_rows == 0
    add_part(folder, answer(0, "1000"))
    add_part(folder, answer(1, None), answer(2, None, outcome="refused"))
    assert folder.read_answers()["frame_index"].to_pylist() == [0, 2]
    assert folder.read_parts()["frame_index"].to_pylist() == [0, 1, 2]


def test_a_committed_judgement_keeps_its_failures_until_they_are_to_be_retried(tmp_path: Path) -> None:
    folder = JudgementFolder(str(tmp_path))
    add_part(folder, answer(0, "3000"), answer(1, None))
    answers = folder.read_parts()
    outcomes = frame_outcomes(answers, [("a.mp4", 0), ("a.mp4", 1)])
    folder.commit(answers, outcomes, labels_of(outcomes, "judge:m"))
    assert {path.name for path in tmp_path.iterdir()} == {"labels.csv", "answers.parquet", "outcomes.parquet"}
    assert read_labels(folder.labels)["boundary"].to_pylist() == [1]
    assert folder.read_answers()["frame_index"].to_pylist() == [0, 1]
    assert folder.read_answers(retry_failed=True)["frame_index"].to_pylist() == [0]
    add_part(folder, answer(1, "0000"))
    assert folder.read_answers()["outcome"].to_pylist() == ["judged", "judged"]


def test_judgements_of_another_judge_are_not_mixed_in(tmp_path: Path) -> None:
    folder = JudgementFolder(str(tmp_path))
    folder.check(IDENTITY)
    folder.begin({"model": "m"}, IDENTITY)
    folder.check(IDENTITY)
    with pytest.raises(UsageError, match=r"holds judgements with guide 'abc', now it is 'xyz'; give another --output"):
        folder.check(IDENTITY | {"guide": "xyz"})
    (tmp_path / "judge.json").write_text("{")
    with pytest.raises(UsageError, match=r"judge\.json cannot be read"):
        folder.check(IDENTITY)


def test_tables_of_something_else_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,frame_index\n")
    with pytest.raises(UsageError, match="has tables that are not from a judgement; give another one"):
        JudgementFolder(str(tmp_path)).check(IDENTITY)


def test_judgements_of_another_extraction_are_not_mixed_in(tmp_path: Path) -> None:
    place = write_extraction(tmp_path / "extraction", {"a.mp4": 2})
    index, root, folder = read_index(str(place)), str(place.parent), JudgementFolder(str(tmp_path / "judged"))
    identity = IDENTITY | {"index": index_digest(index, root)}
    folder.begin({}, identity)
    folder.check(IDENTITY | {"index": index_digest(index, root)})
    assert index_digest(index.slice(1), root) != identity["index"]
    image = place.parent / index["image"][0].as_py()
    image.write_bytes(image.read_bytes() + b"more")
    with pytest.raises(UsageError, match="holds judgements of another index, or of images that have changed since"):
        folder.check(IDENTITY | {"index": index_digest(index, root)})
    folder.begin({}, IDENTITY)
    folder.check(identity)


def test_images_on_s3_are_told_apart_by_their_etags(tmp_path: Path, s3: S3Server) -> None:
    index = read_index(str(write_extraction(tmp_path / "extraction", {"a.mp4": 2})))
    first, second = index["image"].to_pylist()
    s3.put(f"x/{first}", b"one")
    s3.put(f"x/{second}", b"two")
    before = index_digest(index, s3.uri("x"))
    assert index_digest(index, s3.uri("x")) == before
    s3.put(f"x/{second}", b"six")
    assert index_digest(index, s3.uri("x")) != before
