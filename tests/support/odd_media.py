"""Odd media as recorders, phones and muxers write them; each frame bears its number, as in ``media``."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.stream import Disposition
from av.video.stream import VideoStream
from media import draw_frame, write_clip

FPS = 24
B_FRAMES = {"g": "24", "bf": "2"}
_UNIT_TYPES = {"h264": b"\x06", "hevc": b"\x4e\x01"}
_NEW_EXTRADATA = 1
"""AV_PKT_DATA_NEW_EXTRADATA, libavcodec/packet.h."""

Change = Callable[[int, bytes], bytes | None]


def remux(
    source: Path,
    path: Path,
    change: Change | None = None,
    *,
    made_up_times: bool = False,
    first: int = 0,
    **muxer: str,
) -> Path:
    """Writes the packets of ``source`` to another file, each as ``change`` gives it back for its number and bytes.

    None leaves a packet out. ``made_up_times``: packet n is shown at ``first`` + n frames, in decoding order; an mp4
    hides those before 0 by an edit list.
    """
    with av.open(str(source)) as file, av.open(str(path), "w", options=muxer) as out:
        stream = file.streams.video[0]
        copy = out.add_stream_from_template(stream)
        assert stream.time_base is not None
        step = round(1 / FPS / stream.time_base)
        for number, packet in enumerate(packet for packet in file.demux(stream) if packet.size):
            data = change(number, bytes(packet)) if change else bytes(packet)
            if data is None:
                continue
            changed = av.Packet(data)
            changed.pts, changed.dts = packet.pts, packet.dts
            if made_up_times:
                changed.pts = changed.dts = (first + number) * step
            changed.duration, changed.time_base = packet.duration or step, stream.time_base
            changed.is_keyframe, changed.stream = packet.is_keyframe, copy
            if packet.has_sidedata("new_extradata"):
                changed.set_sidedata(packet.get_sidedata("new_extradata"))
            out.mux(changed)
    return path


def join(path: Path, *parts: Path) -> Path:
    """What ``cat part part … > path`` gives."""
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def write_second_half(path: Path, **clip) -> Path:
    """Frames 48 to 95, from time 0."""
    return write_clip(path, draw=lambda number, width, height: draw_frame(number + 48, width, height), **clip)


def joined(path: Path, **clip) -> Path:
    """Two recordings of two seconds, one after the other, both from time 0."""
    first = write_clip(path.with_name(f"first{path.suffix}"), **clip)
    return join(path, first, write_second_half(path.with_name(f"second{path.suffix}"), **clip))


def long_sei(path: Path, codec: str = "libx264", *, annex_b: bool = False, every: int = 12, **clip) -> Path:
    """Before every ``every``-th picture an SEI message that is longer than its NAL unit."""
    name = "hevc" if codec == "libx265" else "h264"
    unit = _UNIT_TYPES[name] + b"\x05\x40" + b"message that ends early" + b"\x80"
    unit = (b"\0\0\0\1" if annex_b else struct.pack(">I", len(unit))) + unit
    source = write_clip(path.with_name(f"plain{path.suffix}"), codec=codec, **clip)
    return remux(source, path, lambda number, data: data if number % every else unit + data)


def empty_sample(path: Path, number: int = 36) -> Path:
    """An mp4 of intra frames, whose sample ``number`` is empty: the frame before stays on screen."""
    filler = struct.pack(">I", 2) + b"\x0c\x80"
    source = write_clip(path.with_name("plain.mp4"), options={"g": "1"})
    remux(source, path, lambda one, data: filler if one == number else data)
    data = bytearray(path.read_bytes())
    at = data.index(b"stsz") + 4 + 12 + 4 * (number - 1)
    before, size = struct.unpack_from(">II", data, at)
    assert size == len(filler)
    struct.pack_into(">II", data, at, before + size, 0)  # the filler joins the sample before it
    path.write_bytes(data)
    return path


def two_descriptions(path: Path, *, change: int = 36, **clip) -> Path:
    """From frame ``change`` on the parameter sets are others, in a second sample description."""
    options = {"g": "12", "bf": "0"}
    first = write_clip(path.with_name(f"one{path.suffix}"), options=options, **clip)
    other = {**options, "x264-params": "cabac=0:8x8dct=0:ref=1", "profile": "baseline"}
    second = write_clip(path.with_name(f"two{path.suffix}"), options=other, **clip)
    with av.open(str(first)) as one, av.open(str(second)) as two, av.open(str(path), "w") as out:
        copy = out.add_stream_from_template(one.streams.video[0])
        extradata = bytes(two.streams.video[0].codec_context.extradata or b"")
        packets = [[packet for packet in file.demux(video=0) if packet.size] for file in (one, two)]
        for number, packet in enumerate(packets[0][:change] + packets[1][change:]):
            if number == change:
                side_data = av.packet.PacketSideData(_NEW_EXTRADATA, len(extradata))  # type: ignore[call-arg]
                side_data.update(extradata)
                packet.set_sidedata(side_data)
            packet.stream = copy
            out.mux(packet)
    return path


def motion_photo(path: Path, *, default: bool = True) -> Path:
    """A clip of 160×96 and a still of 320×240 as a second track; ``default``: the clip alone is the default one."""
    with av.open(str(path), "w") as out:
        clip = cast(VideoStream, out.add_stream("libx264", rate=FPS, options={"threads": "1", "bf": "0"}))
        still = cast(VideoStream, out.add_stream("libx264", rate=FPS, options={"threads": "1"}))
        clip.width, clip.height, clip.pix_fmt = 160, 96, "yuv420p"
        still.width, still.height, still.pix_fmt = 320, 240, "yuv420p"
        clip.disposition = Disposition.default
        still.disposition = Disposition(0) if default else Disposition.default
        for stream, numbers in ((still, [200]), (clip, range(48))):
            for time, number in enumerate(numbers):
                picture = draw_frame(number, stream.width, stream.height)
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p", threads=1)
                frame.pts = time
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
    return path


def flv_with_duration(path: Path, seconds: float) -> Path:
    """An FLV whose onMetaData says that it lasts ``seconds``."""
    data = bytearray(write_clip(path).read_bytes())
    struct.pack_into(">d", data, data.index(b"duration") + 9, seconds)
    path.write_bytes(data)
    return path


def insert_box(data: bytes, parents: tuple[bytes, ...], box: bytes) -> bytes:
    """``data`` of an mp4 with moov at its end, with ``box`` at the end of the innermost of the boxes ``parents``."""
    grown, at = bytearray(data), 0
    for name in parents:
        at = grown.index(name, at)
        size = struct.unpack_from(">I", grown, at - 4)[0]
        struct.pack_into(">I", grown, at - 4, size + len(box))
        end = at - 4 + size
    return bytes(grown[:end] + box + grown[end:])


def clean_aperture(path: Path, width: int, height: int, right: int = 0, down: int = 0, **clip) -> Path:
    """An mp4 of frames of 160×96 with a clean aperture, its centre off by ``right`` and ``down`` pixels."""
    numbers = (width, 1, height, 1, right, 1, down & 0xFFFFFFFF, 1)
    box = struct.pack(">I4s8I", 40, b"clap", *(number & 0xFFFFFFFF for number in numbers))
    data = write_clip(path, **clip).read_bytes()
    entry = b"hvc1" if b"hvc1" in data else b"hev1" if b"hev1" in data else b"avc1"
    at = data.index(entry, data.index(b"stsd"))
    parents = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")
    grown = insert_box(data, (*parents, data[at : at + 4]), box)
    path.write_bytes(grown)
    return path


def edit_list(path: Path, *edits: tuple[float, float], source: Path | None = None, **clip) -> Path:
    """An mp4 that shows these parts of a clip: seconds to show, and where they begin in it (-1: nothing is shown).

    ``source``: an mp4 that is taken in place of a new clip.
    """
    data = (source or write_clip(path, **{"options": {"bf": "0"}, **clip})).read_bytes()
    movie_ticks, media_ticks = (
        struct.unpack_from(">I", data, data.index(name) + 4 + 12)[0] for name in (b"mvhd", b"mdhd")
    )
    entries = b"".join(
        struct.pack(">IiHH", round(seconds * movie_ticks), round(start * media_ticks) if start >= 0 else -1, 1, 0)
        for seconds, start in edits
    )
    table = struct.pack(">II", 0, len(edits)) + entries
    table = struct.pack(">I4s", 8 + len(table), b"elst") + table
    old = data.index(b"edts") - 4
    size = struct.unpack_from(">I", data, old)[0]
    grown = bytearray(data[:old] + data[old + size :])
    for name in (b"moov", b"trak"):
        at = grown.index(name) - 4
        struct.pack_into(">I", grown, at, struct.unpack_from(">I", grown, at)[0] - size)
    box = struct.pack(">I4s", 8 + len(table), b"edts") + table
    path.write_bytes(insert_box(bytes(grown), (b"moov", b"trak"), box))
    return path


def pixel_crop(path: Path, *, bottom: int = 0, top: int = 0, left: int = 0, **clip) -> Path:
    """A Matroska file whose PixelCrop elements say that the last rows, first rows or first columns are not shown."""
    sides = ((0x54AA, bottom), (0x54BB, top), (0x54CC, left))
    crop = b"".join(struct.pack(">HBB", name, 0x81, pixels) for name, pixels in sides if pixels)
    data = write_clip(path, **clip).read_bytes()
    # The end of the video element, and 15 bytes after it that hold nothing of use.
    end, spare = b"\x54\xb2\x81\x04", b"\x55\xee\x81\x00\xec\x01\0\0\0\0\0\0\x02\0\0"
    at = data.index(end + spare)
    size = data.rindex(b"\xe0", 0, at) + 1
    void = len(spare) - len(crop)
    filler = b"\xec" + bytes([0x80 + void - 2]) + bytes(void - 2)
    grown = bytearray(data[: at + len(end)] + crop + filler + data[at + len(end) + len(spare) :])
    grown[size] += len(crop)
    path.write_bytes(grown)
    return path


def green_bar(number: int, width: int, height: int) -> np.ndarray:
    """A frame of three quarters of the height, above a green bar."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[:] = (0, 255, 0)
    picture[: height * 3 // 4] = draw_frame(number, width, height * 3 // 4)
    return picture


def drop_ts_packets(source: Path, path: Path, frame: int, *, keep: int, until: int) -> Path:
    """An MPEG-TS of one video stream that lacks the end of ``frame`` and all further frames before ``until``.

    ``keep``: packets of 188 bytes that are left of ``frame``.
    """
    data = source.read_bytes()
    kept, number, left = [], -1, 0
    for start in range(0, len(data), 188):
        packet = data[start : start + 188]
        if int.from_bytes(packet[1:3], "big") & 0x1FFF == 0x100:  # FFmpeg's first elementary stream
            number, left = (number + 1, keep) if packet[1] & 0x40 else (number, left - 1)
            if (number == frame and left <= 0) or frame < number < until:
                continue
        kept.append(packet)
    path.write_bytes(b"".join(kept))
    return path
