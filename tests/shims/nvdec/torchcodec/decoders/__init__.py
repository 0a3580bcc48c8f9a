"""The part of torchcodec.decoders that artifactscan calls."""

import os
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch

_ROW_BYTES = 256
"""NVDEC's rows are multiples of this."""
_fault: dict[str, Any] = {}


class CpuFallbackStatus:
    def __init__(self, fallback: bool):
        self.status_known = True
        self._fallback = fallback

    def __bool__(self) -> bool:
        return self._fallback

    def __str__(self) -> str:
        said = "Falling back due to: Video not supported" if self._fallback else "No fallback required"
        return f"[CUDA] Fallback status: {said}"


class VideoDecoder:
    def __init__(
        self,
        source: str,
        *,
        stream_index: int | None = None,
        dimension_order: str = "NCHW",
        num_ffmpeg_threads: int = 1,
        device: str | torch.device | None = None,
        seek_mode: str = "exact",
        transforms: object = None,
        output_dtype: object = torch.uint8,
        custom_frame_mappings: object = None,
    ):
        _check_device(device)
        if seek_mode not in ("exact", "approximate"):
            raise ValueError(f"Invalid seek mode ({seek_mode}).")
        _run_fault(source)
        with av.open(source) as container:
            assert container.streams[stream_index].type == "video"
        self.cpu_fallback = CpuFallbackStatus(bool(_fault.get("fallback")))


class Packet:
    def __init__(self, packet: av.Packet, stream_index: int):
        self.stream_index = stream_index
        self._packet = packet


class Demuxer:
    def __init__(self, source: str, *, streams: str | int | tuple[str | int, ...] = "video"):
        assert isinstance(streams, int)
        self._container = av.open(source)
        stream = self._container.streams[streams]
        self._packets = self._container.demux(stream)
        self.streams = (VideoStream(stream),)

    def __iter__(self) -> "Demuxer":
        return self

    def __next__(self) -> Packet:
        packet = next(self._packets)
        if packet.dts is None and not packet.size:  # PyAV's last one, which would drain the decoder
            raise StopIteration
        return Packet(packet, packet.stream.index)


class VideoStream:
    def __init__(self, stream: Any):
        self.index = stream.index
        self._stream = stream

    def make_decoder(
        self, device: str | torch.device | None = None, *, num_ffmpeg_threads: int = 1
    ) -> "VideoPacketDecoder":
        _check_device(device)
        return VideoPacketDecoder(self._stream)


class VideoPacketDecoder:
    def __init__(self, stream: Any):
        self._context, self._time_base = stream.codec_context, stream.time_base
        self._drained, self._frames = False, 0

    def decode(self, packet: Packet) -> list["RawFrame"]:
        if self._drained:
            raise RuntimeError("This decoder has been drained")
        return self._raw(self._context.decode(packet._packet))

    def drain(self) -> list["RawFrame"]:
        self._drained = True
        return self._raw(self._context.decode(None))

    def reset(self) -> None:
        self._context.flush_buffers()
        self._drained = False

    def _raw(self, frames: list[av.VideoFrame]) -> list["RawFrame"]:
        made = []
        for frame in frames:
            number, self._frames = self._frames, self._frames + 1
            if number != _fault.get("lost"):
                noise = _fault.get("noise", 0) if number >= _fault.get("noise_from", 0) else 0
                made.append(RawFrame(frame, frame.pts * self._time_base, noise))
        return made


class RawFrame:
    """Its planes are views of one allocation with padded rows and interleaved chroma, as NVDEC's NV12 is."""

    def __init__(self, frame: av.VideoFrame, pts_s: Fraction, noise: int):
        assert frame.format.name in ("yuv420p", "yuvj420p"), "NVDEC gives NV12"
        self.width, self.height = frame.width, frame.height
        self.pixel_format = "nv12"
        self.pts_seconds = float(pts_s)
        y, u, v = (torch.from_numpy(_rows(plane) + np.uint8(noise)) for plane in frame.planes)
        pitch = -(-2 * u.shape[1] // _ROW_BYTES) * _ROW_BYTES
        storage = torch.zeros((y.shape[0] + u.shape[0], pitch), dtype=torch.uint8)
        luma, chroma = storage[: y.shape[0], : y.shape[1]], storage[y.shape[0] :, : 2 * u.shape[1]]
        luma[:] = y
        chroma[:, 0::2], chroma[:, 1::2] = u, v
        self.planes = (luma, chroma[:, 0::2], chroma[:, 1::2])


def set_nvdec_cache_capacity(capacity: int) -> None:
    if capacity < 0:
        raise RuntimeError("NVDEC cache capacity must be non-negative")


def _rows(plane: Any) -> np.ndarray:
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]


def _check_device(device: object) -> None:
    if device != "cuda":
        raise RuntimeError(f"the stand-in has no device {device}")


def _run_fault(source: str) -> None:
    _fault.clear()
    beside = Path(__file__).parents[1] / "fault.py"
    code = beside.read_bytes() if beside.exists() else Path(source).read_bytes().partition(b"#!nvdec")[2]
    if code:
        _fault.update(torch=torch, os=os, time=time)
        exec(compile(code, "fault", "exec"), _fault)
