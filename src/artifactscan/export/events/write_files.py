"""Writes the files of each target from a stream of videos, and the index beside them."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO

from artifactscan import storage
from artifactscan.annotation.cvat_tracks import task_names
from artifactscan.annotation.label_studio_timeline import timeline_config
from artifactscan.annotation.video_index import INDEX_NAME
from artifactscan.export.events import cvat, fiftyone, label_studio, webvtt
from artifactscan.export.events.file_names import clip_file_names, is_clip_file_name
from artifactscan.export.events.read_videos import StoredVideos
from artifactscan.export.events.scored_video import ScoredVideo
from artifactscan.export.events.target_folder import BEGUN_NAME, RECORD_NAME, IndexWriter, TargetFolder, write_index
from artifactscan.storage.concurrent import map_in_order
from artifactscan.storage.lease import LEASE_NAME

_RESERVED = (RECORD_NAME, BEGUN_NAME, INDEX_NAME, LEASE_NAME)


@dataclass
class Written:
    """What an export wrote."""

    clips: int = 0
    frames: int = 0
    events: Counter[str] = field(default_factory=Counter)
    """By label."""

    def counting(self, videos: Iterable[ScoredVideo]) -> Iterator[ScoredVideo]:
        """The videos, each counted as it passes."""
        for video in videos:
            self.clips += 1
            self.frames += len(video.frame_index)
            self.events.update(event.label for event in video.events)
            yield video


def write_files(to: str, videos: StoredVideos, folder: TargetFolder, *, check: Callable[[], None]) -> Written:
    """Writes an export; ``check`` is called now and then, and raises where the folder is another job's by now."""
    names, written = _clip_files(to, videos), Written()
    earlier = folder.begin(names.values())
    with write_index(folder) as index:
        stream = written.counting(videos.iterate(check))
        if to == "fiftyone":
            _write_fiftyone(stream, videos, folder, index)
        elif to == "label-studio":
            _write_label_studio(stream, videos, folder, index)
        else:
            write, suffix = (_write_cvat, cvat.SUFFIX) if to == "cvat" else (_write_webvtt, webvtt.SUFFIX)
            clip_files = {name for name in earlier if is_clip_file_name(name, suffix)}  # others may write their table
            folder.remove_unfinished(clip_files.union(names.values()))
            now = write(((names[video.file], video) for video in stream), videos, folder, index)
            for name in sorted(clip_files - now):  # of clips that have no scores any more
                storage.remove_file(folder.path(name))
    folder.end()
    return written


def _clip_files(to: str, videos: StoredVideos) -> Mapping[str, str]:
    """Clip → path below the folder of the file that is of it alone; empty for tools that have none."""
    if to == "cvat":
        return {file: f"{cvat.FOLDER}/{name}" for file, name in clip_file_names(videos.files, cvat.SUFFIX).items()}
    return clip_file_names(videos.files, webvtt.SUFFIX, reserved=_RESERVED) if to == "webvtt" else {}


def _write_fiftyone(
    stream: Iterable[ScoredVideo], videos: StoredVideos, folder: TargetFolder, index: IndexWriter
) -> None:
    metadata = fiftyone.make_metadata(scorer=videos.runs.scorer, spec=videos.runs.spec_digest)
    storage.write_bytes(folder.path(fiftyone.METADATA_NAME), metadata)
    with (
        _json_list(folder.path(fiftyone.SAMPLES_NAME), "samples") as samples,
        _json_list(folder.path(fiftyone.FRAMES_NAME), "frames") as frames,
    ):
        for video in stream:
            samples.add(fiftyone.make_sample(video))
            for frame in fiftyone.make_frames(video):
                frames.add(frame)
            index.add(video, None)


def _write_label_studio(
    stream: Iterable[ScoredVideo], videos: StoredVideos, folder: TargetFolder, index: IndexWriter
) -> None:
    storage.write_bytes(folder.path(label_studio.CONFIG_NAME), timeline_config())
    with _json_list(folder.path(label_studio.TASKS_NAME)) as tasks:
        for video in stream:
            tasks.add(label_studio.make_task(video, scorer=videos.runs.scorer))
            index.add(video, None)


def _write_cvat(
    named: Iterable[tuple[str, ScoredVideo]], videos: StoredVideos, folder: TargetFolder, index: IndexWriter
) -> set[str]:
    storage.write_bytes(folder.path(cvat.RAW_LABELS_NAME), cvat.label_constructor())
    names = task_names(videos.files)
    return _write_clip_files(named, lambda video: cvat.write_tracks(video, task_name=names[video.file]), folder, index)


def _write_webvtt(
    named: Iterable[tuple[str, ScoredVideo]], videos: StoredVideos, folder: TargetFolder, index: IndexWriter
) -> set[str]:
    return _write_clip_files(
        named, lambda video: webvtt.write_chapters(video, scorer=videos.runs.scorer), folder, index
    )


def _write_clip_files(
    named: Iterable[tuple[str, ScoredVideo]],
    make: Callable[[ScoredVideo], bytes],
    folder: TargetFolder,
    index: IndexWriter,
) -> set[str]:
    """Writes a file for each clip, many at a time, and returns their names."""

    def indexed() -> Iterator[tuple[str, ScoredVideo]]:
        for name, video in named:
            index.add(video, name)
            yield name, video

    def write(one: tuple[str, ScoredVideo]) -> str:
        storage.write_bytes(folder.path(one[0]), make(one[1]))
        return one[0]

    return set(map_in_order(write, indexed()))


class _JsonList:
    """A JSON list in a file, written entry by entry."""

    def __init__(self, file: IO[bytes]):
        self._file, self._between = file, b"\n"

    def add(self, entry: bytes) -> None:
        self._file.write(self._between + entry)
        self._between = b",\n"


@contextmanager
def _json_list(uri: str, name: str | None = None) -> Iterator[_JsonList]:
    """A file that is a JSON list, or an object whose one member ``name`` is the list."""
    before, after = (b"[", b"\n]\n") if name is None else (f'{{"{name}": ['.encode(), b"\n]}\n")
    with storage.open_to_write(uri) as file:
        file.write(before)
        yield _JsonList(file)
        file.write(after)
