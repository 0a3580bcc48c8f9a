"""The messages between a decoding process and its parent: JSON lines by pipe, pixels by a shared file.

- to the child: ``{"decode": path, "decoder": name, "slice": [number, of]}``, then ``{"taken": index}`` for each
  segment copied out;
- from the child: ``{"event": "ready"}`` once; then for each video any number of ``segment`` and one ``done``,
  ``failed`` or ``whole`` (it cannot be decoded in slices). ``segment`` and ``done`` carry ``frame_index``,
  ``pts_s`` and, where there are frames around the slice, ``context`` (true for those); the pixels of a video's
  segment ``i`` are in slot ``i % SLOTS`` of the shared file, so the child is at most SLOTS segments ahead.

The child decodes untrusted bytes and may be taken over by them, so the parent checks the types, counts and bounds of
each message, and nothing is ever unpickled.
"""

import json
import math
from dataclasses import asdict, dataclass, fields
from typing import Any, get_args

from artifactscan.decode.input_spec import InputSpec
from artifactscan.decode.video import DecodeError, DecodeLimits, DecodeSettings, VideoFacts
from artifactscan.outcomes import Outcome

SLOTS = 2
"""Segments that fit into the shared file: one is written while the other is copied out."""
REASON_CHARS = 500
"""The longest text taken from a child."""

_BASE_LINE_BYTES = 1 << 16
_FRAME_LINE_BYTES = 64  # for each frame of a segment: an int32 and a double in decimal
_INT32_MAX = 2**31 - 1
_FAILURES = frozenset({Outcome.UNDECODABLE, Outcome.CRASHED, Outcome.TOO_LARGE, Outcome.UNREADABLE})
_FACT_TYPES: dict[str, type] = {fact.name: get_args(fact.type)[0] for fact in fields(VideoFacts)}


class ProtocolError(DecodeError):
    """The child sent a message that the protocol does not allow, which counts as a crash."""

    def __init__(self, message: str):
        super().__init__(Outcome.CRASHED, f"the decoding process broke the protocol: {message}")


@dataclass(frozen=True, kw_only=True)
class SegmentMessage:
    """A checked ``segment`` message, or with ``facts`` a ``done`` message."""

    frame_index: list[int]
    pts_s: list[float]
    context: list[bool]
    facts: VideoFacts | None


def frame_bytes(settings: DecodeSettings) -> int:
    """Bytes of one frame of uint8 RGB."""
    return settings.input.height * settings.input.width * 3


def frames_within(segment_bytes: int, settings: DecodeSettings) -> int:
    """How many frames a segment of ``segment_bytes`` of pixels holds, at least one."""
    return max(1, segment_bytes // frame_bytes(settings))


def slot_start(settings: DecodeSettings, index: int) -> int:
    """Offset in bytes of the pixels of a video's segment ``index`` in the shared file."""
    return index % SLOTS * settings.segment_frames * frame_bytes(settings)


def shared_bytes(settings: DecodeSettings) -> int:
    """Size of the shared file."""
    return SLOTS * settings.segment_frames * frame_bytes(settings)


def max_line_bytes(settings: DecodeSettings) -> int:
    """The longest line that a child may send."""
    return _BASE_LINE_BYTES + settings.segment_frames * _FRAME_LINE_BYTES


def pack_config(settings: DecodeSettings, **process: int) -> str:
    """The child's only argument: the settings, its ``nice``, the ``parent`` pid and its file descriptors."""
    return json.dumps({"settings": asdict(settings), **process})


def unpack_config(argument: str) -> tuple[DecodeSettings, dict[str, int]]:
    """The settings and the other arguments of ``pack_config``."""
    process = json.loads(argument)
    raw = process.pop("settings")
    parts = {"input": InputSpec(**raw.pop("input")), "limits": DecodeLimits(**raw.pop("limits"))}
    return DecodeSettings(**raw, **parts), process


def parse_line(line: bytes) -> dict[str, Any]:
    """One line from the child as a JSON object; raises ProtocolError for anything else."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        raise ProtocolError(f"{line[:50]!r} is not JSON") from None
    if not isinstance(message, dict):
        raise ProtocolError(f"{line[:50]!r} is not an object")
    return message


def parse_segment(message: dict[str, Any], segment_frames: int, last_frame: int) -> SegmentMessage:
    """A ``segment`` or ``done`` message with frames after ``last_frame``; raises ProtocolError for anything else."""
    event, frame_index, pts_s = (message.get(key) for key in ("event", "frame_index", "pts_s"))
    if event not in ("segment", "done"):
        raise ProtocolError(f"event {event!r:.50}")
    if not (isinstance(frame_index, list) and isinstance(pts_s, list) and len(frame_index) == len(pts_s)):
        raise ProtocolError("frame_index and pts_s do not match")
    context = message.get("context", [False] * len(pts_s))
    if not (isinstance(context, list) and len(context) == len(pts_s) and all(type(one) is bool for one in context)):
        raise ProtocolError("context does not match frame_index")
    if len(frame_index) > segment_frames or (event == "segment" and not frame_index):
        raise ProtocolError(f"a segment of {len(frame_index)} frames")
    for number in frame_index:
        if type(number) is not int or not last_frame < number <= _INT32_MAX:
            raise ProtocolError(f"frame_index {number!r:.50} after {last_frame}")
        last_frame = number
    return SegmentMessage(
        frame_index=frame_index,
        pts_s=[_check_fact("pts_s", pts, float) for pts in pts_s],
        context=context,
        facts=_check_facts(message.get("facts")) if event == "done" else None,
    )


def parse_failure(message: dict[str, Any]) -> DecodeError:
    """A ``failed`` message; raises ProtocolError for anything else."""
    outcome, reason = message.get("outcome"), message.get("reason")
    if not (isinstance(outcome, str) and outcome in _FAILURES and isinstance(reason, str)):
        raise ProtocolError(f"outcome {outcome!r:.50}")
    return DecodeError(Outcome(outcome), _storable(reason), _check_facts(message.get("facts")))


def _check_facts(raw: object) -> VideoFacts:
    if not isinstance(raw, dict) or raw.keys() != _FACT_TYPES.keys():
        raise ProtocolError("facts with other fields than VideoFacts")
    known = {name: value for name, value in raw.items() if value is not None}
    return VideoFacts(**{name: _check_fact(name, value, _FACT_TYPES[name]) for name, value in known.items()})


def _check_fact(name: str, value: Any, kind: type) -> Any:
    if kind is str and type(value) is str:
        return _storable(value)
    if kind in (int, float) and type(value) is int and 0 <= value <= _INT32_MAX:
        return kind(value)
    if kind is float and type(value) is float and math.isfinite(value):
        return value
    raise ProtocolError(f"{name} {value!r:.50}")


def _storable(text: str) -> str:
    """Cut to REASON_CHARS, without the lone surrogates that UTF-8 (and so Arrow) refuses."""
    return text[:REASON_CHARS].encode(errors="replace").decode()
