"""Has one frame graded: requests at the common pace, with retries, until an answer is believed or none will come."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from artifactscan.judge.answer import AnswerError, Grades, parse_answer
from artifactscan.judge.endpoint import (
    ChatEndpoint,
    JudgeUnusableError,
    RefusedError,
    Reply,
    RetryableError,
    UnansweredError,
)
from artifactscan.judge.frames_to_judge import FrameToJudge, read_frame
from artifactscan.judge.judge_request import JudgeRequest
from artifactscan.judge.judgement_tables import FAILED, JUDGED, REFUSED, unreadable_answer
from artifactscan.judge.pace import MAX_FAILURES_IN_A_ROW, Pace
from artifactscan.labels import SEVERITY_COLUMNS
from artifactscan.storage.retries import wait_s

LONGEST_WAIT_S = 60.0
"""The longest wait between two tries, unless the endpoint asks for another."""


@dataclass
class _Ask:
    """What became of one question so far."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    model: str | None = None
    outcome: str = FAILED
    reason: str | None = None
    grades: Grades | None = None

    def add(self, reply: Reply) -> None:
        self.model = reply.model
        self.prompt_tokens += reply.prompt_tokens
        self.completion_tokens += reply.completion_tokens


class Grader:
    """Asks one judge about frames; safe for several threads."""

    def __init__(self, request: JudgeRequest, *, key: str | None, pace: Pace):
        self._request, self._pace = request, pace
        self._endpoint = ChatEndpoint(request.endpoint, key=key, timeout_s=request.timeout_s)

    def grade(self, frame: FrameToJudge, *, ask: int = 0) -> dict[str, Any]:
        """An ANSWERS row for a frame; ``ask``: 1 for the second question about it.

        JudgeUnusableError where no frame can be judged, also after MAX_FAILURES_IN_A_ROW frames without a judgement.
        """
        started, state = time.monotonic(), _Ask()
        self._ask(frame, ask, state)
        failures = self._pace.record(state.outcome == JUDGED)
        if failures >= MAX_FAILURES_IN_A_ROW:
            raise JudgeUnusableError(
                f"{self._request.model} judged none of the last {failures} frames, the last one because {state.reason}"
            )
        severities = state.grades.severities if state.grades else (None,) * len(SEVERITY_COLUMNS)
        return {
            "file": frame.file,
            "frame_index": frame.frame_index,
            "ask": ask,
            "outcome": state.outcome,
            "reason": state.reason,
            **dict(zip(SEVERITY_COLUMNS, severities, strict=True)),
            "note": state.grades.reason if state.grades else None,
            "neighbours": len(frame.neighbours),
            "model": state.model,
            "requests": state.requests,
            "prompt_tokens": state.prompt_tokens,
            "completion_tokens": state.completion_tokens,
            "seconds": time.monotonic() - started,
        }

    def grade_ask(self, ask: Mapping[str, Any], root: str) -> dict[str, Any]:
        """An ANSWERS row for a row of ASKS, whose images are below ``root``; else as ``grade``."""
        try:
            frame = read_frame(ask, root, image_side=self._request.image_side)
        except OSError as error:
            return unreadable_answer(ask, f"its image cannot be read: {error}")
        return self.grade(frame, ask=ask["ask"])

    def _ask(self, frame: FrameToJudge, ask: int, state: _Ask) -> None:
        """Sends requests until one settles the question, and leaves its outcome in ``state``."""
        fault = ""
        while state.requests < self._request.attempts:
            time.sleep(self._pace.reserve())
            state.requests += 1
            try:
                reply = self._endpoint.ask(self._request.body(frame, second=ask > 0, fault=fault))
                state.add(reply)
                state.grades = parse_answer(reply.text)
                state.outcome, state.reason = JUDGED, None
                return
            except RefusedError as error:
                state.outcome, state.reason = REFUSED, str(error)
                return
            except UnansweredError as error:
                state.reason = str(error)
                return
            except AnswerError as error:
                fault = str(error)
                state.reason = f"its answer is not believed: {fault}"
            except RetryableError as error:
                state.reason = str(error)
                if error.after_s is not None:
                    self._pace.pause(error.after_s)
                elif state.requests < self._request.attempts:
                    time.sleep(wait_s(state.requests, first_s=self._request.first_wait_s, longest_s=LONGEST_WAIT_S))
