"""Decoding with PyAV, on one thread: selectively where the packets allow it, in full where they do not.

Both ways give the same frames, bit for bit.
"""

from contextlib import suppress

from artifactscan.decode.containers import open_video
from artifactscan.decode.full import MessagesRefusedError, check_times, decode_fully
from artifactscan.decode.output import FrameOutput, Sink
from artifactscan.decode.packets import SELECTIVE_CODECS
from artifactscan.decode.selective import PlannedPackets, decode_selectively
from artifactscan.decode.slices import WHOLE, NotSliceableError, Slice
from artifactscan.decode.video import DecodeError, DecodeSettings, VideoFacts
from artifactscan.outcomes import Outcome


def decode_pyav(
    path: str, settings: DecodeSettings, sink: Sink, slice: Slice = WHOLE, context_sink: Sink | None = None
) -> VideoFacts:
    """Gives ``sink`` each distinct frame on screen at a sampling time, in order; returns the video's facts.

    ``context_sink`` gets the ``context_frames`` of the settings before and after those of a slice.

    ``frames_decoded`` below ``frames_sampled`` means frames lost to damage: a frame that cannot be decoded, and all
    frames that depend on it. Raises DecodeError (UNDECODABLE, TOO_LARGE), and NotSliceableError for a slice of a video
    that has to be decoded whole; MemoryError and OSError propagate.
    """
    facts = VideoFacts(decoder="pyav")
    output = FrameOutput(settings, sink, facts, context_sink)
    made_up_times = False
    with open_video(path, settings.limits, facts) as video:
        output.show_as(video)
        if facts.codec in SELECTIVE_CODECS:
            packets = PlannedPackets(path, video, settings, facts)
            made_up_times = packets.made_up_times
            if decode_selectively(packets, video, settings, slice, output):
                if output.context_frames < len(output.context):  # the whole video takes another frame in its place
                    raise DecodeError(Outcome.UNDECODABLE, "a frame next to this slice cannot be decoded", facts)
                return output.finish(may_be_empty=slice != WHOLE)
        elif slice == WHOLE:
            check_times(video, settings, facts)
    if slice != WHOLE:
        if facts.frames_sampled is not None:  # there was a plan, and the other slices follow it
            raise DecodeError(Outcome.UNDECODABLE, "its frames are not those that its packets promise", facts)
        raise NotSliceableError
    return _decode_whole(path, settings, output, made_up_times=made_up_times)


def full_decode_pyav(path: str, settings: DecodeSettings, sink: Sink) -> VideoFacts:
    """The same as decode_pyav, by decoding every packet."""
    output = FrameOutput(settings, sink, VideoFacts(decoder="pyav"))
    made_up_times = False
    with open_video(path, settings.limits, output.facts) as video:
        if output.facts.codec in SELECTIVE_CODECS:
            made_up_times = PlannedPackets(path, video, settings, output.facts).made_up_times
        else:
            check_times(video, settings, output.facts)
    return _decode_whole(path, settings, output, made_up_times=made_up_times)


def _decode_whole(path: str, settings: DecodeSettings, output: FrameOutput, *, made_up_times: bool) -> VideoFacts:
    facts = output.facts
    for bare in (False, True):
        with open_video(path, settings.limits, facts) as video, suppress(MessagesRefusedError):
            output.show_as(video)
            decode_fully(video, settings, output, made_up_times=made_up_times, bare=bare)
            break
    return output.finish()
