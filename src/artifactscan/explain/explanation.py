"""Explains one video: overlays of heat maps on its frames, a contact sheet of all of them, and an index."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from rich.table import Table
from rich.text import Text

from artifactscan import storage
from artifactscan.corpus.output_place import check_not_an_input
from artifactscan.errors import CutOffError
from artifactscan.explain.heatmaps import HeatMapper
from artifactscan.explain.overlays import Tile, contact_sheet, overlay, png, thumbnail
from artifactscan.explain.settings import ExplainSettings
from artifactscan.explain.video_frames import ScoredFrame, fetched_video, scored_frames
from artifactscan.labels import LABELS
from artifactscan.messages.console import console
from artifactscan.messages.text import printable
from artifactscan.model.checkpoint import Checkpoint, load_checkpoint
from artifactscan.model.classifier import Classifier
from artifactscan.schemas import EXPLANATIONS
from artifactscan.storage import storage_errors
from artifactscan.storage.lease import LEASE_NAME, Lease
from artifactscan.storage.parquet import write_table

INDEX_NAME, SHEET_NAME = "index.parquet", "sheet.png"

_PICTURE_NAME = re.compile(rf"frame_\d{{6,}}_({'|'.join(LABELS)})\.png")


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What was written."""

    index: pa.Table
    """EXPLANATIONS rows by frame and label, as INDEX_NAME has them."""
    sheet: str
    """Uri of the contact sheet."""
    notes: tuple[str, ...]
    """Sentences for the reader."""


def explain_video(settings: ExplainSettings) -> Explanation:
    """Explains frames of one video and writes the pictures below ``settings.output``, the index last.

    UsageError for a video, frame, checkpoint or output that cannot be used; CutOffError where writing fails.
    """
    output = storage.normalise(settings.output)
    check_not_an_input(settings.output, ("--video", settings.video), ("--checkpoint", settings.checkpoint))
    storage.check_writable(output)
    with fetched_video(settings.video, max_object_bytes=settings.max_object_bytes) as (fetched, uri, identity):
        checkpoint = load_checkpoint(settings.checkpoint)
        classifier = Classifier(checkpoint, settings.classifying())
        mapper = HeatMapper(checkpoint, classifier.device)
        scored = scored_frames(fetched, uri, settings, checkpoint.card, classifier)
    constants = {"video_id": identity, "uri": uri, "checkpoint": checkpoint.digest}
    try:
        with Lease(storage.join(output, LEASE_NAME), what="explanation") as lease:
            return _write(output, scored, settings.label_indices(), checkpoint, mapper, constants, lease)
    except OSError as error:
        raise CutOffError(f"output {output} cannot be written: {storage_errors.describe(error)}") from None


def _write(
    output: str,
    scored: Sequence[ScoredFrame],
    labels: Sequence[int],
    checkpoint: Checkpoint,
    mapper: HeatMapper,
    constants: dict[str, str],
    lease: Lease,
) -> Explanation:
    """``constants``: the columns of the index that are the same in each row."""
    card = checkpoint.card
    earlier = storage.list_names(output)
    if INDEX_NAME in earlier:  # it would not match the pictures that are written now
        storage.remove_tree(storage.join(output, INDEX_NAME))
    rows, sheet = [], []
    for frame in scored:
        shown = frame.shown.pixels
        sheet.append([Tile(picture=thumbnail(shown), title=f"frame {frame.seen.index} at {frame.seen.pts_s:.3f} s")])
        for label, heat in zip(labels, mapper.maps(frame.seen.pixels, labels), strict=True):
            row = _row(frame, label, heat, card.thresholds[LABELS[label]])
            picture = overlay(shown, heat)
            storage.write_bytes(storage.join(output, row["picture"]), png(picture))
            sheet[-1].append(_tile(row, picture))
            rows.append({**constants, **row})
    written = {row["picture"] for row in rows}
    for name in earlier:
        if _PICTURE_NAME.fullmatch(name) and name not in written:
            storage.remove_tree(storage.join(output, name))
    heading = f"{constants['uri'].rsplit('/', 1)[-1]} · {card.backbone}, checkpoint {checkpoint.digest}"
    storage.write_bytes(storage.join(output, SHEET_NAME), contact_sheet(sheet, heading))
    index = pa.Table.from_pylist(rows, EXPLANATIONS)
    lease.check()
    write_table(index, storage.join(output, INDEX_NAME))
    notes = () if card.trained else ("the checkpoint is not trained: its scores and heat maps mean nothing",)
    return Explanation(index=index, sheet=storage.join(output, SHEET_NAME), notes=notes)


def _row(frame: ScoredFrame, label: int, heat: np.ndarray, threshold: float) -> dict[str, Any]:
    """The columns of EXPLANATIONS that belong to one frame and label; the peak is null where the map is 0 all over."""
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    has_peak = heat[row, column] > 0
    return {
        "frame_index": frame.seen.index,
        "pts_s": frame.seen.pts_s,
        "label": LABELS[label],
        "score": float(frame.scores[label]),
        "threshold": threshold,
        "peak_x": (float(column) + 0.5) / heat.shape[1] if has_peak else None,
        "peak_y": (float(row) + 0.5) / heat.shape[0] if has_peak else None,
        "picture": f"frame_{frame.seen.index:06d}_{LABELS[label]}.png",
    }


def _tile(row: dict[str, Any], picture: np.ndarray) -> Tile:
    over = row["score"] >= row["threshold"]
    title = f"{row['label']} {row['score']:.4f} {'≥' if over else '<'} {row['threshold']:.4f}"
    return Tile(
        picture=thumbnail(picture), title=title if row["peak_x"] is not None else f"{title}, no place", strong=over
    )


def print_explanation(explanation: Explanation) -> None:
    """Prints the scores, with a star where they are at or over their thresholds, and where the pictures are."""
    rows = explanation.index.to_pylist()
    table = Table(title="Scores; * at or over the threshold", title_justify="left")
    table.add_column("frame", justify="right")
    table.add_column("time", justify="right")
    for label, threshold in {row["label"]: row["threshold"] for row in rows}.items():
        table.add_column(f"{label} ≥ {threshold:.4f}", justify="right")
    for index in {row["frame_index"]: None for row in rows}:
        of_frame = [row for row in rows if row["frame_index"] == index]
        scores = [f"{row['score']:.4f}{'*' if row['score'] >= row['threshold'] else ' '}" for row in of_frame]
        table.add_row(str(index), f"{of_frame[0]['pts_s']:.3f} s", *scores)
    out = console()
    out.print(table)
    for note in explanation.notes:
        out.print(Text(note), soft_wrap=True)
    if empty := sum(row["peak_x"] is None for row in rows):
        out.print(f"{empty} of {len(rows)} heat maps are empty: no place in the frame speaks for the label")
    out.print(Text(f"{len(rows) - empty} heat maps, all on {printable(explanation.sheet)}"), soft_wrap=True)
