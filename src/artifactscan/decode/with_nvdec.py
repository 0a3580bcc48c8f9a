"""Decoding on a GPU's NVDEC engines with torchcodec: PyAV's frames bit for bit, or none.

What to decode is planned from the packets, as for PyAV. NVDEC's samples come back as they are, YUV 4:2:0 of 8 bits, and
are scaled and converted by the same code as PyAV's. H.264, HEVC, VP8, VP9 and AV1 prescribe every bit of them: PyAV
decodes the first frame of each video too, and NVDEC's must be equal to it.

Its limits: a packet whose content is damaged goes unnoticed, as NVDEC conceals the damage; where the container shows
damage, the video is refused. So is whatever cannot be decoded exactly; PyAV then decodes it.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from functools import partial
from typing import Any, NoReturn, cast

import av
import numpy as np
from av.error import FFmpegError

from artifactscan.decode.containers import OpenVideo, has_known_signature, open_video
from artifactscan.decode.output import FrameOutput, Sink
from artifactscan.decode.packets import DecodePlan, GroupOfPictures
from artifactscan.decode.selective import PlannedPackets, plan_packets
from artifactscan.decode.slices import WHOLE, Slice
from artifactscan.decode.video import DecodeError, DecodeSettings, VideoFacts
from artifactscan.outcomes import Outcome

CODECS: tuple[str, ...] = ("h264", "hevc", "vp8", "vp9", "av1")
"""Those that NVDEC decodes and whose standards prescribe every bit; MPEG-4 leaves the inverse transform to rounding."""
_FORMATS = ("yuv420p", "yuvj420p")
"""Pixel formats of PyAV's frames whose samples NVDEC gives unchanged; it would round those of more bits to 8."""
_CACHED_ENGINES = 1
"""Idle decoders that torchcodec keeps, each with surfaces of tens of MB; by default 20."""


def load_nvdec(memory_bytes: int) -> Callable[..., VideoFacts]:
    """decode_nvdec, once the GPU is ready; where there is none, a function that refuses every video, with the reason.

    ``memory_bytes``: of the GPU, that torch may use in this process: for frames, beside NVDEC's own surfaces.
    """
    try:
        import torch
        import torchcodec  # pyright: ignore[reportMissingImports]
        from torchcodec import decoders  # pyright: ignore[reportMissingImports]
    except (ImportError, OSError, RuntimeError) as error:
        return partial(_refuse_all, f"torchcodec cannot be imported ({_first_line(error)})")
    if not hasattr(decoders, "Demuxer"):
        return partial(_refuse_all, f"torchcodec is {torchcodec.__version__}, and 0.17 or later is needed")
    if not torch.cuda.is_available():
        return partial(_refuse_all, f"torch {torch.__version__} finds no GPU")
    if torchcodec.ffmpeg_major_version is None:
        needs = f"shared libraries of FFmpeg 4 to 9, and a torch built for the same CUDA; torch is {torch.__version__}"
        return partial(_refuse_all, f"torchcodec {torchcodec.__version__} cannot load: it needs {needs}")
    try:
        torch.cuda.synchronize()  # makes the CUDA context, which then does not count against a video
        torch.cuda.set_per_process_memory_fraction(min(1.0, memory_bytes / torch.cuda.mem_get_info()[1]))
        decoders.set_nvdec_cache_capacity(_CACHED_ENGINES)
    except RuntimeError as error:
        return partial(_refuse_all, f"the GPU cannot be used ({_first_line(error)})")
    return decode_nvdec


def decode_nvdec(
    path: str,
    settings: DecodeSettings,
    sink: Sink,
    slice: Slice = WHOLE,
    context_sink: Sink | None = None,
    *,
    device: str = "cuda",
) -> VideoFacts:
    """Gives ``sink`` each distinct frame on screen at a sampling time, in order; returns the video's facts.

    ``context_sink`` gets the ``context_frames`` of the settings before and after those of a slice. ``device``: of
    torchcodec; "cpu" decodes with its FFmpeg.

    Raises DecodeError: TOO_LARGE, UNDECODABLE for all that NVDEC does not decode exactly, CRASHED where CUDA cannot go
    on in this process; MemoryError and OSError propagate.
    """
    facts = VideoFacts(decoder="nvdec")
    output = FrameOutput(settings, sink, facts, context_sink)
    with open_video(path, settings.limits, facts) as video:
        output.show_as(video)
        if facts.codec not in CODECS:
            _refuse(f"its codec {facts.codec} is not one of {', '.join(CODECS)}", facts)
        if not has_known_signature(path):
            _refuse(f"torchcodec is given mp4, mkv, avi and flv files only, this one is {facts.container}", facts)
        packets = PlannedPackets(path, video, settings, facts)
        plan = plan_packets(packets, video, settings, slice, output)
        if plan is None or plan.stray_parameters:
            _refuse("its packets do not show which of them to decode", facts)
        if video.joined or not all(note.intact for note in plan.notes):
            _refuse(
                "packets are damaged or missing, or other recordings follow, which torchcodec does not notice", facts
            )
        if not plan.groups:
            return output.finish(may_be_empty=slice != WHOLE)
        first = _decode_first(packets, video, plan, facts)
        stream, time_base = video.stream.index, video.time_base
    frames = _SampledFrames(first, plan, time_base, output)
    # torchcodec gets this path, so the file's own name has no meaning for its FFmpeg.
    descriptor = os.open(path, os.O_RDONLY)
    try:
        _decode(f"/dev/fd/{descriptor}", stream, device, plan.groups, frames)
    except (RuntimeError, ValueError, AssertionError) as error:
        raise _failure(error, device, facts) from None
    finally:
        os.close(descriptor)
    if not frames.is_checked or frames.delivered < len(plan.packet_of_frame):
        _refuse(f"NVDEC gave {frames.delivered} of {len(plan.packet_of_frame)} sampled frames", facts)
    return output.finish(may_be_empty=slice != WHOLE)


class _SampledFrames:
    """Takes NVDEC's frames in presentation order and delivers the sampled ones.

    ``first``: a frame of the same packets by PyAV, to compare; its tags and side data are those of all frames.
    """

    def __init__(self, first: av.VideoFrame, plan: DecodePlan, time_base: Fraction, output: FrameOutput):
        self.delivered, self.is_checked = 0, False
        self._first_pts, self._first_samples = first.pts, [samples.copy() for samples in _samples_of(first)]
        self._plan, self._time_base, self._output = plan, time_base, output
        self._frame = first
        self._frame.make_writable()  # PyAV's decoder may hold the same memory

    def add(self, raw: Any) -> None:
        """Takes a RawFrame of torchcodec; raises DecodeError where it is not one of this video."""
        pts = round(raw.pts_seconds / self._time_base)
        if (raw.width, raw.height) != (self._frame.width, self._frame.height):
            _refuse("its frames change their size", self._output.facts)
        if pts == self._first_pts:
            self._check_first(raw)
        index = self._plan.frame_of_pts.get(pts)
        if index is None or index <= self._output.last_index:
            return
        for place, samples in zip(_samples_of(self._frame), _samples_of_raw(raw), strict=True):
            place[:] = samples
        self._output.deliver(index, float((pts - self._plan.start) * self._time_base), self._frame)
        self.delivered += 1

    def _check_first(self, raw: Any) -> None:
        pairs = zip(self._first_samples, _samples_of_raw(raw), strict=True)
        if not all(np.array_equal(ours, theirs) for ours, theirs in pairs):
            _refuse("its first frame by NVDEC is not PyAV's, bit for bit", self._output.facts)
        self.is_checked = True


def _decode_first(packets: PlannedPackets, video: OpenVideo, plan: DecodePlan, facts: VideoFacts) -> av.VideoFrame:
    """The frame of the first packet that is shown, by PyAV."""
    numbers = plan.groups[0].packets
    shown = next(at for at, number in enumerate(numbers) if plan.notes[number].shown)
    decoder, frames = video.open_decoder(), []
    try:
        for _, packet in packets.read(numbers[: shown + 1]):
            frames += decoder.decode(packet)
        frames += decoder.decode(None)
    except MemoryError:
        raise
    except FFmpegError:
        frames = []
    if len(frames) != 1 or frames[0].is_corrupt:
        _refuse("its first packet gives no frame by itself", facts)
    if frames[0].format.name not in _FORMATS:
        _refuse(f"its pixel format {frames[0].format.name} is not one of {', '.join(_FORMATS)}", facts)
    return frames[0]


def _decode(source: str, stream: int, device: str, groups: Iterable[GroupOfPictures], frames: _SampledFrames) -> None:
    """Gives ``frames`` all frames from the first packet of each group to its last."""
    from torchcodec.decoders import Demuxer, VideoDecoder  # pyright: ignore[reportMissingImports]

    # Only this class tells that torchcodec would decode on the CPU; "approximate" spares it a scan of the file.
    fallback = VideoDecoder(source, stream_index=stream, device=device, seek_mode="approximate").cpu_fallback
    if fallback:
        raise ValueError(f"this GPU's NVDEC does not decode it ({str(fallback).rpartition(': ')[2]})")
    demuxer = Demuxer(source, streams=stream)
    decoder = demuxer.streams[0].make_decoder(device=device)
    packets, end = enumerate(demuxer), None
    for group in groups:
        first, last = group.packets[0], group.packets[-1]
        if end not in (None, first):  # what lies between is left out
            for raw in decoder.drain():
                frames.add(raw)
            decoder.reset()
        for number, packet in packets:
            if number >= first:
                for raw in decoder.decode(packet):
                    frames.add(raw)
            if number == last:
                break
        end = last + 1
    for raw in decoder.drain():
        frames.add(raw)


def _samples_of(frame: av.VideoFrame) -> Iterator[np.ndarray]:
    """Views of the samples of a frame: Y, U and V, each uint8 (height, width)."""
    for plane in frame.planes:
        rows = np.frombuffer(cast(Any, plane), np.uint8).reshape(-1, plane.line_size)
        yield rows[: plane.height, : plane.width]


def _samples_of_raw(raw: Any) -> list[np.ndarray]:
    """The samples of torchcodec's RawFrame, likewise, on the CPU."""
    return [plane.cpu().numpy() for plane in raw.planes]


def _failure(error: Exception, device: str, facts: VideoFacts) -> DecodeError:
    """The DecodeError for an error of torchcodec: CRASHED, to be given another process, where CUDA cannot go on."""
    outcome = Outcome.UNDECODABLE
    if device == "cuda":
        import torch

        try:
            torch.cuda.synchronize()
            torch.cuda.empty_cache()
        except RuntimeError:
            outcome = Outcome.CRASHED
    return DecodeError(outcome, f"torchcodec: {_first_line(error)}", facts)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _refuse(reason: str, facts: VideoFacts) -> NoReturn:
    raise DecodeError(Outcome.UNDECODABLE, reason, facts)


def _refuse_all(reason: str, *_: object) -> NoReturn:
    _refuse(reason, VideoFacts(decoder="nvdec"))
