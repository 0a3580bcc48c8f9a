"""What a judge is asked."""

from pathlib import Path

import pytest

from artifactscan.errors import UsageError
from artifactscan.judge.frames_to_judge import FrameToJudge, Shot
from artifactscan.judge.prompt import default_guide, make_messages, read_guide
from artifactscan.labels import LABELS


def frame() -> FrameToJudge:
    shots = [Shot(pts_s=pts_s, jpeg=f"image at {pts_s}".encode()) for pts_s in (2.0, 1.5, 2.5)]
    return FrameToJudge(file="a.mp4", frame_index=48, shot=shots[0], neighbours=tuple(shots[1:]))


def test_images_come_in_the_order_of_time_and_the_frame_to_grade_is_named() -> None:
    system, user = make_messages("the guide", frame())
    assert (system["role"], system["content"], user["role"]) == ("system", "the guide", "user")
    assert [part.get("text") for part in user["content"]][:6] == [
        "For comparison, 0.50 s earlier:",
        None,
        "The frame to grade, at 2.00 s:",
        None,
        "For comparison, 0.50 s later:",
        None,
    ]
    request = user["content"][-1]["text"]
    assert request.startswith("Grade the frame at 2.00 s. Answer with one JSON object")
    assert '"reason", "boundary", "texture", "motion", "object"' in request
    assert "a.mp4" not in str(user), "a file's name may give away the generator"


def test_a_second_question_lists_the_labels_the_other_way_round() -> None:
    assert (
        '"object", "motion", "texture", "boundary"'
        in make_messages("g", frame(), second=True)[1]["content"][-1]["text"]
    )


def test_another_try_says_what_was_wrong() -> None:
    request = make_messages("g", frame(), fault="it gives no reason")[1]["content"][-1]["text"]
    assert "Your last answer could not be used (it gives no reason)." in request


def test_the_guide_explains_every_label_and_grade() -> None:
    lines = default_guide().splitlines()
    for word in (*LABELS, "0", "1", "2", "3"):
        assert any(line.startswith(f"- {word}:") for line in lines), word


def test_a_guide_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "guide.md"
    path.write_text("boundary, texture, motion and object")
    assert read_guide(str(path)) == "boundary, texture, motion and object"
    assert read_guide("") == default_guide()
    path.write_text("boundary, texture, motion")
    with pytest.raises(UsageError, match=r"guide .*guide\.md does not mention the label object"):
        read_guide(str(path))
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="cannot be read: it is not UTF-8 text"):
        read_guide(str(path))
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_guide(str(tmp_path / "none.md"))
