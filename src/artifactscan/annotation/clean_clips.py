"""Labels for clips that have no defects, such as camera footage: negatives that nobody has to annotate."""

from itertools import groupby

import pyarrow as pa
from rich.console import Console
from rich.text import Text

from artifactscan import storage
from artifactscan.annotation.labels_table import LABELLED, write_labels
from artifactscan.annotation.settings import CleanSettings
from artifactscan.corpus.listing import ListSettings, list_corpus
from artifactscan.corpus.output_place import check_not_an_input
from artifactscan.decode.input_spec import InputSpec
from artifactscan.decode.reader import VideoReader
from artifactscan.decode.sampled_indices import sampled_indices
from artifactscan.decode.sandbox.supervisor import SandboxedDecoder
from artifactscan.decode.video import DecodeError, DecodeLimits, DecodeSettings
from artifactscan.errors import UsageError
from artifactscan.labels import LABELS, SEVERITY_COLUMNS
from artifactscan.messages.text import printable

_SMALL = InputSpec(height=16, width=16)
"""Pixels are not looked at."""


def label_clean_clips(settings: CleanSettings, out: Console) -> None:
    """Writes a labels table of frames without defects and prints counts; UsageError before anything is written.

    Of each clip the first frames at two per second; clips that cannot be decoded are left out, and named.
    """
    check_not_an_input(settings.output, ("--input", settings.input))
    if storage.exists(storage.normalise(settings.output)):
        raise UsageError(f"--output {settings.output} is there already; name another file, or remove it first")
    listing = list_corpus(settings.input, ListSettings())
    clips = [row for batch in listing for row in batch.to_pylist()]
    limits = DecodeLimits()
    decoding = DecodeSettings(input=_SMALL, sample_fps=settings.sample_fps, limits=limits)
    root = storage.normalise(settings.input).rstrip("/") + "/"
    rows, skipped = [], []
    with SandboxedDecoder(decoding) as decoder:
        read = VideoReader(decoder, max_object_bytes=limits.max_object_bytes).read(clips)
        for uri, pairs in groupby(read, key=lambda pair: pair[0]["uri"]):
            try:
                indices = sampled_indices(segment for _, segment in pairs)[: settings.frames_per_clip]
            except DecodeError as error:
                skipped.append(f"{printable(uri)} ({error.outcome}: {printable(error.reason)})")
                continue
            rows += [_clean_row(uri.removeprefix(root), index, settings) for index in indices]
    if not rows:
        raise UsageError(f"--input {settings.input} has no clip that can be decoded; the first one is {skipped[0]}")
    write_labels(pa.Table.from_pylist(rows, LABELLED), settings.output)
    for clip in skipped:
        out.print(Text(f"left out: {clip}", style="yellow"), soft_wrap=True)
    out.print(f"{len(rows):,} frames without defects, of {len({row['file'] for row in rows}):,} clips")
    out.print(Text(f"labels  {printable(settings.output)}"), soft_wrap=True)


def _clean_row(file: str, frame_index: int, settings: CleanSettings) -> dict[str, object]:
    return {
        **{"file": file, "frame_index": frame_index, "annotator": None, "note": None, "generator": settings.generator},
        **dict.fromkeys(LABELS, 0),
        **dict.fromkeys(SEVERITY_COLUMNS, 0.0),
    }
