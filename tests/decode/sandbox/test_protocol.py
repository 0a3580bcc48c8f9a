"""Every message of a child is checked: invalid ones raise ProtocolError."""

import json
import math
from dataclasses import asdict, fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifactscan.decode.input_spec import InputSpec
from artifactscan.decode.sandbox.protocol import (
    REASON_CHARS,
    ProtocolError,
    max_line_bytes,
    pack_config,
    parse_failure,
    parse_line,
    parse_segment,
    slot_start,
    unpack_config,
)
from artifactscan.decode.video import DecodeLimits, DecodeSettings, VideoFacts
from artifactscan.outcomes import Outcome

SETTINGS = DecodeSettings(
    input=InputSpec(height=384, width=672, resize="area", mean=(0.1, 0.2, 0.3)),
    sample_fps=3.5,
    decoder="pyav",
    segment_frames=5,
    limits=DecodeLimits(video_timeout_s=7.25, max_pixels=9),
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
messages = st.fixed_dictionaries(
    {},
    optional={
        "event": st.sampled_from(["segment", "done", "failed", "ready"]) | json_values,
        "frame_index": st.lists(st.integers(-2, 9) | json_values, max_size=5) | json_values,
        "pts_s": st.lists(st.floats() | json_values, max_size=5) | json_values,
        "outcome": st.sampled_from(list(Outcome)) | json_values,
        "reason": json_values,
        "facts": st.fixed_dictionaries({fact.name: json_values for fact in fields(VideoFacts)}) | json_values,
    },
)


def test_the_settings_arrive_as_they_were_sent() -> None:
    settings, process = unpack_config(pack_config(SETTINGS, nice=3, parent=17))
    assert replace(settings, input=SETTINGS.input) == SETTINGS
    assert tuple(settings.input.mean) == SETTINGS.input.mean
    assert (settings.input.height, settings.input.width, settings.input.resize) == (384, 672, "area")
    assert process == {"nice": 3, "parent": 17}


def test_segments_take_turns_in_two_slots() -> None:
    assert [slot_start(SETTINGS, index) for index in range(4)] == [0, 5 * 384 * 672 * 3] * 2


def test_the_longest_valid_message_fits_into_a_line() -> None:
    numbers = list(range(2**31 - SETTINGS.segment_frames, 2**31))
    text = "\U0001f3ac" * REASON_CHARS
    facts = {fact.name: text if "str" in str(fact.type) else -math.nextafter(0, 1) for fact in fields(VideoFacts)}
    times = [-math.nextafter(0, 1)] * len(numbers)
    line = json.dumps({"event": "done", "frame_index": numbers, "pts_s": times, "facts": facts})
    assert len(line) < max_line_bytes(SETTINGS)


@given(line=st.binary() | st.text().map(str.encode) | json_values.map(lambda value: json.dumps(value).encode()))
def test_a_line_is_an_object_or_a_protocol_error(line: bytes) -> None:
    try:
        assert isinstance(parse_line(line), dict)
    except ProtocolError as error:
        assert error.outcome is Outcome.CRASHED


@given(message=messages)
def test_a_message_is_valid_or_a_protocol_error(message: dict[str, Any]) -> None:
    try:
        part = parse_segment(message, segment_frames=3, last_frame=2)
    except ProtocolError:
        pass
    else:
        assert len(part.frame_index) == len(part.pts_s) <= 3
        assert part.frame_index == sorted(set(part.frame_index))
        assert all(type(number) is int and 2 < number < 2**31 for number in part.frame_index)
        assert all(type(pts) is float and math.isfinite(pts) for pts in part.pts_s)
        assert (part.facts is not None) == (message["event"] == "done")
    try:
        error = parse_failure(message)
    except ProtocolError:
        pass
    else:
        assert error.outcome in set(Outcome) - {Outcome.SCORED, Outcome.PARTIAL, Outcome.UNCHANGED}
        assert len(error.reason.encode()) <= 4 * REASON_CHARS


def test_text_is_cut_and_valid_utf8() -> None:
    facts = asdict(VideoFacts(codec="\ud800h264", fps=24))
    failure = {"event": "failed", "outcome": "undecodable", "reason": "\udcff" + "x" * 9_999, "facts": facts}
    error = parse_failure(parse_line(json.dumps(failure).encode()))
    assert error.outcome is Outcome.UNDECODABLE
    assert error.reason == "?" + "x" * (REASON_CHARS - 1)
    assert (error.facts.codec, error.facts.fps) == ("?h264", 24.0)


@pytest.mark.parametrize("facts", [{"frames_sampled": 1}, asdict(VideoFacts()) | {"colour": "red"}, [], None])
def test_facts_must_have_exactly_the_known_fields(facts: object) -> None:
    with pytest.raises(ProtocolError, match="facts with other fields"):
        parse_segment({"event": "done", "frame_index": [], "pts_s": [], "facts": facts}, 3, -1)


@pytest.mark.parametrize("value", [-1, 2**31, True, 1.0, "1"])
def test_counts_must_be_int32(value: object) -> None:
    facts = asdict(VideoFacts()) | {"frames_sampled": value}
    with pytest.raises(ProtocolError, match="frames_sampled"):
        parse_segment({"event": "done", "frame_index": [], "pts_s": [], "facts": facts}, 3, -1)
