"""Estimates what a judgement takes: requests, tokens, minutes and money."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from artifactscan.judge.judge_request import JudgeRequest
from artifactscan.judge.prompt import text_length

CHARS_PER_TOKEN = 4.0
"""Of English text, in the tokenisers in use."""
PIXELS_PER_TOKEN = 750.0
"""Of an image; models differ by a factor of two either way."""
REPLY_TOKENS = 80
"""Of an answer of this schema."""


@dataclass(frozen=True, kw_only=True)
class JudgeCost:
    """What is left of a judgement, and what it takes."""

    frames: int
    """Frames with an open question."""
    requests: int
    """One for each open question; retries come on top."""
    images: int
    prompt_tokens: int
    completion_tokens: int
    minutes: float
    """At the requests per minute that are set."""
    cost: float | None
    """In the currency of the prices; None without prices."""
    measured: bool
    """Whether tokens are those of earlier answers rather than rules of thumb."""


def estimate_judge_cost(
    asks: pa.Table,
    answers: pa.Table,
    request: JudgeRequest,
    *,
    sizes: dict[str, tuple[int, int]],
    requests_per_minute: float,
    prices: Sequence[float] = (),
) -> JudgeCost:
    """The cost of open ASKS.

    ``answers``: ANSWERS that are there, whose mean tokens per request count where they are told; ``sizes``: image →
    width and height in pixels; ``prices``: per million prompt tokens and completion tokens.
    """
    rows = asks.select(["file", "frame_index", "image", "neighbours"]).to_pylist()
    images = [image for row in rows for image in (row["image"], *(near["image"] for near in row["neighbours"]))]
    known = answers.filter(pc.greater(answers["prompt_tokens"], 0))
    if known.num_rows:
        sent = pc.sum(known["requests"]).as_py()
        prompt, completion = (
            round(len(rows) * pc.sum(known[name]).as_py() / sent) for name in ("prompt_tokens", "completion_tokens")
        )
    else:
        pixels = sum(_shown_pixels(sizes[image], request.image_side) for image in images)
        text = len(rows) * text_length(request.guide) / CHARS_PER_TOKEN
        prompt, completion = round(text + pixels / PIXELS_PER_TOKEN), len(rows) * REPLY_TOKENS
    return JudgeCost(
        frames=len({(row["file"], row["frame_index"]) for row in rows}),
        requests=len(rows),
        images=len(images),
        prompt_tokens=prompt,
        completion_tokens=completion,
        minutes=len(rows) / requests_per_minute,
        cost=token_price(prompt, completion, prices),
        measured=known.num_rows > 0,
    )


def token_price(prompt_tokens: int, completion_tokens: int, prices: Sequence[float]) -> float | None:
    """The price of tokens at ``prices`` per million prompt and completion tokens; None without prices."""
    if not prices:
        return None
    return (prompt_tokens * prices[0] + completion_tokens * prices[-1]) / 1e6


def _shown_pixels(size: tuple[int, int], image_side: int) -> float:
    """Pixels of an image of ``size`` after it is scaled down to ``image_side``."""
    scale = min(1.0, image_side / max(size))
    return size[0] * size[1] * scale**2
