"""What one packet of a video is, from its flags and first bytes, without decoding it."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import av
from av.packet import PacketSideData
from av.video.codeccontext import VideoCodecContext

_NEW_EXTRADATA = 1
"""AV_PKT_DATA_NEW_EXTRADATA, libavcodec/packet.h."""
_H264_SLICE, _H264_IDR, _H264_SEI, _H264_PARAMETERS = 1, 5, frozenset({6}), frozenset({7, 8})
_H264_PICTURES = frozenset(range(1, 6))
_HEVC_PICTURES, _HEVC_RESTARTS = frozenset(range(32)), frozenset(range(16, 22))
_HEVC_NON_REFERENCE, _HEVC_PARAMETERS, _HEVC_SEI = (
    frozenset(range(0, 16, 2)),
    frozenset({32, 33, 34}),
    frozenset({39, 40}),
)
_RECOVERY_POINT, _DISPLAY_ORIENTATION = 6, 47
"""Types of the SEI messages that say where decoding can start (H.264 D.2.8, HEVC D.2.8) and that ask for a rotation
(H.264 D.2.27, HEVC D.2.14)."""
_MAX_MESSAGES = 100
"""Most messages looked at in an SEI unit."""
_MPEG4_INTRA, _MPEG4_BIDIRECTIONAL = 0, 2
_JPEG_SCAN, _JPEG_COMMENT = 0xDA, 0xFE
_JPEG_APPLICATION = frozenset(range(0xE1, 0xF0)) - {0xEE}
"""APP1 to APP15 without Adobe's APP14, which says how the colours are coded; APP0 has the field order in AVI."""
_AV1_SEQUENCE, _AV1_FRAMES = 1, frozenset({3, 6})
_VP9_MARKER, _VP9_SUPERFRAME = 0b10, 0b110


@dataclass(frozen=True, slots=True)
class PacketNote:
    """Properties of one packet, from its flags and first bytes."""

    pts: int | None
    """Presentation time in ticks of the stream's time base."""
    duration: int = 0
    """Ticks; 0 where unknown."""
    shown: bool = True
    """False for a frame that an edit list cuts off or that is hidden: decoded if others need it, never presented."""
    intact: bool = True
    """False where the container marks the packet as corrupt, or lists it but cannot read it."""
    keyframe: bool = False
    """According to the container, which may be wrong."""
    restart: bool = False
    """Decoding can start here: frames presented from here on are exact."""
    disposable: bool = False
    """No other frame refers to this one (HEVC: none of its own or a lower temporal layer)."""
    layer: int = 0
    """HEVC temporal layer."""
    parameters: bool = False
    """Contains parameter sets that later packets may need."""
    bidirectional: bool = False
    """May be presented before a frame that is decoded earlier (HEVC: not known)."""
    frames: int = 1
    """Frames that come out of it."""


class PacketReader:
    """Describes the packets of one stream.

    ``codec``: its canonical name, one of SELECTIVE_CODECS of ``packets.py`` to be described at all.
    """

    def __init__(self, context: VideoCodecContext):
        self.codec = context.codec.canonical_name
        self._length_bytes = _length_bytes(self.codec, context.extradata or b"")
        self._volume = _mpeg4_volume(context.extradata or b"")

    def notes(self, packets: Iterable[av.Packet]) -> Iterator[PacketNote]:
        """The properties of packets in decoding order."""
        return map(self.note, packets)

    def note(self, packet: av.Packet) -> PacketNote:
        """The properties of the next packet."""
        changed = packet.has_sidedata("new_extradata")
        if changed:
            self._length_bytes = _length_bytes(self.codec, bytes(packet.get_sidedata("new_extradata")))
        found = self._describe(packet)
        if changed:
            found["parameters"] = True
        shown = found.pop("shown", True) and not packet.is_discard
        return PacketNote(
            pts=packet.pts,
            duration=packet.duration or 0,
            shown=shown,
            intact=not packet.is_corrupt,
            keyframe=packet.is_keyframe,
            **found,
        )

    def restarts(self, packet: av.Packet) -> bool:
        """Whether decoding can start at this packet."""
        return bool(self._describe(packet).get("restart", packet.is_keyframe))

    def without_messages(self, packet: av.Packet) -> av.Packet | None:
        """The packet without what describes the pictures and is not part of them; None where it has none of that.

        Left out are SEI messages of H.264 and HEVC, but for recovery points and rotations, and application data and
        comments of JPEG.
        """
        data = bytes(packet)
        if self.codec in ("h264", "hevc"):
            kept = _without_sei(data, self._length_bytes, hevc=self.codec == "hevc")
        elif self.codec == "mjpeg":
            kept = _without_application_data(data)
        else:
            return None
        if not kept or len(kept) == len(data):
            return None
        bare = av.Packet(kept)
        bare.stream, bare.time_base = packet.stream, packet.time_base
        bare.pts, bare.dts, bare.duration, bare.is_keyframe = (
            packet.pts,
            packet.dts,
            packet.duration,
            packet.is_keyframe,
        )
        if packet.has_sidedata("new_extradata"):
            bare.set_sidedata(packet.get_sidedata("new_extradata"))
        return bare

    def _describe(self, packet: av.Packet) -> dict:
        if self.codec == "mpeg4":
            return self._describe_mpeg4(packet)
        describe = _DESCRIBE.get(self.codec)
        return describe(packet, self._length_bytes) if describe else {}

    def _describe_mpeg4(self, packet: av.Packet) -> dict:
        data = bytes(packet)
        picture = data.find(b"\0\0\1\xb6") + 4
        kind = data[picture] >> 6 if 3 < picture < len(data) else None
        volume = _mpeg4_volume(data[: max(0, picture - 4)])
        known, self._volume = self._volume, volume or self._volume
        return {
            "restart": packet.is_keyframe and kind == _MPEG4_INTRA,
            "parameters": bool(volume and known and volume != known),
            "bidirectional": kind == _MPEG4_BIDIRECTIONAL,
        }


def add_extradata(packet: av.Packet, extradata: bytes) -> None:
    """Gives a packet the parameter sets that it and the ones after it need."""
    side_data = PacketSideData(_NEW_EXTRADATA, len(extradata))  # type: ignore[call-arg]
    side_data.update(extradata)
    packet.set_sidedata(side_data)


def _mpeg4_volume(data: bytes) -> bytes:
    """The video object layer header (ISO/IEC 14496-2, 6.2.3) in ``data``; empty where there is none."""
    start = data.find(b"\0\0\1")
    while start >= 0 and start + 3 < len(data):
        end = data.find(b"\0\0\1", start + 3)
        if 0x20 <= data[start + 3] < 0x30:
            return data[start : end if end >= 0 else len(data)].rstrip(b"\0")
        start = end
    return b""


def _describe_mjpeg(packet: av.Packet, _: int) -> dict:
    return {"restart": True}


def _describe_h264(packet: av.Packet, length_bytes: int) -> dict:
    headers = _nal_headers(packet, length_bytes)
    pictures = [(first, second) for first, second in headers if first & 31 in _H264_PICTURES]
    parameters = any(first & 31 in _H264_PARAMETERS for first, _ in headers)
    return {
        "restart": packet.is_keyframe and bool(pictures) and all(first & 31 == _H264_IDR for first, _ in pictures),
        "disposable": bool(pictures) and not parameters and all(first & 127 == _H264_SLICE for first, _ in pictures),
        "parameters": parameters,
        # first_mb_in_slice 0, then slice_type 1 or 6, both ue(v): 1 010 or 1 00111
        "bidirectional": any(second >> 4 == 0b1010 or second >> 2 == 0b100111 for _, second in pictures),
    }


def _describe_hevc(packet: av.Packet, length_bytes: int) -> dict:
    # Layer ids above 0 (depth, alpha, second eye) are not decoded.
    headers = [
        (first >> 1 & 63, second & 7)
        for first, second in _nal_headers(packet, length_bytes)
        if not _above_base_layer(first, second)
    ]
    pictures = [(kind, layer) for kind, layer in headers if kind in _HEVC_PICTURES]
    parameters = any(kind in _HEVC_PARAMETERS for kind, _ in headers)
    return {
        "restart": packet.is_keyframe and bool(pictures) and all(kind in _HEVC_RESTARTS for kind, _ in pictures),
        "disposable": bool(pictures) and not parameters and all(kind in _HEVC_NON_REFERENCE for kind, _ in pictures),
        "layer": max((layer for _, layer in pictures), default=0),
        "parameters": parameters,
    }


def _describe_vp8(packet: av.Packet, _: int) -> dict:
    """RFC 6386, 9.1: a key frame replaces all reference frames and probabilities."""
    first = bytes(packet)[0]
    shown = bool(first >> 4 & 1)
    return {"restart": packet.is_keyframe and not first & 1 and shown, "shown": shown}


def _describe_vp9(packet: av.Packet, _: int) -> dict:
    """VP9 bitstream specification, 6.2 and annex B: a shown key frame replaces all reference frames."""
    frames = _vp9_frames(bytes(packet))
    kinds = [_vp9_kind(frame) for frame in frames]
    if not kinds or None in kinds:
        return {"restart": False}
    shown = sum(shows for _, shows in kinds if shows)  # type: ignore[misc]
    return {"restart": packet.is_keyframe and kinds[0] == (True, True), "shown": shown > 0, "frames": max(1, shown)}


def _vp9_frames(data: bytes) -> list[bytes]:
    marker = data[-1]
    if marker >> 5 != _VP9_SUPERFRAME:
        return [data]
    size_bytes, count = (marker >> 3 & 3) + 1, (marker & 7) + 1
    index = len(data) - 2 - size_bytes * count
    if index < 0 or data[index] != marker:
        return [data]
    frames, start = [], 0
    for number in range(count):
        at = index + 1 + number * size_bytes
        end = start + int.from_bytes(data[at : at + size_bytes], "little")
        if end > start:
            frames.append(data[start : start + 1])
        start = end
    return frames


def _vp9_kind(frame: bytes) -> tuple[bool, bool] | None:
    """Whether a frame is a key frame, and whether it is shown; None for what is no frame."""
    first = frame[0] if frame else 0
    if first >> 6 != _VP9_MARKER:
        return None
    bits = first << 1 & 255 if first >> 4 & 3 == 3 else first  # profile 3 has a reserved bit
    if bits >> 3 & 1:  # shows a frame that was decoded before
        return False, True
    return not bits >> 2 & 1, bool(bits >> 1 & 1)


def _describe_av1(packet: av.Packet, _: int) -> dict:
    """AV1 bitstream specification, 5.3 to 5.9: a shown key frame replaces all reference frames."""
    data, start = bytes(packet), 0
    sequence, kinds = False, []
    while start < len(data):
        kind, has_extension, has_size = data[start] >> 3 & 15, data[start] >> 2 & 1, data[start] >> 1 & 1
        start += 1 + has_extension
        size, shift = len(data) - start, 0
        if has_size:
            size = 0
            while start < len(data):
                byte, start = data[start], start + 1
                size |= (byte & 127) << shift
                shift += 7
                if byte < 128 or shift > 56:
                    break
        if start + size > len(data):
            return {"restart": False}
        if kind == _AV1_SEQUENCE and size:
            if data[start] >> 3 & 1:  # reduced_still_picture_header: frame headers have other fields
                return {"restart": False}
            sequence = True
        elif kind in _AV1_FRAMES and size:
            kinds.append(data[start] >> 4)  # show_existing_frame, frame_type (2 bits), show_frame
        start += size
    if not kinds:
        return {"restart": False}
    shown = sum(1 for kind in kinds if kind & 9)
    restart = packet.is_keyframe and sequence and kinds[0] == 1
    return {"restart": restart, "shown": shown > 0, "frames": max(1, shown)}


_DESCRIBE: dict[str, Callable[[av.Packet, int], dict]] = {
    "h264": _describe_h264,
    "hevc": _describe_hevc,
    "mjpeg": _describe_mjpeg,
    "vp8": _describe_vp8,
    "vp9": _describe_vp9,
    "av1": _describe_av1,
}


def _above_base_layer(first: int, second: int) -> bool:
    return bool(first & 1 or second >> 3)


def _length_bytes(codec: str, extradata: bytes) -> int:
    """Bytes of the length field before each NAL unit (ISO/IEC 14496-15); 0 where start codes separate them."""
    if codec == "h264" and len(extradata) > 4 and extradata[0] == 1:
        return (extradata[4] & 3) + 1
    if codec == "hevc" and len(extradata) > 21 and extradata[0] == 1:
        return (extradata[21] & 3) + 1
    return 0


def _nal_headers(packet: av.Packet, length_bytes: int) -> list[tuple[int, int]]:
    """First two bytes of each NAL unit; empty where the packet is not a valid sequence of units."""
    data = bytes(packet)
    units = _nal_units(data, length_bytes)
    headers = [(data[start], data[start + 1] if end > start + 1 else 0) for _, start, end in units]
    return [] if any(first & 128 for first, _ in headers) else headers


def _nal_units(data: bytes, length_bytes: int) -> list[tuple[int, int, int]]:
    """Start of the length or start code, start and end of each NAL unit; empty where the lengths do not fit."""
    units = []
    if not length_bytes:
        start = data.find(b"\0\0\1") + 3
        while start > 2 and start + 1 < len(data):
            code = data.find(b"\0\0\1", start)
            end = code if code >= 0 else len(data)
            units.append((start - 3, start, end))
            start = code + 3
        return units
    start = 0
    while start < len(data):
        begin, size = start, int.from_bytes(data[start : start + length_bytes], "big")
        start += length_bytes
        if size < 1 or start + size > len(data):
            return []
        units.append((begin, start, start + size))
        start += size
    return units


def _without_sei(data: bytes, length_bytes: int, *, hevc: bool) -> bytes:
    kept = []
    for begin, start, end in _nal_units(data, length_bytes):
        kind, payload = (data[start] >> 1 & 63, start + 2) if hevc else (data[start] & 31, start + 1)
        if kind not in (_HEVC_SEI if hevc else _H264_SEI):
            kept.append(data[begin:end])
        elif messages := _kept_messages(data[payload:end].replace(b"\0\0\3", b"\0\0")):
            unit = data[start:payload] + re.sub(rb"\0\0(?=[\0-\3])", b"\0\0\3", messages) + b"\x80"
            kept.append((len(unit).to_bytes(length_bytes, "big") if length_bytes else b"\0\0\1") + unit)
    return b"".join(kept)


def _kept_messages(data: bytes) -> bytes:
    """The recovery points and rotations of an SEI unit without emulation prevention bytes (H.264 7.3.2.3.1)."""
    kept, at = [], 0
    for _ in range(_MAX_MESSAGES):
        start, numbers = at, [0, 0]
        for field in (0, 1):
            while data[at : at + 1] == b"\xff":
                numbers[field], at = numbers[field] + 255, at + 1
            numbers[field] += int.from_bytes(data[at : at + 1], "big")
            at += 1
        kind, size = numbers
        at += size
        if at > len(data):  # the trailing bits, or a message that runs over the end
            break
        if kind in (_RECOVERY_POINT, _DISPLAY_ORIENTATION):
            kept.append(data[start:at])
    return b"".join(kept)


def _without_application_data(data: bytes) -> bytes:
    """A JPEG (ITU-T T.81, B.1) without APPn and COM segments before its first scan."""
    kept, start = [data[:2]], 2
    while start + 4 <= len(data) and data[start] == 0xFF and data[start + 1] != _JPEG_SCAN:
        end = start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")
        if data[start + 1] not in _JPEG_APPLICATION and data[start + 1] != _JPEG_COMMENT:
            kept.append(data[start:end])
        start = end
    return b"".join([*kept, data[start:]])
