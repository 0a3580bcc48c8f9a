"""The files, flags and limits named in SECURITY.md are those of the code."""

import re
from dataclasses import fields

import pytest
from paths import ROOT

from artifactscan.audit.settings import MAX_LINK_LIFE_H, AuditSettings
from artifactscan.decode.sandbox.child_process import STDERR_BYTES
from artifactscan.decode.sandbox.protocol import REASON_CHARS
from artifactscan.decode.video import DecodeLimits

TEXT = (ROOT / "SECURITY.md").read_text()


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`([\w/]+\.py)`", TEXT))))
def test_files_exist(name: str) -> None:
    assert any((folder / name).is_file() for folder in (ROOT / "src" / "artifactscan", ROOT))


def test_flags_exist() -> None:
    flags = {f"--{field.name.replace('_', '-')}" for field in fields(AuditSettings)}
    assert set(re.findall(r"(?<=`)--[a-z-]+", TEXT)) <= flags


def test_limits_are_those_of_the_code() -> None:
    limits = DecodeLimits()
    assert f"(`--video-timeout-s`, {limits.video_timeout_s:g} s for" in TEXT
    assert f"`--max-video-s` ({limits.max_video_s / 3600:g} hours)" in TEXT
    assert limits.child_memory_bytes == limits.max_object_bytes == 4 << 30
    assert "`--child-memory-bytes` (4 GiB)" in TEXT and "`--max-object-bytes` (4 GiB)" in TEXT
    assert (limits.max_pixels, MAX_LINK_LIFE_H) == (36_000_000, 7 * 24)
    assert (STDERR_BYTES, REASON_CHARS) == (4 << 10, 500)
