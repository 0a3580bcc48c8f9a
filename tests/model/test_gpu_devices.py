"""Whether the system shows a GPU, without torch."""

from pathlib import Path

import pytest

from artifactscan.model import gpu_devices
from artifactscan.model.gpu_devices import has_gpu


@pytest.mark.parametrize(
    ("devices", "visible", "found"),
    [
        (["nvidia0", "nvidiactl"], None, True),
        (["nvidia0"], "0", True),
        (["dxg"], None, True),
        (["nvidia0"], "", False),
        (["nvidia0"], "-1", False),
        (["nvidiactl", "null"], None, False),
        ([], "0", False),
    ],
)
def test_gpus_are_device_files_that_are_not_hidden(
    devices: list[str], visible: str | None, found: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in devices:
        (tmp_path / name).touch()
    monkeypatch.setattr(gpu_devices, "_DEVICES", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert has_gpu() is found
