"""The digest of a spec: stable, and different for each change of what scores depend on."""

from dataclasses import asdict, fields, replace
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from artifactscan.decode.input_spec import InputSpec
from artifactscan.scoring.spec import Spec, digest_of_spec
from artifactscan.storage.digest import digest

SPEC = Spec(
    sample_fps=2.0,
    decoder="auto",
    precision="auto",
    input=InputSpec(height=224, width=224),
    checkpoint_digest="0123456789abcdef",
    decoding_version=1,
)
OTHER = {
    "sample_fps": 4.0,
    "decoder": "decord",
    "precision": "bf16",
    "input": replace(SPEC.input, width=398),
    "checkpoint_digest": "fedcba9876543210",
    "decoding_version": 2,
    "backend": "openvino 2026.4.1",
}
OTHER_INPUT = {"height": 225, "width": 225, "resize": "area", "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def test_a_digest_is_frozen() -> None:
    """Otherwise no stored score would be reused by the next version."""
    assert digest({"b": [1, 2.0, None], "a": "é"}) == "14bd98c300a59a63"
    assert SPEC.digest == "de900907856dcebe"


@given(st.dictionaries(st.text(), JSON, min_size=2))
@settings(max_examples=30)
def test_the_order_of_keys_does_not_matter(values: dict[str, Any]) -> None:
    assert digest(dict(reversed(values.items()))) == digest(values)


def test_the_order_of_entries_and_the_type_of_a_value_matter() -> None:
    different = [[1, 2], [2, 1], ["1", 2], [12], [[1], 2], {"1": 2}, None, False, 0, ""]
    assert len({digest(value) for value in different}) == len(different)


def test_times_and_tuples_have_a_digest() -> None:
    assert digest((1, 2)) == digest([1, 2])
    assert digest(datetime(2026, 1, 1, tzinfo=UTC)) == digest("2026-01-01 00:00:00+00:00")


def test_everything_a_score_depends_on_is_in_the_digest() -> None:
    assert OTHER.keys() == {field.name for field in fields(Spec)}, "another value for each field"
    assert OTHER_INPUT.keys() == {field.name for field in fields(InputSpec)}, "and for each field of the input"
    others = [replace(SPEC, **{name: value}) for name, value in OTHER.items()]
    inputs: list[dict[str, Any]] = [{name: value} for name, value in OTHER_INPUT.items()]
    others += [replace(SPEC, input=replace(SPEC.input, **changed)) for changed in inputs]
    assert len({spec.digest for spec in [SPEC, *others]}) == 1 + len(others)


def test_a_recorded_spec_has_the_digest_of_the_spec() -> None:
    """As the audit asks for it, with and without a backend, and of versions that knew no backends."""
    for spec in (SPEC, replace(SPEC, backend="openvino 2026.4.1")):
        assert digest_of_spec(asdict(spec)) == spec.digest
    before = asdict(SPEC)
    del before["backend"]
    assert digest_of_spec(before) == SPEC.digest
