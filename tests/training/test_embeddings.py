"""The embedding cache: what is missing, what is read back, and what its key depends on."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from artifactscan import storage
from artifactscan.annotation.labels_table import LABELLED
from artifactscan.corpus.listed_object import video_id
from artifactscan.decode.input_spec import InputSpec
from artifactscan.errors import UsageError
from artifactscan.labels import LABELS
from artifactscan.model.backbone import initialise
from artifactscan.model.checkpoint import Checkpoint
from artifactscan.model.probe_spec import ProbeSpec
from artifactscan.storage.parquet import write_table
from artifactscan.training.embeddings import EMBEDDINGS, clips_to_embed, find_embeddings, gather_windows
from artifactscan.training.labelled_frames import Clip, LabelledFrames
from artifactscan.training.probe_checkpoint import to_probe

CLIPS = {
    "a.mp4": Clip(uri="/in/a.mp4", etag="1", size_bytes=10),
    "b.mp4": Clip(uri="/in/b.mp4", etag="2", size_bytes=20),
}
IDS = {file: video_id(clip.uri, clip.etag) for file, clip in CLIPS.items()}


def labelled(*frames: tuple[str, int]) -> LabelledFrames:
    rows = [{"file": file, "frame_index": index, **dict.fromkeys(LABELS, 0)} for file, index in frames]
    files = {file for file, _ in frames}
    clips = {file: clip for file, clip in CLIPS.items() if file in files}
    return LabelledFrames(table=pa.Table.from_pylist(rows, LABELLED), clips=clips)


def row(file: str, index: int, window: list[int] | None) -> dict:
    return {"video_id": IDS[file], "frame_index": index, "window": window, "features": [index, index + 0.5]}


@pytest.fixture(scope="module")
def probe() -> Checkpoint:
    return to_probe(initialise("test_resnet.r160_in1k", height=64, width=64), ProbeSpec(neighbours=1))


def test_only_frames_without_a_window_are_embedded() -> None:
    stored = pa.Table.from_pylist([row("a.mp4", 0, None), row("a.mp4", 12, [0, 12, 12])], EMBEDDINGS)
    clips = clips_to_embed(labelled(("a.mp4", 0), ("a.mp4", 12), ("b.mp4", 3)), stored)
    assert [(clip["file"], clip["wanted"]) for clip in clips.to_pylist()] == [("b.mp4", [3]), ("a.mp4", [0])]
    assert not clips_to_embed(labelled(("a.mp4", 12)), stored).num_rows


def test_windows_are_gathered_in_the_order_of_the_labels() -> None:
    rows = [row("b.mp4", 3, [3, 3, 4]), row("b.mp4", 4, None), row("a.mp4", 1, [1, 1, 1]), row("a.mp4", 1, None)]
    found = gather_windows(labelled(("a.mp4", 1), ("b.mp4", 3)), pa.Table.from_pylist(rows, EMBEDDINGS), tiles=2)
    assert found.read.shape == (2, 3, 2, 1)
    assert found.read[:, :, 0, 0].tolist() == [[1, 1, 1], [3, 3, 4]]
    assert found.read[1, 2, 1, 0] == 4.5
    assert found.inside.tolist() == [[False, True, False], [False, True, True]]


def test_parts_are_read_together(tmp_path: Path, probe: Checkpoint) -> None:
    cache = find_embeddings(str(tmp_path), probe)
    assert cache.read().num_rows == 0
    for number, file in enumerate(CLIPS):
        part = pa.Table.from_pylist([row(file, number, [number] * 3)], EMBEDDINGS)
        write_table(part, storage.join(cache.root, f"{number}.parquet"))
    assert cache.read().num_rows == 2


def test_the_key_depends_on_what_is_read_and_not_on_the_head(probe: Checkpoint) -> None:
    root = find_embeddings("/cache", probe).root
    spec = probe.card.probe
    assert spec is not None
    initial = initialise("test_resnet.r160_in1k", height=64, width=64)
    assert find_embeddings("/cache", to_probe(initial, replace(spec, components=7))).root == root
    other_weights = initialise("test_resnet.r160_in1k", height=64, width=64, seed=1)
    others = [
        find_embeddings("/cache", probe, bf16=True),
        find_embeddings("/cache", to_probe(initial, replace(spec, sample_fps=3.0))),
        find_embeddings("/cache", to_probe(initial, replace(spec, neighbours=2))),
        find_embeddings("/cache", to_probe(initial, replace(spec, smoothing=0.5))),
        find_embeddings("/cache", to_probe(initial, replace(spec, tokens=("max",)))),
        find_embeddings("/cache", to_probe(other_weights, spec)),
        find_embeddings("/cache", replace(probe, card=replace(probe.card, input=InputSpec(height=64, width=96)))),
    ]
    assert len({root, *(one.root for one in others)}) == 7


def test_a_probe_of_a_probe_reads_the_same_backbone(probe: Checkpoint) -> None:
    again = to_probe(probe, ProbeSpec(neighbours=1))
    assert again.weights == probe.weights
    short = to_probe(probe, ProbeSpec(blocks=(0,), tokens=("mean",)))
    with pytest.raises(UsageError, match=r"has no tensor .* which these blocks need"):
        to_probe(short, ProbeSpec(blocks=(3,), tokens=("mean",)))


def test_a_frame_whose_neighbours_were_not_stored_is_embedded_again() -> None:
    cut_off = pa.Table.from_pylist([row("a.mp4", 12, [0, 12, 24]), row("a.mp4", 0, None)], EMBEDDINGS)
    [clip] = clips_to_embed(labelled(("a.mp4", 12)), cut_off).to_pylist()
    assert clip["wanted"] == [12]
