"""What a judge is asked: the guide, the frame with its neighbours, and the form of the answer."""

import base64
from functools import cache
from importlib import resources
from typing import Any

from artifactscan import storage
from artifactscan.errors import UsageError
from artifactscan.judge.frames_to_judge import FrameToJudge, Shot
from artifactscan.labels import LABELS, MAX_SEVERITY
from artifactscan.storage import storage_errors

PROMPT_VERSION = 1
"""Part of what identifies a judgement; raised when these texts or the answer's form change."""
REASON = "reason"

_ANSWER = (
    "Answer with one JSON object and nothing else: no markup, no text around it. Its keys are {keys}. "
    f'"{REASON}" is a sentence of at most 20 words that names what is wrong and where, or says that nothing is. '
    f"Each label is a whole number from 0 to {MAX_SEVERITY}."
)


@cache
def default_guide() -> str:
    """The package's guide."""
    return resources.files("artifactscan.judge").joinpath("guide.md").read_text()


def read_guide(uri: str) -> str:
    """The guide in a UTF-8 text file, or the package's where ``uri`` is empty; UsageError where it cannot be read."""
    if not uri:
        return default_guide()
    try:
        text = storage.read_bytes(storage.normalise(uri)).decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = storage_errors.describe(error, uri) if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"guide {uri} cannot be read: {reason}") from None
    if missing := [label for label in LABELS if label not in text]:
        raise UsageError(f"guide {uri} does not mention the label {missing[0]}; it must explain {', '.join(LABELS)}")
    return text


def answer_schema(*, second: bool = False) -> dict[str, Any]:
    """The JSON schema of an answer; the reason comes first, so that the grades follow from it.

    ``second``: the labels are in reverse order, so that a repeated question is not word for word the first.
    """
    grade = {"type": "integer", "enum": list(range(MAX_SEVERITY + 1))}
    labels = LABELS[::-1] if second else LABELS
    properties = {REASON: {"type": "string"}, **dict.fromkeys(labels, grade)}
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def make_messages(guide: str, frame: FrameToJudge, *, second: bool = False, fault: str = "") -> list[dict[str, Any]]:
    """The chat messages for one frame; ``fault``: what was wrong with the answer before, if there was one."""
    keys = ", ".join(f'"{key}"' for key in answer_schema(second=second)["properties"])
    content: list[dict[str, Any]] = []
    for shot in sorted((frame.shot, *frame.neighbours), key=lambda shot: shot.pts_s):
        content += [{"type": "text", "text": _caption(shot, frame)}, _image(shot)]
    request = f"Grade the frame at {frame.shot.pts_s:.2f} s."
    if fault:
        request += f" Your last answer could not be used ({fault})."
    content.append({"type": "text", "text": f"{request} {_ANSWER.format(keys=keys)}"})
    return [{"role": "system", "content": guide}, {"role": "user", "content": content}]


def text_length(guide: str) -> int:
    """Characters of text in the messages for one frame without neighbours, for estimates."""
    return len(guide) + len(_ANSWER) + 120


def _caption(shot: Shot, frame: FrameToJudge) -> str:
    if shot is frame.shot:
        return f"The frame to grade, at {shot.pts_s:.2f} s:"
    offset = shot.pts_s - frame.shot.pts_s
    return f"For comparison, {abs(offset):.2f} s {'later' if offset > 0 else 'earlier'}:"


def _image(shot: Shot) -> dict[str, Any]:
    data = base64.b64encode(shot.jpeg).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{data}"}}
