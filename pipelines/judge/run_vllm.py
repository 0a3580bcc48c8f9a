"""Judges with vLLM on the GPUs of the cluster, through Ray Data's `ray.data.llm`.

This path needs GPUs and the package vllm on the cluster. The tests cover what surrounds the engine, not the engine.
"""

from importlib.util import find_spec
from typing import Any

import pyarrow as pa

from artifactscan.errors import UsageError
from artifactscan.judge.answer import AnswerError, parse_answer
from artifactscan.judge.frames_to_judge import read_frame
from artifactscan.judge.judge_request import JudgeRequest
from artifactscan.judge.judgement_tables import ANSWERS, FAILED, JUDGED, unreadable_answer
from artifactscan.judge.prompt import answer_schema
from artifactscan.labels import SEVERITY_COLUMNS
from artifactscan.pipelines.judge.graph import write_answers
from artifactscan.pipelines.judge.progress_line import ProgressLine
from artifactscan.pipelines.ray_cluster.node_losses import LossWatch
from artifactscan.pipelines.ray_cluster.ray_data import make_dataset, ray_errors_as_cut_off

ROWS_PER_BATCH = 16
_KEY = ("file", "frame_index", "ask")


def check_vllm() -> None:
    """UsageError where vLLM is not installed."""
    if find_spec("vllm") is None:
        raise UsageError("--engine vllm needs vLLM on the cluster; install ray[llm] there, or give an --endpoint")


def run_vllm_graph(
    asks: pa.Table, parts: str, *, root: str, request: JudgeRequest, gpus: int, progress: ProgressLine
) -> None:
    """Asks the questions of a vLLM engine on each of ``gpus`` GPUs and writes the answers to ``parts``.

    An answer that is not believed is not asked for again: the engine decodes by the schema. CutOffError as in
    ``run_judge_graph``.
    """
    from ray.data.llm import build_processor, vLLMEngineProcessorConfig

    config = vLLMEngineProcessorConfig(
        model_source=request.model,
        concurrency=gpus,
        batch_size=ROWS_PER_BATCH,
        prepare_multimodal_stage={"enabled": True, "chat_template_content_format": "openai"},
        should_continue_on_error=True,
    )
    processor = build_processor(config, preprocess=lambda row: engine_row(row, root, request))
    with ray_errors_as_cut_off(), LossWatch(), progress:
        answered = processor(make_dataset(asks, ROWS_PER_BATCH)).iter_rows()
        write_answers((_as_table(answer_row(row)) for row in answered), parts, progress)


def engine_row(ask: dict[str, Any], root: str, request: JudgeRequest) -> dict[str, Any]:
    """The engine's row for an ASKS row: chat messages, sampling parameters, and what the answer is found by."""
    row = {name: ask[name] for name in _KEY} | {"neighbour_count": len(ask["neighbours"]), "unreadable": ""}
    try:
        frame = read_frame(ask, root, image_side=request.image_side)
    except OSError as error:  # the engine takes no row without messages
        return row | {"unreadable": str(error), "messages": [{"role": "user", "content": "0"}], "sampling_params": {}}
    body = request.body(frame, second=ask["ask"] > 0)
    sampling = {key: value for key, value in body.items() if key not in ("model", "messages", "response_format")}
    sampling["structured_outputs"] = {"json": answer_schema(second=ask["ask"] > 0)}
    return row | {"messages": body["messages"], "sampling_params": sampling}


def answer_row(row: dict[str, Any]) -> dict[str, Any]:
    """The ANSWERS row of a row that the engine returned."""
    if row["unreadable"]:
        return unreadable_answer(row, f"its image cannot be read: {row['unreadable']}")
    answer = dict.fromkeys(ANSWERS.names) | {name: row[name] for name in _KEY}
    answer |= {
        "outcome": FAILED,
        "neighbours": row["neighbour_count"],
        "requests": 1,
        "prompt_tokens": row.get("num_input_tokens") or 0,
        "completion_tokens": row.get("num_generated_tokens") or 0,
        "seconds": 0.0,
    }
    if error := row.get("__inference_error__"):
        return answer | {"reason": f"the engine failed: {error}"}
    try:
        grades = parse_answer(row["generated_text"])
    except AnswerError as error:
        return answer | {"reason": f"its answer is not believed: {error}"}
    severities = dict(zip(SEVERITY_COLUMNS, grades.severities, strict=True))
    return answer | severities | {"outcome": JUDGED, "note": grades.reason}


def _as_table(row: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist([row], ANSWERS)
