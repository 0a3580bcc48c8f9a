"""Decodes in a child process, which may hang, crash or use too much memory without harm to its parent."""

import time
import uuid
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace

from artifactscan.decode.sandbox.child_process import ChildProcess
from artifactscan.decode.segment import Segment, add_context, segment_without_frames
from artifactscan.decode.slices import WHOLE, NotSliceableError, Slice
from artifactscan.decode.video import DecodeError, DecodeResult, DecodeSettings, VideoFacts, decoders_to_try
from artifactscan.outcomes import Outcome

FIRST_SHARE = 0.6
"""Share of a video's time limit that the first decoder may use while a second could still be tried."""
START_TRIES = 3
"""The system's out-of-memory killer can kill a child before it is ready, or while it is idle."""

_SLICE_DECODERS = frozenset({"nvdec", "pyav"})
_FALL_BACK = frozenset({Outcome.UNDECODABLE, Outcome.CRASHED, Outcome.TIMED_OUT})


class _Stopwatch:
    """Wall-clock seconds since it was created, without the time it was paused."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._began

    @contextmanager
    def paused(self) -> Iterator[None]:
        paused_at = time.monotonic()
        try:
            yield
        finally:
            self._began += time.monotonic() - paused_at


class SandboxedDecoder:
    """Decodes one video at a time in a long-lived child process, replaced when it dies or must be killed.

    A context manager. The first child is started by ``start`` or the first ``decode``; its environment has none of the
    parent's secrets. ``nice`` is added to the child's niceness.
    """

    def __init__(self, settings: DecodeSettings, *, nice: int = 0):
        self._settings = settings
        self._nice = nice
        self._decoding = False
        self._child: Future[ChildProcess] | None = None
        # The kernel kills a child when the thread that started it ends, so one thread lives as long as this object.
        self._spawner = ThreadPoolExecutor(1, thread_name_prefix="decoder-spawner")

    def __enter__(self) -> "SandboxedDecoder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The child's process id; None before the first start and after ``close``."""
        return self._child.result().pid if self._child else None

    def start(self) -> None:
        """Starts a child if there is none, without waiting for it to be ready."""
        if self._child is None:
            self._child = self._spawner.submit(ChildProcess, self._settings, self._nice)

    def close(self) -> None:
        """Kills the child."""
        self._discard_child()
        self._spawner.shutdown()

    def decode(self, path: str, slice: Slice = WHOLE) -> Iterator[Segment]:
        """Yields the segments of the video in the local file ``path``; exactly the last one carries a result.

        Of a video that cannot be decoded in slices, the first slice is the whole video and the others yield nothing.
        Whatever the video does to the decoders ends in a result. The seconds that the caller spends between segments,
        and that a child takes to start, count neither against the limit nor in ``facts.decode_s``. Closing the
        iterator early kills the child. Raises RuntimeError when no child can be started.
        """
        if self._decoding:
            raise RuntimeError("SandboxedDecoder is decoding another video; finish or close that iterator first")
        self._decoding = True
        try:
            segments = self._decode_whole(path) if slice == WHOLE else self._decode_slice(path, slice)
            with closing(segments):
                yield from add_context(segments, self._settings.context_frames)
        finally:
            self._decoding = False

    def _decode_slice(self, path: str, slice: Slice) -> Generator[Segment, None, None]:
        # One decoder on the CPU only: a video of which a slice fails is decoded whole afterwards, by both.
        decoders = tuple(one for one in decoders_to_try(self._settings.decoder) if one in _SLICE_DECODERS)
        try:
            if not decoders:
                raise NotSliceableError
            yield from self._try_decoders(path, decoders, slice)
        except NotSliceableError:
            if slice.number == 0:
                yield from self._decode_whole(path)

    def _decode_whole(self, path: str) -> Generator[Segment, None, None]:
        return self._try_decoders(path, decoders_to_try(self._settings.decoder))

    def _try_decoders(
        self, path: str, decoders: tuple[str, ...], slice: Slice = WHOLE
    ) -> Generator[Segment, None, None]:
        """Yields the segments of each decoder in turn until one succeeds; NotSliceableError goes to the caller."""
        watch = _Stopwatch()
        limit_s = self._settings.limits.video_timeout_s
        failures: list[DecodeError] = []
        for decoder in decoders:
            budget_s = limit_s if decoder == decoders[-1] else limit_s * FIRST_SHARE
            try:
                yield from self._attempt(path, decoder, watch, budget_s, failures, slice)
                return
            except DecodeError as error:
                error.facts.decoder = decoder
                failures.append(error)
                if error.outcome not in _FALL_BACK:
                    break
        self.start()
        # That NVDEC does not decode it is no fault of a video: pyav's outcome and reason stand alone.
        on_cpu = [error for error in failures if error.facts.decoder != "nvdec"]
        yield _failure_segment(on_cpu or failures, watch.elapsed_s, slice)

    def _attempt(
        self,
        path: str,
        decoder: str,
        watch: _Stopwatch,
        budget_s: float,
        failures: list[DecodeError],
        slice: Slice = WHOLE,
    ) -> Iterator[Segment]:
        """Yields one decoder's segments, the last with a result; raises DecodeError or NotSliceableError instead."""
        with watch.paused():
            child = self._ready_child()
        attempt = uuid.uuid4().hex
        frames_received = 0
        reusable = False
        try:
            child.begin(path, decoder, slice)
            for index, (message, pixels) in enumerate(child.segments(lambda: budget_s - watch.elapsed_s)):
                before, after = _count_context(message.context, seen=frames_received > 0)
                end = len(message.context) - after
                frames_received += end - before
                result = None
                if message.facts is not None:
                    reusable = True
                    message.facts.decoder, message.facts.decode_s = decoder, watch.elapsed_s
                    result = _result(message.facts, frames_received, failures, slice)
                segment = Segment(
                    attempt=attempt,
                    index=index,
                    frame_index=message.frame_index[before:end],
                    pts_s=message.pts_s[before:end],
                    height=self._settings.input.height,
                    width=self._settings.input.width,
                    pixels=pixels,
                    result=result,
                    slice=slice,
                    context_before=before,
                    context_after=after,
                )
                with watch.paused():
                    yield segment
        except TimeoutError:
            raise DecodeError(Outcome.TIMED_OUT, f"not decoded within {budget_s:g} s") from None
        except NotSliceableError:
            reusable = True
            raise
        except DecodeError as error:
            reusable = error.outcome is not Outcome.CRASHED
            raise
        finally:
            if not reusable:
                self._discard_child()

    def _ready_child(self) -> ChildProcess:
        for _ in range(START_TRIES):
            self.start()
            assert self._child is not None
            child: ChildProcess | None = None
            try:
                child = self._child.result()
                child.await_ready()
                return child
            except (DecodeError, OSError) as error:
                trouble = (child and child.stderr_text()) or str(error)
            self._discard_child()
        raise RuntimeError(f"no decoding process can be started: {trouble}")

    def _discard_child(self) -> None:
        child, self._child = self._child, None
        if child is not None and child.exception() is None:
            child.result().kill()


def _count_context(context: list[bool], *, seen: bool) -> tuple[int, int]:
    """Context frames at the beginning and at the end of a segment; ``seen``: frames of the slice came before it.

    Raises DecodeError where one lies between frames of the slice.
    """
    own = [number for number, is_context in enumerate(context) if not is_context]
    before, after = (own[0], len(context) - 1 - own[-1]) if own else (0, len(context)) if seen else (len(context), 0)
    if before + len(own) + after != len(context) or (seen and own and before):
        raise DecodeError(Outcome.CRASHED, "the decoder gave context between frames of the slice")
    return before, after


def _result(facts: VideoFacts, frames_received: int, failures: list[DecodeError], slice: Slice) -> DecodeResult:
    """The result of a video that was decoded to its end, after the ``failures`` of other decoders.

    Raises DecodeError where the decoder's counts do not match, or where no frame was decoded of a whole video.
    """
    if facts.frames_decoded != frames_received or (facts.frames_sampled or 0) < frames_received:
        counts = f"{facts.frames_decoded} of {facts.frames_sampled}"
        raise DecodeError(Outcome.CRASHED, f"the decoder counted {counts} frames and gave {frames_received}")
    if frames_received == 0 and slice == WHOLE:
        raise DecodeError(Outcome.UNDECODABLE, "none of its frames could be decoded", facts)
    assert facts.frames_sampled is not None
    notes = [f"decoded by {facts.decoder} after {_describe(error)}" for error in failures]
    lost = facts.frames_sampled - frames_received
    if lost:
        notes.insert(0, frames_lost(facts.frames_sampled, frames_received, facts.packets_damaged))
    outcome = Outcome.PARTIAL if lost else Outcome.SCORED
    return DecodeResult(outcome=outcome, reason="; ".join(notes) or None, facts=facts)


def frames_lost(sampled: int, decoded: int, packets_damaged: int | None) -> str:
    """The reason of a partial video."""
    damage = f": {_count(packets_damaged, 'damaged packet')}" if packets_damaged else ""
    return f"{sampled - decoded} of {_count(sampled, 'sampled frame')} lost{damage}"


def _failure_segment(failures: list[DecodeError], elapsed_s: float, slice: Slice = WHOLE) -> Segment:
    """The segment of a failed video: the first decoder's outcome, and the reasons of all."""
    facts = replace(failures[0].facts, decoder=failures[-1].facts.decoder, decode_s=elapsed_s)
    reason = failures[0].reason if len(failures) == 1 else "; ".join(map(_describe, failures))
    return segment_without_frames(DecodeResult(outcome=failures[0].outcome, reason=reason, facts=facts), slice)


def _describe(error: DecodeError) -> str:
    return f"{error.facts.decoder} failed ({error.outcome}: {error.reason})"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
