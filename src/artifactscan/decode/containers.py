"""Opens untrusted video files: FFmpeg gets a stream without a name, and only demuxers on an allow-list."""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from io import FileIO
from pathlib import Path
from typing import NoReturn

import av
from av.container import InputContainer
from av.error import ArgumentError, FFmpegError
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from artifactscan.decode.clock import Clock
from artifactscan.decode.header_fields import Cropping, is_truncated, read_cropping
from artifactscan.decode.packet_notes import PacketReader, add_extradata
from artifactscan.decode.recordings import FilePart, find_recordings
from artifactscan.decode.size_limits import check_pixels
from artifactscan.decode.video import DecodeError, DecodeLimits, VideoFacts
from artifactscan.outcomes import Outcome

CONTAINERS: tuple[str, ...] = (
    "mov",
    "mp4",
    "matroska",
    "webm",
    "gif",
    "avi",
    "mpegts",
    "mpeg",
    "ogg",
    "flv",
    "asf",
)
"""FFmpeg demuxers that may be used; none of them opens a second file. Playlists, image sequences and scripts
(hls, dash, concat, image2, sdp, lavfi, …) are left out."""

_NOT_READ = (
    f"its container is none of those that are read ({', '.join(CONTAINERS)}): rewrite it with "
    "`ffmpeg -i CLIP -c copy CLIP.mp4`, or without `-c copy` where mp4 cannot hold its codec"
)

_BMFF_BOXES = (b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")
_MAGIC_BYTES = 12

_NO_DECODER = {"codec_whitelist": "none"}
"""Opens a file without decoding anything; only the container's own headers are known then."""

_MAX_DEMUX_ERRORS = 1000
"""Unreadable packets after which the rest of a file is skipped."""
_MAX_PIXEL_SHAPE = 10
"""Pixels of real video are at most about twice as wide as high; anything near this is a mistake in a header."""
_DURATION_TAG = re.compile(r"(\d{1,6}):(\d\d):(\d\d(?:\.\d{1,9})?)")
"""The DURATION tag of a Matroska track: its end, counted from time 0 of the file. Most writers set it."""


@dataclass(frozen=True)
class OpenVideo:
    """An open container and its video stream."""

    path: str
    container: InputContainer
    stream: VideoStream
    truncated: bool
    """The file is shorter than its container says, that of the last recording: WebM, Matroska and AVI only."""
    cropping: Cropping | None = None
    """What the container has players cut off the coded frames."""
    joined: tuple[tuple[int, int], ...] = ()
    """Where other recordings follow in the file: from byte to byte."""

    @property
    def time_base(self) -> Fraction:
        return self.stream.time_base or Fraction(1, av.time_base)

    @property
    def frame_ticks(self) -> int:
        """Duration of a frame at the stream's average rate, for frames without a duration; 1 or more."""
        return max(1, round(self.frame_time))

    @property
    def frame_time(self) -> Fraction:
        """The same, not rounded; above 0."""
        rate = self.stream.average_rate or self.stream.guessed_rate or Fraction(25)
        return 1 / (rate * self.time_base)

    def open_decoder(self) -> VideoCodecContext:
        """The stream's decoder, on one thread, set to report damage."""
        decoder = self.stream.codec_context
        decoder.thread_count = 1
        decoder.thread_type = "NONE"
        # By default FFmpeg conceals damage, which would look like an artifact of a generator.
        decoder.options = {"err_detect": "explode"}
        return decoder

    def indexed_decoding_times(self, read: int) -> list[int]:
        """Decoding time in ticks of each packet in the index of an mp4, of which ``read`` were read.

        Empty where the index has no more than those, and for other containers. Empty samples are no packets: the frame
        before stays on screen, and FFmpeg does not give them out.
        """
        entries = self.stream.index_entries
        if "mp4" not in self.container.format.name or len(entries) <= read:
            return []
        return [entry.timestamp for entry in entries if entry.size]

    def last_frame_ticks(self, first: int, last: int, duration: int) -> int:
        """How long the frame shown at tick ``last`` stays on screen; ``duration``: what its packet says.

        Longer, up to the declared end of the stream, where empty samples follow it.
        """
        entries = self.stream.index_entries
        if "mp4" in self.container.format.name and len(entries) and not entries[len(entries) - 1].size:
            return max(duration, first + (self.stream.duration or 0) - last)
        return duration

    def declared_end(self, first: int) -> int:
        """End in ticks of the video stream, shown from tick ``first``; 0 where the container does not declare it."""
        if self.stream.frames:
            return first + self.stream.frames * self.frame_ticks
        if tag := _DURATION_TAG.fullmatch(self.stream.metadata.get("DURATION", "")):
            hours, minutes, seconds = tag.groups()
            return round((int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)) / self.time_base)
        if len(self.container.streams) > 1:
            return 0
        return round(Fraction(self.container.duration or 0, av.time_base) / self.time_base)

    @property
    def pixel_shape(self) -> Fraction:
        """Width of a pixel to its height; 1 where the file does not say, or says what no camera does."""
        ratio = self.stream.sample_aspect_ratio or self.stream.codec_context.sample_aspect_ratio
        return ratio if ratio and 1 / _MAX_PIXEL_SHAPE <= ratio <= _MAX_PIXEL_SHAPE else Fraction(1)

    def packets(self) -> Iterator[av.Packet]:
        """The stream's packets in file order, on one clock; packets that cannot be read are skipped.

        After its own recording those of others that were joined to it, which bring their parameter sets with them.
        """
        codec = self.stream.codec_context.codec.canonical_name
        clock = Clock(self.container, codec, float(1 / self.time_base), self.frame_ticks)
        restarts = PacketReader(self.stream.codec_context).restarts
        yield from clock.mend(_packets(self.container, self.stream), restarts)
        own = self.stream.codec_context
        given = bytes(own.extradata or b"")
        for part in self.joined:
            with suppress(DecodeError), _open(self.path, VideoFacts(), {}, part) as container:
                stream = _video_stream(container, VideoFacts())
                extradata = bytes(stream.codec_context.extradata or b"") or given
                other_codec = stream.codec_context.codec.id != own.codec.id
                if other_codec or extradata == given:
                    packets = self._packets_of(container, stream, other_codec=other_codec)
                else:
                    packets = _with_extradata(self._packets_of(container, stream), extradata)
                    given = extradata
                yield from clock.mend(packets, restarts, joined=True)

    def _packets_of(
        self, container: InputContainer, stream: VideoStream, *, other_codec: bool = False
    ) -> Iterator[av.Packet]:
        """The packets of another recording in the file; those of another codec are marked as corrupt."""
        ticks = (stream.time_base or self.time_base) / self.time_base
        for packet in _packets(container, stream):
            packet.is_corrupt = packet.is_corrupt or other_codec
            if ticks != 1:
                packet.pts = None if packet.pts is None else round(packet.pts * ticks)
                packet.dts = None if packet.dts is None else round(packet.dts * ticks)
                packet.duration = round((packet.duration or 0) * ticks)
            yield packet


def _with_extradata(packets: Iterable[av.Packet], extradata: bytes) -> Iterator[av.Packet]:
    """Gives each packet the parameter sets, up to the first intact keyframe: what comes before it is not decoded."""
    is_given = False
    for packet in packets:
        if not is_given:
            add_extradata(packet, extradata)
            is_given = packet.is_keyframe and not packet.is_corrupt
        yield packet


def _packets(container: InputContainer, stream: VideoStream) -> Iterator[av.Packet]:
    for _ in range(_MAX_DEMUX_ERRORS):
        try:
            for packet in container.demux(stream):
                if packet.size:
                    yield packet
            return
        except FFmpegError:
            continue  # the error ended the generator; the demuxer goes on after the packet it could not read


@contextmanager
def open_video(path: str, limits: DecodeLimits, facts: VideoFacts) -> Iterator[OpenVideo]:
    """Opens a file and fills ``facts`` from its headers.

    Raises DecodeError: UNDECODABLE where it holds no video, TOO_LARGE where the frames exceed a limit; OSError where
    the file cannot be read. The duration in the headers is no reason: recorders get it wrong.
    """
    first, *joined = find_recordings(path)
    part = first if joined else None
    # FFmpeg decodes a frame here if the headers are incomplete; max_pixels limits that too.
    with _open(path, facts, {"max_pixels": str(limits.max_pixels)}, part) as container:
        stream = _video_stream(container, facts)
        _read_headers(container, stream, facts)
        if facts.width is None:
            with _open(path, facts, _NO_DECODER, part) as undecoded:
                _read_headers(undecoded, _video_stream(undecoded, facts), facts)
        check_pixels(facts.width or 0, facts.height or 0, limits, facts)
        cropping = read_cropping(path, stream.id, container.streams.video.index(stream))
        truncated = is_truncated(path, joined[-1][0] if joined else 0)
        yield OpenVideo(path, container, stream, truncated, cropping, tuple(joined))


def has_known_signature(path: str) -> bool:
    """Whether the first bytes are the signature of an mp4, mkv, avi or flv file.

    Libraries that open files by themselves, with all demuxers of their FFmpeg, are given no others.
    """
    with Path(path).open("rb") as file:
        head = file.read(_MAGIC_BYTES)
    bmff = head[4:8] in _BMFF_BOXES
    matroska = head.startswith(b"\x1a\x45\xdf\xa3")
    avi = head.startswith(b"RIFF") and head[8:12] == b"AVI "
    return bmff or matroska or avi or head.startswith(b"FLV")


@contextmanager
def open_recording(video: OpenVideo, part: tuple[int, int]) -> Iterator[OpenVideo]:
    """Opens one of the recordings in a file, from byte to byte; raises DecodeError where it cannot be read."""
    with _open(video.path, VideoFacts(), {}, part) as container:
        yield OpenVideo(video.path, container, _video_stream(container, VideoFacts()), truncated=video.truncated)


def _read_headers(container: InputContainer, stream: VideoStream, facts: VideoFacts) -> None:
    context = stream.codec_context
    facts.container, facts.codec = container.format.name, context.codec.canonical_name
    facts.width, facts.height = context.width or None, context.height or None
    length = stream.duration and stream.time_base and stream.duration * stream.time_base
    if not length and container.duration:
        length = Fraction(container.duration, av.time_base)
    facts.duration_s = float(length) if length else None


@contextmanager
def _open(
    path: str, facts: VideoFacts, options: dict[str, str], part: tuple[int, int] | None = None
) -> Iterator[InputContainer]:
    """``part``: of the file, from byte to byte; None is all of it."""
    options = {"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": "", **options}
    # FFmpeg sees a stream of bytes without a name: neither the name nor the content can make it open another file.
    with FileIO(os.open(path, os.O_RDONLY)) as file:
        if os.fstat(file.fileno()).st_size == 0:
            raise DecodeError(Outcome.UNDECODABLE, "the file is empty", facts)
        try:
            source = file if part is None else FilePart(file, *part)
            container = av.open(source, mode="r", options=options, io_open=_refuse_to_open, metadata_errors="replace")
        except ArgumentError:
            # FFmpeg's error for a demuxer that is not on the allow-list.
            raise DecodeError(Outcome.UNDECODABLE, _NOT_READ, facts) from None
        except FFmpegError as error:
            reason = f"not a readable video file: {_error_text(error)}"
            raise DecodeError(Outcome.UNDECODABLE, reason, facts) from None
        with container:
            yield container


def _error_text(error: FFmpegError) -> str:
    """FFmpeg's message without number and file name, starting in lower case."""
    words = (error.strerror or str(error)).strip()
    return words[:1].lower() + words[1:]


def _refuse_to_open(url: str, flags: int, options: dict) -> NoReturn:
    raise PermissionError(f"a video may not open {url}")


def _video_stream(container: InputContainer, facts: VideoFacts) -> VideoStream:
    pictures = Disposition.attached_pic | Disposition.timed_thumbnails
    videos = [stream for stream in container.streams.video if not stream.disposition & pictures]
    if not videos:
        kinds = {stream.type for stream in container.streams} & {"audio", "subtitle"}
        what = f" ({' and '.join(sorted(kinds))} only)" if kinds else ""
        raise DecodeError(Outcome.UNDECODABLE, f"has no video stream{what}", facts)
    decodable = [stream for stream in videos if stream.codec_context is not None]
    if not decodable:
        raise DecodeError(Outcome.UNDECODABLE, "FFmpeg has no decoder for its video stream", facts)
    return max(decodable, key=_preference)


def _preference(stream: VideoStream) -> tuple[bool, bool, bool, int]:
    """Which of several video streams players show: the default one, rather a film than a still, then the largest.

    The smaller ones are previews or lower qualities of the same video.
    """
    parts = Disposition.dependent | Disposition.still_image | Disposition.multilayer
    default, is_part = bool(stream.disposition & Disposition.default), bool(stream.disposition & parts)
    return not is_part, default, stream.frames != 1, stream.codec_context.width * stream.codec_context.height
