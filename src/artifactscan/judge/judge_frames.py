"""Judges given frames in this process, for a sample small enough to need no cluster."""

from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any

import pyarrow as pa

from artifactscan.judge.endpoint import ChatEndpoint
from artifactscan.judge.frames_to_judge import FrameToJudge, asked_twice
from artifactscan.judge.grader import Grader
from artifactscan.judge.judge_request import JudgeRequest
from artifactscan.judge.judgement_tables import ANSWERS, frame_outcomes, merge_answers
from artifactscan.judge.pace import SharedPace
from artifactscan.storage.storage_errors import as_cut_off_errors


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
    ChatEndpoint(request.endpoint, key=key, timeout_s=request.timeout_s).check_model(request.model)
    grader = Grader(request, key=key, pace=SharedPace(requests_per_minute))
    keys: list[tuple[str, int]] = []

    def asks() -> Iterator[tuple[FrameToJudge, int]]:
        for frame in frames:
            keys.append((frame.file, frame.frame_index))
            yield from ((frame, ask) for ask in range(2 if asked_twice(keys[-1], request.repeat_share) else 1))

    with as_cut_off_errors("give the same command again"):
        rows = list(_grade_all(grader, asks(), concurrent))
    return frame_outcomes(merge_answers([pa.Table.from_pylist(rows, ANSWERS)]), keys)


def _grade_all(grader: Grader, asks: Iterator[tuple[FrameToJudge, int]], concurrent: int) -> Iterator[dict[str, Any]]:
    """ANSWERS rows as they come, of ``concurrent`` questions at a time."""
    under_way: set[Future[dict[str, Any]]] = set()
    with ThreadPoolExecutor(concurrent, thread_name_prefix="judge") as pool:
        try:
            while True:
                for frame, ask in islice(asks, concurrent - len(under_way)):
                    under_way.add(pool.submit(grader.grade, frame, ask=ask))
                if not under_way:
                    return
                done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
