"""What one judge is asked and how: the settings that a judgement depends on, and those of the requests."""

from dataclasses import dataclass, field
from typing import Any

from artifactscan.annotation.labels_table import JUDGE_PREFIX
from artifactscan.judge.frames_to_judge import FrameToJudge
from artifactscan.judge.prompt import PROMPT_VERSION, answer_schema, default_guide, make_messages
from artifactscan.storage.digest import digest

ANSWER_TOKENS = 400
"""Tokens an answer may have unless the request's extra body says otherwise."""


@dataclass(frozen=True, kw_only=True)
class JudgeRequest:
    """A judge behind an OpenAI-compatible endpoint, what it is asked and how."""

    endpoint: str
    """Base URL, such as http://127.0.0.1:8000/v1."""
    model: str
    """Its name at the endpoint."""
    guide: str = field(default_factory=default_guide)
    """The text by which frames are graded."""
    neighbours: int = 1
    """Frames shown on each side of the frame to grade."""
    neighbour_gap_s: float = 1.0
    """Seconds that such a frame may be away."""
    image_side: int = 1024
    """Pixels of an image's longer side, at most."""
    extra_body: dict[str, Any] = field(default_factory=dict)
    """Merged into the body of each request; a value of None removes a key."""
    timeout_s: float = 120.0
    """Seconds one request may take."""
    attempts: int = 5
    """Requests for one answer, the first included."""
    first_wait_s: float = 1.0
    """Seconds before the first retry; doubled each time."""
    repeat_share: float = 0.05
    """Share of the frames that are asked about twice."""

    @property
    def annotator(self) -> str:
        """The name of this judge in a labels table."""
        return f"{JUDGE_PREFIX}{self.model}"

    @property
    def identity(self) -> dict[str, Any]:
        """What the judgements depend on beside the frames; those of another identity are never mixed with them."""
        return {
            "model": self.model,
            "prompt": PROMPT_VERSION,
            "guide": digest(self.guide),
            "neighbours": self.neighbours,
            "neighbour_gap_s": self.neighbour_gap_s,
            "image_side": self.image_side,
            "extra_body": self.extra_body,
        }

    def body(self, frame: FrameToJudge, *, second: bool = False, fault: str = "") -> dict[str, Any]:
        """The body of a chat completion request; ``second`` and ``fault`` as in ``make_messages``."""
        schema = {"name": "grades", "strict": True, "schema": answer_schema(second=second)}
        body = {
            "temperature": 0,
            "max_tokens": ANSWER_TOKENS,
            "response_format": {"type": "json_schema", "json_schema": schema},
            **self.extra_body,
            "model": self.model,
            "messages": make_messages(self.guide, frame, second=second, fault=fault),
        }
        return {key: value for key, value in body.items() if value is not None}
