"""Decoding plans, for packets written by hand and for packets of real encoders."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from media import damage, write_clip

from artifactscan.decode.containers import open_video
from artifactscan.decode.packet_notes import PacketNote, PacketReader
from artifactscan.decode.packets import groups_are_closed, plan_decoding
from artifactscan.decode.video import DecodeLimits, VideoFacts

SECOND = 24
TIME_BASE = Fraction(1, SECOND)
KEY = PacketNote(pts=0, duration=1, keyframe=True, restart=True)
REFERENCE = PacketNote(pts=0, duration=1)
DISPOSABLE = PacketNote(pts=0, duration=1, disposable=True)


def at(note: PacketNote, pts: int | None, **changes) -> PacketNote:
    return replace(note, pts=pts, **changes)


def plan(notes: list[PacketNote], sample_fps: float = 1.0):
    found = plan_decoding(notes, TIME_BASE, sample_fps, frame_ticks=1)
    assert found is not None
    return found


def decoded(notes: list[PacketNote], sample_fps: float = 1.0) -> list[list[int]]:
    return [group.packets for group in plan(notes, sample_fps).groups]


def notes_of(path: Path) -> list[PacketNote]:
    with open_video(str(path), DecodeLimits(), VideoFacts()) as video:
        return list(PacketReader(video.stream.codec_context).notes(video.packets()))


def test_packets_after_the_last_sampled_frame_of_a_closed_group_are_left_out() -> None:
    notes = [at(KEY if n % SECOND == 0 else REFERENCE, n) for n in range(2 * SECOND)]
    assert decoded(notes) == [[0], [24]]


def test_groups_without_a_sampled_frame_are_left_out() -> None:
    notes = [at(KEY if n % 6 == 0 else REFERENCE, n) for n in range(2 * SECOND)]
    assert decoded(notes) == [[0], [24]]


def test_references_before_a_sampled_frame_are_decoded_and_disposable_frames_are_not() -> None:
    notes = [at(KEY, 0)] + [at(DISPOSABLE if n % 2 else REFERENCE, n) for n in range(1, SECOND + 2)]
    assert decoded(notes) == [list(range(0, SECOND + 1, 2))]


def test_a_disposable_frame_that_is_sampled_is_decoded() -> None:
    notes = [at(KEY, 0)] + [at(DISPOSABLE, n) for n in range(1, SECOND + 2)]
    assert decoded(notes) == [[0, SECOND]]


def test_leading_frames_join_their_group_with_the_one_before() -> None:
    leading = [at(KEY, 26), at(REFERENCE, 24), at(REFERENCE, 25)]
    notes = [at(KEY if n == 0 else REFERENCE, n) for n in range(24)] + leading
    assert decoded(notes) == [[*range(24), 24, 25]]
    assert not groups_are_closed(notes)


def test_no_picture_needs_one_of_a_higher_temporal_layer() -> None:
    first, second = at(KEY, 0), [at(DISPOSABLE, 1, layer=1), at(REFERENCE, 2, layer=2), at(DISPOSABLE, 3, layer=2)]
    assert decoded([first, *second, at(REFERENCE, SECOND)]) == [[0, 4]]
    assert decoded([first, *second, at(REFERENCE, SECOND, layer=1)]) == [[0, 4]]
    assert decoded([first, *second, at(DISPOSABLE, SECOND, layer=2)]) == [[0, 1, 2, 4]]
    assert decoded([first, *second, at(DISPOSABLE, SECOND, layer=3)]) == [[0, 1, 2, 3, 4]]


def test_a_sampled_picture_of_a_high_layer_needs_only_what_comes_before_it() -> None:
    layers = [at(REFERENCE, n, layer=n % 3) for n in range(1, SECOND + 2)]
    assert decoded([at(KEY, 0), *layers], 2.0) == [[0, 3, 6, 9, 12, 15, 18, 21, 24]]
    layers[11] = at(REFERENCE, 12, layer=1)
    assert decoded([at(KEY, 0), *layers], 2.0) == [[0, 1, 3, 4, 6, 7, 9, 10, 12, 15, 18, 21, 24]]


def test_parameter_sets_of_a_high_layer_are_decoded() -> None:
    notes = [at(KEY, 0, parameters=True), at(REFERENCE, 1, layer=2, parameters=True), at(REFERENCE, SECOND)]
    assert decoded(notes) == [[0, 1, 2]]


def test_parameter_sets_outside_restarts_forbid_skipping_groups() -> None:
    notes = [at(KEY if n % SECOND == 0 else REFERENCE, n) for n in range(2 * SECOND)]
    everywhere = [replace(note, parameters=note.restart) for note in notes]
    assert decoded(everywhere) == [[0], [24]]
    stray = [replace(note, parameters=n in (0, 7)) for n, note in enumerate(notes)]
    assert decoded(stray) == [list(range(25))]


def test_frames_cut_off_by_an_edit_list_are_decoded_but_not_counted() -> None:
    notes = [at(KEY, -12)] + [at(REFERENCE, n, shown=n >= 0) for n in range(-11, SECOND)]
    notes[0] = replace(notes[0], shown=False)
    found = plan(notes)
    assert (found.frames_in_video, found.start) == (SECOND, 0)
    assert (found.groups[0].packets, found.groups[0].frames) == (list(range(13)), [0])


def test_the_last_frame_lasts_as_long_as_its_packet_says() -> None:
    notes = [at(KEY, 0), at(REFERENCE, 1, duration=5 * SECOND)]
    assert plan(notes).end == 1 + 5 * SECOND
    assert plan([notes[0], replace(notes[1], duration=0)]).end == 2


@pytest.mark.parametrize(
    "notes",
    [
        [],
        [at(REFERENCE, 0), at(KEY, 1)],
        [at(KEY, 0), at(REFERENCE, None)],
        [at(KEY, 0), at(REFERENCE, 1), at(REFERENCE, 1)],
        [at(KEY, 24), at(KEY, 0)],
        [at(KEY, 0, shown=False)],
    ],
    ids=["empty", "no start", "no time", "two at one time", "groups out of order", "nothing shown"],
)
def test_packets_without_unambiguous_times_give_no_plan(notes: list[PacketNote]) -> None:
    assert plan_decoding(notes, TIME_BASE, 1.0, 1) is None


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.ts"])
def test_h264_restarts_at_idr_and_b_frames_are_disposable(tmp_path: Path, name: str) -> None:
    options = {"g": "24", "bf": "2", "x264-params": "b-pyramid=none:scenecut=0:b-adapt=0"}
    notes = notes_of(write_clip(tmp_path / name, seconds=3, options=options))
    assert [n for n, note in enumerate(notes) if note.restart] == [0, 24, 48]
    assert groups_are_closed(notes)
    # Two of three frames are B-frames, but for the ends of the groups.
    assert 40 <= sum(note.disposable for note in notes) <= 48
    assert not any(note.disposable and note.keyframe for note in notes)


def test_h264_open_groups_are_no_restarts(tmp_path: Path) -> None:
    options = {"g": "24", "x264-params": "open-gop=1:bframes=3:scenecut=0"}
    notes = notes_of(write_clip(tmp_path / "clip.mkv", seconds=3, options=options))
    assert sum(note.keyframe for note in notes) == 3
    assert sum(note.restart for note in notes) == 1
    assert len(plan_decoding(notes, Fraction(1, 1000), 2.0, 42).groups) == 1  # type: ignore[union-attr]


@pytest.mark.parametrize(("params", "closed"), [("open-gop=0", True), ("open-gop=1", False)])
def test_hevc_groups_are_closed_where_nothing_leads_the_keyframe(tmp_path: Path, params: str, closed: bool) -> None:
    options = {"x265-params": f"keyint=24:min-keyint=24:scenecut=0:bframes=3:{params}"}
    notes = notes_of(write_clip(tmp_path / "clip.mp4", codec="libx265", seconds=3, options=options))
    assert [note.restart for note in notes] == [note.keyframe for note in notes]
    assert sum(note.restart for note in notes) == 3
    assert groups_are_closed(notes) == closed
    assert any(note.disposable for note in notes)


def test_mpeg4_restarts_at_intra_frames(tmp_path: Path) -> None:
    notes = notes_of(write_clip(tmp_path / "clip.mp4", codec="mpeg4", seconds=2, options={"g": "12"}))
    assert [n for n, note in enumerate(notes) if note.restart] == [0, 12, 24, 36]


def test_a_packet_full_of_noise_is_never_left_out(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", width=320, height=192, options={"bf": "3", "crf": "18"})
    sound = notes_of(path)
    noisy = notes_of(damage(path, at=0.3, size=20_000))
    changed = [new for old, new in zip(sound, noisy, strict=True) if old != new]
    assert changed
    assert not any(note.disposable or note.restart for note in changed)
