"""Synthetic clips added to the training frames; nothing is tuned or tested on them."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from artifactscan import storage
from artifactscan.annotation.labels_table import LABELLED
from artifactscan.leftovers.temporary_folders import temporary_folder
from artifactscan.synthesis.corpus import SynthesisSettings, write_corpus
from artifactscan.training.labelled_frames import LabelledFrames, load_labelled_frames

SYNTHETIC_LABELS_NAME = "labels.csv"
FILE_PREFIX = "synthetic:"
"""Before the ``file`` of a synthetic clip, which keeps it apart from the user's clips."""


def write_synthetic_clips(folder: str, pairs: int, *, seed: int) -> str:
    """Writes ``pairs`` clips, each clean and defective, to ``folder``, local or s3://, once; returns labels.csv.

    Pairs share their content, so that labels cannot be predicted from it. labels.csv is written last.
    UsageError where the clips cannot be written.
    """
    labels = storage.join(folder, SYNTHETIC_LABELS_NAME)
    if storage.exists(labels):
        return labels
    with temporary_folder() as here:
        settings = SynthesisSettings(output=here, count=pairs, pairs=True, seed=seed)
        for path in write_corpus(settings):
            storage.write_bytes(storage.join(folder, path.relative_to(here).as_posix()), path.read_bytes())
            path.unlink()
        storage.write_bytes(labels, Path(here, SYNTHETIC_LABELS_NAME).read_bytes())
    return labels


def append_synthetic(labelled: LabelledFrames, labels: str) -> LabelledFrames:
    """``labelled`` with the frames of the synthetic clips in the table ``labels`` after its own."""
    drawn = load_labelled_frames([labels], [])
    files = pa.array([FILE_PREFIX + file for file in drawn.files])
    position = drawn.table.schema.get_field_index("file")
    renamed = drawn.table.set_column(position, LABELLED.field("file"), files)
    clips = {FILE_PREFIX + file: clip for file, clip in drawn.clips.items()}
    return replace(labelled, table=pa.concat_tables([labelled.table, renamed]), clips={**labelled.clips, **clips})
