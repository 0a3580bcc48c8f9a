"""The policy file: what it says, and what is wrong with it."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from s3_server import S3Server

from artifactscan.audit.policy import (
    Policy,
    RateLimit,
    RiseLimit,
    as_record,
    load_policy,
    parse_policy,
    policy_in_sentences,
)
from artifactscan.errors import UsageError
from artifactscan.labels import LABELS

WHOLE = """
rates:
  - {label: motion, above: 0.2}
  - {label: texture, above: 0, group: generator=sora}
rises: {significance: 0.01, at_least: 0.02}
min_videos: 50
failed_above: 0.1
canary_shift_above: 0.05
baseline_nights: 7
unproven: [motion, object]
"""
AS_WHOLE = Policy(
    rates=(RateLimit(label="motion", above=0.2), RateLimit(label="texture", above=0, group="generator=sora")),
    rises=RiseLimit(significance=0.01, at_least=0.02),
    min_videos=50,
    failed_above=0.1,
    canary_shift_above=0.05,
    baseline_nights=7,
    unproven=("motion", "object"),
)

shares = st.floats(0, 1)
policies = st.builds(
    Policy,
    rates=st.lists(
        st.builds(RateLimit, label=st.sampled_from(LABELS), above=shares, group=st.text(min_size=1)), max_size=3
    ).map(tuple),
    rises=st.builds(RiseLimit, significance=st.floats(0, 1, exclude_min=True), at_least=shares),
    min_videos=st.integers(1, 10**6),
    failed_above=shares,
    canary_shift_above=shares,
    baseline_nights=st.integers(1, 100),
    unproven=st.lists(st.sampled_from(LABELS), unique=True).map(tuple),
)


def written(folder: Path, text: str | bytes) -> str:
    path = folder / "policy.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def test_a_whole_file(tmp_path: Path) -> None:
    assert load_policy(written(tmp_path, WHOLE)) == AS_WHOLE


def test_without_a_file_and_for_what_it_leaves_out_there_are_defaults(tmp_path: Path) -> None:
    assert load_policy(None) == Policy()
    assert load_policy(written(tmp_path, "rises: {at_least: 0.01}")) == Policy(rises=RiseLimit(at_least=0.01))
    assert load_policy(written(tmp_path, "{}")) == Policy()


def test_from_a_bucket(s3: S3Server) -> None:
    s3.put("policy.yaml", WHOLE.encode())
    assert load_policy(s3.uri("policy.yaml")) == AS_WHOLE
    with pytest.raises(UsageError, match=rf"^policy {s3.uri('none.yaml')} cannot be read: no such object$"):
        load_policy(s3.uri("none.yaml"))


@given(policies)
def test_a_record_reads_back_as_the_policy(policy: Policy) -> None:
    record = as_record(policy)
    assert parse_policy(record, "night") == policy
    assert parse_policy(yaml.safe_load(yaml.safe_dump(record)), "file") == policy


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("failed: 0.1", "a policy has no 'failed' (given as 0.1); known are rates, rises, min_videos, failed_above, "),
        ("1: 2", "a policy has no 1 (given as 2); known are"),
        ("rises: {p: 0.1}", "rises has no 'p' (given as 0.1); known are significance, at_least"),
        (
            "rates: [{label: motion, above: 1, over: 2}]",
            "rates[0] has no 'over' (given as 2); known are label, above, ",
        ),
        ("rates: [{label: motion, above: 1}, {above: 1}]", "rates[1] says no label; it needs label and above"),
        ("rates: [{label: motion}]", "rates[0] says no above; it needs label and above, and may say group"),
        ("rates: [{label: hands, above: 0.1}]", "rates[0].label is 'hands'; known are boundary, texture, motion, obj"),
        ("rates: [{label: [motion], above: 0.1}]", "rates[0].label is ['motion']; known are boundary"),
        ("rates: [{label: motion, above: 20}]", "rates[0].above is 20; give a share between 0 and 1, such as 0.05"),
        (
            "rates: [{label: motion, above: 0, group: 7}]",
            "rates[0].group is 7; give the name of a group, such as gener",
        ),
        ("rates: [{label: motion, above: 0, group: ''}]", "rates[0].group is ''; give the name of a group"),
        ("rates: {label: motion, above: 0.1}", "rates is {'label': 'motion', 'above': 0.1}; give a list of {label, "),
        ("rates:", "rates is without a value; give a list of {label, above, group}"),
        ("rates: [motion]", "rates[0] is the text 'motion'; give `key: value` pairs, known are label, above, group"),
        ("unproven: motion", "unproven is the text 'motion'; give a list of labels, such as [motion]"),
        ("unproven: [hands]", "unproven names the text 'hands'; known are boundary, texture, motion, object"),
        ("rises: 0.05", "rises is 0.05; give `key: value` pairs, known are significance, at_least"),
        ("rises: {significance: 0}", "rises.significance is 0; give a share above 0, or at_least: 1 to let every rise"),
        ("rises: {significance: .nan}", "rises.significance is nan; give a share between 0 and 1"),
        ("rises: {at_least: -0.1}", "rises.at_least is -0.1; give a share between 0 and 1"),
        ("rises: {at_least: .inf}", "rises.at_least is inf; give a share between 0 and 1"),
        ("failed_above: 5 %", "failed_above is the text '5 %'; give a share between 0 and 1"),
        ("failed_above: 1e-2", "failed_above is the text '1e-2'; give a share between 0 and 1"),
        ("failed_above: yes", "failed_above is True; give a share between 0 and 1"),
        ("canary_shift_above:", "canary_shift_above is without a value; give a share between 0 and 1"),
        ("min_videos: 0", "min_videos is 0; give a whole number, 1 or more"),
        ("min_videos: 2.5", "min_videos is 2.5; give a whole number, 1 or more"),
        ("min_videos: true", "min_videos is True; give a whole number, 1 or more"),
        ("baseline_nights: '7'", "baseline_nights is the text '7'; give a whole number, 1 or more"),
        ("- rates", "a policy is ['rates']; give `key: value` pairs, known are rates, rises, min_videos"),
        ("rates", "a policy is the text 'rates'; give `key: value` pairs"),
        ("", "a policy is without a value; give `key: value` pairs"),
    ],
)
def test_invalid_values_are_refused(tmp_path: Path, text: str, message: str) -> None:
    uri = written(tmp_path, text)
    with pytest.raises(UsageError) as raised:
        load_policy(uri)
    assert str(raised.value).startswith(f"policy {uri}: {message}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rates: [", "while parsing a flow node"),
        ("min_videos: 3\nmin_videos: 4", "the key 'min_videos' is given twice"),
        ("rises: {at_least: 0, at_least: 1}", "the key 'at_least' is given twice"),
        (b"\xff\xff\x00", "unacceptable character"),
        ("min_videos: 2024-13-41", "month must be in 1..12"),
        ("rates: !!python/object:os.system {}", "could not determine a constructor"),
        ("[" * 5000, "maximum recursion depth exceeded"),
    ],
)
def test_what_is_not_yaml(tmp_path: Path, text: str | bytes, message: str) -> None:
    uri = written(tmp_path, text)
    with pytest.raises(UsageError) as raised:
        load_policy(uri)
    assert str(raised.value).startswith(f"policy {uri} is not YAML: ")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_uri(tmp_path: Path) -> None:
    assert load_policy(f"file://{written(tmp_path, WHOLE)}") == AS_WHOLE


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"policy .*none\.yaml cannot be read: No such file or directory"):
        load_policy(str(tmp_path / "none.yaml"))


def test_an_invalid_record_names_its_source() -> None:
    with pytest.raises(UsageError, match=r"^night 20260101: min_videos is 0; give a whole number, 1 or more$"):
        parse_policy({"min_videos": 0}, "night 20260101")


def test_in_sentences() -> None:
    assert policy_in_sentences(AS_WHOLE) == (
        "A night fails when more than 20 % of all videos have a motion event.",
        "A night fails when more than 0 % of the videos in generator=sora have a texture event.",
        "A night fails when a label's rate in a group rose by at least 2 points against the baseline, at most "
        "7 nights before it, with a q value (Benjamini–Hochberg) of 0.01 or less.",
        "A rate is not compared when it is of fewer than 50 videos, tonight or in the baseline.",
        "An unproven label, whose scores are not shown to be better than chance on unseen clips, fails no night by a "
        "rise, except motion, object.",
        "A night fails when more than 10 % of its files have no score.",
        "The scorer counts as moved when the score of a canary's frame shifts by more than 0.05, or a canary cannot be "
        "compared.",
    )
    assert not any("at least" in sentence for sentence in policy_in_sentences(Policy()))
