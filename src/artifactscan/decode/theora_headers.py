"""The headers of a Theora stream, which its decoder takes as packets where they change within a video."""

import av

_IDENTIFICATION, _SETUP = 0x80, 0x82
"""First bytes of the headers that the decoder needs (Theora specification, 6.1); the third one is a comment."""
_LACED = 2
"""First byte of the headers in Matroska: how many more there are than one."""


def header_packets(packet: av.Packet) -> list[av.Packet]:
    """What a Theora decoder is to be given before ``packet``; nothing where it brings no new headers."""
    if not packet.has_sidedata("new_extradata"):
        return []
    headers = _split(bytes(packet.get_sidedata("new_extradata")))
    return [av.Packet(header) for header in headers if header[:1] and header[0] in (_IDENTIFICATION, _SETUP)]


def _split(extradata: bytes) -> list[bytes]:
    """The headers one by one: each after its size in two bytes, or with Xiph's lacing (RFC 9559, 10.3)."""
    headers, start = [], 0
    if extradata[:1] != bytes([_LACED]):
        while start + 2 < len(extradata):
            end = start + 2 + int.from_bytes(extradata[start : start + 2], "big")
            headers.append(extradata[start + 2 : end])
            start = end
        return headers
    sizes, at = [0] * _LACED, 1
    for number in range(_LACED):
        while extradata[at : at + 1] == b"\xff":
            sizes[number], at = sizes[number] + 255, at + 1
        sizes[number] += int.from_bytes(extradata[at : at + 1], "big")
        at += 1
    for size in (*sizes, len(extradata)):
        headers.append(extradata[at : at + size])
        at += size
    return headers
