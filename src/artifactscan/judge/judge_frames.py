"""Judges frames in this process, for a sample small enough to need no cluster, such as an audit's."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any, TypeVar

import pyarrow as pa

from artifactscan.judge.endpoint import ChatEndpoint
from artifactscan.judge.frames_to_judge import FrameKey, FrameToJudge, asked_twice, plan_asks
from artifactscan.judge.grader import Grader
from artifactscan.judge.judge_request import JudgeRequest
from artifactscan.judge.judgement_tables import ANSWERS, frame_outcomes, merge_answers
from artifactscan.judge.pace import SharedPace
from artifactscan.storage.storage_errors import as_cut_off_errors

Question = TypeVar("Question")


def judge_frames(
    frames: Iterable[FrameToJudge],
    request: JudgeRequest,
    *,
    key: str | None = None,
    requests_per_minute: float = 60.0,
    concurrent: int = 8,
) -> pa.Table:
    """Has a judge grade ``frames`` and returns FRAME_OUTCOMES, one row per frame; ``labels_of`` makes labels of them.

    ``frames`` is consumed as requests are sent, so that few images are in memory; ``key``: of the endpoint;
    ``concurrent``: requests at a time. UsageError where the endpoint cannot be used or lacks the model, CutOffError
    where it becomes unusable on the way.
    """
    grader, keys = _make_grader(request, key, requests_per_minute), list[FrameKey]()

    def questions() -> Iterator[tuple[FrameToJudge, int]]:
        for frame in frames:
            keys.append((frame.file, frame.frame_index))
            yield from ((frame, ask) for ask in range(2 if asked_twice(keys[-1], request.repeat_share) else 1))

    answers = _ask_all(lambda question: grader.grade(question[0], ask=question[1]), questions(), concurrent)
    return frame_outcomes(answers, keys)


def judge_index(
    index: pa.Table,
    root: str,
    wanted: Iterable[FrameKey],
    request: JudgeRequest,
    *,
    key: str | None = None,
    requests_per_minute: float = 60.0,
    concurrent: int = 8,
) -> pa.Table:
    """Has a judge grade the ``wanted`` frames of an INDEX, whose images are below ``root``; else as ``judge_frames``.

    The other frames of the index serve as neighbours. A frame whose images cannot be read is failed.
    """
    wanted = sorted(set(wanted))
    grader = _make_grader(request, key, requests_per_minute)
    asks = plan_asks(
        index,
        wanted,
        neighbours=request.neighbours,
        gap_s=request.neighbour_gap_s,
        repeat_share=request.repeat_share,
    )
    answers = _ask_all(lambda ask: grader.grade_ask(ask, root), iter(asks.to_pylist()), concurrent)
    return frame_outcomes(answers, wanted)


def _make_grader(request: JudgeRequest, key: str | None, requests_per_minute: float) -> Grader:
    ChatEndpoint(request.endpoint, key=key, timeout_s=request.timeout_s).check_model(request.model)
    return Grader(request, key=key, pace=SharedPace(requests_per_minute))


def _ask_all(ask: Callable[[Question], dict[str, Any]], questions: Iterator[Question], concurrent: int) -> pa.Table:
    """Merged ANSWERS of all questions, of which ``concurrent`` are asked at a time."""
    rows: list[dict[str, Any]] = []
    under_way: set[Future[dict[str, Any]]] = set()
    pool = ThreadPoolExecutor(concurrent, thread_name_prefix="judge")
    with as_cut_off_errors("give the same command again"):
        try:
            while True:
                under_way |= {pool.submit(ask, question) for question in islice(questions, concurrent - len(under_way))}
                if not under_way:
                    break
                done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                rows += [future.result() for future in done]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    return merge_answers([pa.Table.from_pylist(rows, ANSWERS)])
