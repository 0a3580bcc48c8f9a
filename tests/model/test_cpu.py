"""On which processors bf16 is the faster."""

from pathlib import Path

import pytest

from artifactscan.model import cpu

AMD = "vendor_id\t: AuthenticAMD\nflags\t\t: fpu avx2 avx512f {}\n"
INTEL = "vendor_id\t: GenuineIntel\nflags\t\t: fpu avx2 avx512f {}\n"


@pytest.mark.parametrize(
    ("cpuinfo", "fast"),
    [
        (AMD.format("avx512_bf16"), True),
        (AMD.format(""), False),
        (INTEL.format("avx512_bf16 amx_tile amx_bf16"), True),
        (INTEL.format("avx512_bf16"), False),
        ("processor : 0\nFeatures : fp asimd bf16 i8mm\n", True),
        ("processor : 0\nFeatures : fp asimd\n", False),
        ("", False),
    ],
)
def test_bf16_by_what_the_system_says(
    cpuinfo: str, fast: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    monkeypatch.setattr(cpu, "_CPUINFO", tmp_path / "cpuinfo")
    cpu.has_fast_bf16.cache_clear()
    try:
        assert cpu.has_fast_bf16() is fast
    finally:
        cpu.has_fast_bf16.cache_clear()


def test_a_system_that_does_not_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "_CPUINFO", tmp_path / "none")
    cpu.has_fast_bf16.cache_clear()
    assert cpu.has_fast_bf16() is False
    cpu.has_fast_bf16.cache_clear()
