"""One explanation, whole: a video's frames with heat maps over them, a contact sheet, and an index of both."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from rich.table import Table
from rich.text import Text

from artifactscan import storage
from artifactscan.corpus.listing import video_id
from artifactscan.decode.native_size import at_size, fit
from artifactscan.decode.video import DecodeError, DecodeSettings, VideoFacts
from artifactscan.errors import CutOffError, UsageError
from artifactscan.explain.choosing import Frame, Highest, Named, UnknownFrame, watch
from artifactscan.explain.heatmaps import HeatMapper
from artifactscan.explain.overlays import Cell, contact_sheet, overlay, png, thumbnail
from artifactscan.explain.settings import ExplainSettings
from artifactscan.labels import LABELS
from artifactscan.messages.console import console
from artifactscan.messages.text import printable
from artifactscan.model.checkpoint import Card, Checkpoint, load_checkpoint
from artifactscan.model.classifier import Classifier
from artifactscan.schemas import EXPLANATIONS
from artifactscan.storage import failures
from artifactscan.storage.fetch import Fetched, FetchError, fetch
from artifactscan.storage.parquet import write_table

INDEX_NAME, SHEET_NAME = "index.parquet", "sheet.png"

_OWN_NAME = re.compile(rf"frame_\d{{6,}}_({'|'.join(LABELS)})\.png")


@dataclass(frozen=True, kw_only=True)
class ScoredFrame:
    """One frame to explain."""

    seen: Frame
    """As the classifier takes it."""
    shown: Frame
    """As the video shows it, at its aspect."""
    scores: np.ndarray
    """float32 (labels,): the classifier's."""


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What was written."""

    index: pa.Table
    """Of the schema EXPLANATIONS, by frame and label; it lies in INDEX_NAME."""
    sheet: str
    """Where the contact sheet lies."""
    notes: tuple[str, ...]
    """What to know of it, in words."""


def explain(settings: ExplainSettings) -> Explanation:
    """Explains frames of one video and writes the pictures below ``settings.output``, the index last.

    UsageError for a video, frame, checkpoint or output that cannot be used; CutOffError where writing fails.
    """
    output = storage.normalise(settings.output)
    storage.check_writable(output)
    with fetched_video(settings) as (fetched, uri, identity):
        checkpoint = load_checkpoint(settings.checkpoint)
        classifier = Classifier(checkpoint, settings.classifying())
        mapper = HeatMapper(checkpoint, classifier.device)
        scored = scored_frames(fetched, uri, settings, checkpoint.card, classifier)
    try:
        return _write(output, scored, settings, checkpoint, mapper, uri=uri, identity=identity)
    except OSError as error:
        raise CutOffError(f"output {output} cannot be written: {failures.in_words(error)}") from None


@contextmanager
def fetched_video(settings: ExplainSettings) -> Iterator[tuple[Fetched, str, str]]:
    """The video as a local file, its uri and its video_id; UsageError where it cannot be had."""
    uri = storage.normalise(settings.video)
    try:
        found = storage.stat(uri)
    except FileNotFoundError:
        raise UsageError(f"video {uri} is not there; give the path or s3:// uri of one video") from None
    except OSError as error:
        raise UsageError(f"video {uri} cannot be read: {failures.reason(error, uri)}") from None
    try:
        fetched = fetch(uri, found.etag, found.size_bytes, max_bytes=settings.max_object_bytes)
    except FetchError as error:
        raise UsageError(f"video {uri} cannot be read ({error.outcome}): {error.reason}") from None
    except OSError as error:
        raise CutOffError(f"video {uri} cannot be copied to this machine: {failures.in_words(error)}") from None
    with fetched:
        yield fetched, uri, video_id(uri, found.etag)
        if not fetched.still_same():
            raise UsageError(f"video {uri} was written to while it was read; run this again when it is whole")


def scored_frames(
    fetched: Fetched, uri: str, settings: ExplainSettings, card: Card, classifier: Classifier
) -> list[ScoredFrame]:
    """The frames that ``settings`` choose; UsageError where the video has none such or cannot be decoded."""
    thresholds = np.array([card.thresholds[label] for label in LABELS])
    labels = list(settings.label_indices())

    def highest_margin(frames: np.ndarray) -> np.ndarray:
        return (classifier.scores([frames]) - thresholds)[:, labels].max(axis=1)

    def new_picker() -> Named | Highest:
        if settings.frames or settings.at:
            return Named(settings.frame_indices(), settings.times_s())
        return Highest(settings.top, highest_margin)

    decoding = settings.decoding(card.input)
    try:
        picker, facts = watch(fetched.path, decoding, new_picker)
        seen = picker.chosen(facts)
        shown = _shown_frames(fetched.path, decoding, facts, [frame.index for frame in seen], settings.max_side)
    except UnknownFrame as error:
        raise UsageError(f"video {uri} {error}") from None
    except DecodeError as error:
        raise UsageError(f"video {uri} cannot be decoded ({error.outcome}): {error.reason}") from None
    scores = classifier.scores([np.stack([frame.pixels for frame in seen])])
    return [ScoredFrame(seen=one, shown=two, scores=row) for one, two, row in zip(seen, shown, scores, strict=True)]


def _shown_frames(
    path: str, decoding: DecodeSettings, facts: VideoFacts, indices: Sequence[int], max_side: int
) -> list[Frame]:
    """The same frames by the same decoder at the video's aspect, neither side over ``max_side`` pixels."""
    assert facts.height and facts.width and facts.decoder
    same = replace(decoding, decoder=facts.decoder)
    sized = at_size(same, *fit(facts.height, facts.width, max_side))
    picker, again = watch(path, sized, lambda: Named(indices))
    return picker.chosen(again)


def _write(
    output: str,
    scored: Sequence[ScoredFrame],
    settings: ExplainSettings,
    checkpoint: Checkpoint,
    mapper: HeatMapper,
    *,
    uri: str,
    identity: str,
) -> Explanation:
    card, labels = checkpoint.card, settings.label_indices()
    names = storage.list_names(output)
    if INDEX_NAME in names:  # from here on it would be wrong
        storage.remove_tree(storage.join(output, INDEX_NAME))
    rows, sheet = [], []
    for frame in scored:
        seen, shown = frame.seen, frame.shown
        sheet.append([Cell(picture=thumbnail(shown.pixels), title=f"frame {seen.index} at {seen.pts_s:.3f} s")])
        for number, heat in zip(labels, mapper.maps(seen.pixels, labels), strict=True):
            label, score = LABELS[number], float(frame.scores[number])
            threshold = card.thresholds[label]
            picture, name = overlay(shown.pixels, heat), f"frame_{seen.index:06d}_{label}.png"
            storage.write_bytes(storage.join(output, name), png(picture))
            over = score >= threshold
            peak_x, peak_y = _peak(heat)
            title = f"{label} {score:.4f} {'≥' if over else '<'} {threshold:.4f}{'' if peak_x else ', no place'}"
            sheet[-1].append(Cell(picture=thumbnail(picture), title=title, strong=over))
            rows.append(
                {
                    "video_id": identity,
                    "uri": uri,
                    "checkpoint": checkpoint.digest,
                    "frame_index": seen.index,
                    "pts_s": seen.pts_s,
                    "label": label,
                    "score": score,
                    "threshold": threshold,
                    "peak_x": peak_x,
                    "peak_y": peak_y,
                    "picture": name,
                }
            )
    index = pa.Table.from_pylist(rows, EXPLANATIONS)
    for name in names:  # of an earlier explanation
        if _OWN_NAME.fullmatch(name) and name not in index["picture"].to_pylist():
            storage.remove_tree(storage.join(output, name))
    heading = f"{uri.rsplit('/', 1)[-1]} · {card.backbone}, checkpoint {checkpoint.digest}"
    storage.write_bytes(storage.join(output, SHEET_NAME), contact_sheet(sheet, heading))
    write_table(index, storage.join(output, INDEX_NAME))
    notes = () if card.trained else ("the checkpoint is not trained: its scores and heat maps mean nothing",)
    return Explanation(index=index, sheet=storage.join(output, SHEET_NAME), notes=notes)


def tell(explanation: Explanation) -> None:
    """Prints the scores, a star at those at or over their thresholds, and where the pictures lie."""
    rows = explanation.index.to_pylist()
    table = Table(title="Scores; * at or over the threshold", title_justify="left")
    table.add_column("frame", justify="right")
    table.add_column("time", justify="right")
    for label, threshold in {row["label"]: row["threshold"] for row in rows}.items():
        table.add_column(f"{label} ≥ {threshold:.4f}", justify="right")
    for index in {row["frame_index"]: None for row in rows}:
        mine = [row for row in rows if row["frame_index"] == index]
        scores = [f"{row['score']:.4f}{'*' if row['score'] >= row['threshold'] else ' '}" for row in mine]
        table.add_row(str(index), f"{mine[0]['pts_s']:.3f} s", *scores)
    out = console()
    out.print(table)
    for note in explanation.notes:
        out.print(Text(note), soft_wrap=True)
    if nowhere := sum(row["peak_x"] is None for row in rows):
        out.print(f"{nowhere} of {len(rows)} scores have a map of nothing: no place in the frame speaks for the label")
    out.print(Text(f"{len(rows) - nowhere} heat maps, all on {printable(explanation.sheet)}"), soft_wrap=True)


def _peak(heat: np.ndarray) -> tuple[float, float] | tuple[None, None]:
    """Where the map is highest, from 0 at the left and top to 1."""
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    if not heat[row, column] > 0:
        return None, None
    return (float(column) + 0.5) / heat.shape[1], (float(row) + 0.5) / heat.shape[0]
