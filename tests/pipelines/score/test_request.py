"""By what a call of the job is known again."""

from dataclasses import fields, replace
from importlib.metadata import PackageNotFoundError
from typing import Any

import pytest
from checkpoints import CHECKPOINT

from artifactscan.errors import UsageError
from artifactscan.pipelines.score import request
from artifactscan.pipelines.score.request import Request, make_request
from artifactscan.scoring.settings import ScoreSettings

SETTINGS = ScoreSettings(input="/clips", output="/scores")

ANOTHER: dict[str, tuple[Any, str]] = {
    # field: another value, and the part of the request that it changes
    "input": ("/clips2", "scope"),
    "include": (("*.mp4",), "scope"),
    "exclude": (("*.gif",), "scope"),
    "limit": (5, "scope"),
    "since": ("2026-11-01", "scope"),
    "sample_fps": (4.0, "spec"),
    "decoder": ("pyav", "spec"),
    "video_timeout_s": (1.0, "limits"),
    "child_memory_bytes": (1, "limits"),
    "max_pixels": (1, "limits"),
    "max_video_s": (1.0, "limits"),
    "max_object_bytes": (1, "limits"),
    "output": ("/scores2", ""),
    "checkpoint": ("/the/same/elsewhere", ""),
    "retry_failed": (True, ""),
    "plan": (True, ""),
    "segment_frames": (8, ""),
    "batch_frames": (8, ""),
    "device": ("cpu", ""),
    "precision": ("fp32", "spec"),
    "compile": (True, ""),
    "decode_actors": (3, ""),
    "classify_actors": (3, ""),
    "slice_bytes": (0, ""),
    "shared_filesystem": (True, ""),
    "node_wait_s": (1.0, ""),
    "price_per_hour": ((1.0,), ""),
    "node_cpus": (4, ""),
    "log_format": ("json", ""),
    "max_failed": (1.0, ""),
    "quiet": (True, ""),
    "executor": ("local", ""),
}


def changed(made: Request) -> set[str]:
    """The parts of a request that differ from those of SETTINGS."""
    usual = make_request(SETTINGS, CHECKPOINT)
    return {part for part in ("spec", "scope", "limits") if getattr(made, part) != getattr(usual, part)}


def test_a_request_is_the_same_each_time() -> None:
    made = make_request(SETTINGS, CHECKPOINT)
    assert make_request(replace(SETTINGS), replace(CHECKPOINT)).digest == made.digest
    assert (made.spec.sample_fps, made.spec.input) == (2.0, CHECKPOINT.card.input)
    assert made.spec.checkpoint_digest == CHECKPOINT.digest


def test_the_table_above_covers_every_setting() -> None:
    assert ANOTHER.keys() == {field.name for field in fields(ScoreSettings)}


@pytest.mark.parametrize("name", ANOTHER)
def test_each_setting_changes_its_own_part_of_the_request(name: str) -> None:
    value, part = ANOTHER[name]
    made = make_request(replace(SETTINGS, **{name: value}), CHECKPOINT)
    assert changed(made) == ({part} if part else set())
    assert (made.digest != make_request(SETTINGS, CHECKPOINT).digest) is bool(part)


def test_other_weights_are_another_spec() -> None:
    assert changed(make_request(SETTINGS, replace(CHECKPOINT, weights=b"other"))) == {"spec"}


def test_a_missing_second_decoder_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert request.note_on_decoders(SETTINGS) is None
    usual = make_request(SETTINGS, CHECKPOINT)
    monkeypatch.setattr(request, "decoders_to_try", lambda choice: ("pyav",))
    assert make_request(SETTINGS, CHECKPOINT) == usual, "a run that was cut off elsewhere is continued"
    assert request.note_on_decoders(SETTINGS) == (
        "decord is not installed here: a video that pyav cannot decode is tried by no second decoder"
    )
    assert request.note_on_decoders(replace(SETTINGS, decoder="pyav")) is None


def test_spellings_of_one_path_are_one_scope() -> None:
    for spelling in ("/clips/", "/in/../clips", "file:///clips"):
        assert changed(make_request(replace(SETTINGS, input=spelling), CHECKPOINT)) == set()


def test_the_version_of_torchcodec_is_part_of_the_spec(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = replace(SETTINGS, decoder="nvdec")
    digests = set()
    for version in ("0.17.0", "0.18.0"):
        monkeypatch.setattr(request, "version", {"torchcodec": version}.__getitem__)
        made = make_request(settings, CHECKPOINT)
        assert made.spec.decoder == f"nvdec by torchcodec {version}"
        assert changed(made) == {"spec"}
        digests.add(made.digest)
    assert len(digests) == 2


def test_nvdec_without_torchcodec_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(package: str) -> str:
        raise PackageNotFoundError(package)

    monkeypatch.setattr(request, "version", missing)
    with pytest.raises(UsageError, match=r"^--decoder nvdec needs torchcodec: pip install 'artifactscan\[nvdec\]'$"):
        make_request(replace(SETTINGS, decoder="nvdec"), CHECKPOINT)
