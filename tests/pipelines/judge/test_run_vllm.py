"""What surrounds the vLLM engine: its rows, what becomes of its answers, and the refusal where it is missing."""

from importlib.util import find_spec
from pathlib import Path

import pytest
from extraction import write_extraction
from judge_server import answer_text

from artifactscan.annotation.frame_index import read_index
from artifactscan.errors import UsageError
from artifactscan.judge.frames_to_judge import plan_asks
from artifactscan.judge.judge_request import JudgeRequest
from artifactscan.judge.judgement_tables import ANSWERS
from artifactscan.judge.prompt import answer_schema
from artifactscan.pipelines.judge.run_vllm import answer_row, check_vllm, engine_row

REQUEST = JudgeRequest(endpoint="", model="Qwen/Qwen3-VL-8B-Instruct", extra_body={"seed": 3, "temperature": None})


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return write_extraction(tmp_path / "x", {"a.mp4": 2})


def rows_of(index: Path) -> list[dict]:
    asks = plan_asks(read_index(str(index)), [("a.mp4", 12)], neighbours=1, gap_s=1.0, repeat_share=1.0)
    return [engine_row(ask, str(index.parent), REQUEST) for ask in asks.to_pylist()]


def test_the_engine_gets_the_messages_and_the_schema_of_an_endpoint(index: Path) -> None:
    first, second = rows_of(index)
    assert [part["type"] for part in first["messages"][1]["content"]] == [
        "text",
        "image_url",
        "text",
        "image_url",
        "text",
    ]
    for row, is_second in ((first, False), (second, True)):
        schema = answer_schema(second=is_second)
        assert row["sampling_params"] == {"max_tokens": 400, "seed": 3, "structured_outputs": {"json": schema}}


@pytest.mark.parametrize(
    ("returned", "outcome", "reason"),
    [
        ({"generated_text": answer_text({"object": 2}, "a hand")}, "judged", None),
        ({"generated_text": "fine"}, "failed", "its answer is not believed: it is not a JSON object but 'fine'"),
        ({"generated_text": "", "__inference_error__": "out of memory"}, "failed", "the engine failed: out of memory"),
    ],
)
def test_what_the_engine_returns_is_believed_no_more_than_an_endpoint(
    index: Path, returned: dict, outcome: str, reason: str | None
) -> None:
    row = answer_row(rows_of(index)[0] | returned | {"num_input_tokens": 900, "num_generated_tokens": 30})
    assert list(row) == ANSWERS.names
    assert (row["file"], row["frame_index"], row["ask"], row["neighbours"]) == ("a.mp4", 12, 0, 1)
    assert (row["outcome"], row["reason"], row["prompt_tokens"], row["completion_tokens"]) == (outcome, reason, 900, 30)
    assert (row["severity_object"], row["note"]) == ((2, "a hand") if outcome == "judged" else (None, None))


def test_an_image_that_cannot_be_read_costs_its_frame_alone(index: Path) -> None:
    (index.parent / "frames/0-1.png").unlink()
    row = answer_row(rows_of(index)[0] | {"generated_text": answer_text({})})
    assert row["outcome"] == "failed"
    assert row["reason"].startswith("its image cannot be read: ") and "0-1.png" in row["reason"]


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed")
def test_without_vllm_there_is_one_sentence() -> None:
    with pytest.raises(UsageError, match=r"--engine vllm needs vLLM on the cluster; install ray\[llm\] there"):
        check_vllm()
