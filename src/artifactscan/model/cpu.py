"""What the processor of this machine computes fast."""

import re
from functools import cache
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")


@cache
def has_fast_bf16() -> bool:
    """Whether bf16 is faster than fp32 here: AMX, AMD's AVX-512 BF16, or ARM's BF16.

    Intel's AVX-512 BF16 without AMX, as virtual machines show it, takes 1.7 times as long as fp32
    (docs/experiments.md). False where the system does not tell.
    """
    try:
        return _has_fast_bf16(_CPUINFO.read_text())
    except OSError:
        return False


def _has_fast_bf16(cpuinfo: str) -> bool:
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", cpuinfo, re.MULTILINE)
    flags = set(found[1].split()) if found else set()
    amd = "AuthenticAMD" in cpuinfo
    return "amx_bf16" in flags or "bf16" in flags or (amd and "avx512_bf16" in flags)
