"""Replays one video of a store on this machine: decodes and scores it again, and compares with the stored scores."""

from dataclasses import asdict, dataclass, fields, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artifactscan import storage
from artifactscan.audit.given_store import find_scoring_store
from artifactscan.audit.settings import WhySettings
from artifactscan.decode.reader import VideoReader
from artifactscan.decode.sandbox.supervisor import SandboxedDecoder
from artifactscan.decode.video import DecodeResult, decoder_on_cpu
from artifactscan.errors import UsageError
from artifactscan.explain.explanation import Explanation, explain_video
from artifactscan.explain.heatmaps import NoHeatMapsError
from artifactscan.explain.settings import MAX_FRAMES, ExplainSettings
from artifactscan.labels import LABELS
from artifactscan.messages.text import printable
from artifactscan.model.checkpoint import Checkpoint, load_checkpoint
from artifactscan.model.classifier import Classifier
from artifactscan.model.openvino_backend import backend_name
from artifactscan.outcomes import HAS_FRAMES
from artifactscan.schemas import FRAMES, VIDEOS
from artifactscan.scoring.events import EventSettings, find_events
from artifactscan.scoring.settings import ScoreSettings
from artifactscan.storage import storage_errors
from artifactscan.storage.parquet import read_table
from artifactscan.store.layout import Store
from artifactscan.store.run_records import RunRecord
from artifactscan.store.stored_rows import stored_frames


@dataclass(frozen=True, kw_only=True)
class Replay:
    """One video: what the store has, and what decoding and scoring it now gives."""

    row: dict
    """Its row of the ledger."""
    run: RunRecord
    """The run that settled it."""
    thresholds: dict[str, float]
    stored: pa.Table
    """FRAMES, in order."""
    fresh: pa.Table
    """FRAMES, in order."""
    result: DecodeResult
    """Of decoding it now."""
    events: pa.Table
    """EVENTS of the fresh scores."""
    notes: tuple[str, ...]
    """What differs from when it was scored, one sentence each."""
    heat_maps: Explanation | None
    """None where no folder for them was named, nothing was decoded, or the checkpoint has none."""

    def largest_difference(self) -> float:
        """The largest difference between a stored and a fresh score, over the frames in both."""
        both = self.stored.join(self.fresh, "frame_index", right_suffix="_fresh", join_type="inner")
        parts = [pc.abs(pc.subtract(both[f"p_{label}"], both[f"p_{label}_fresh"])) for label in LABELS]
        return pc.max(pc.max_element_wise(*parts)).as_py()


def replay(settings: WhySettings) -> Replay:
    """Decodes and scores one video with the settings of the run that settled it; UsageError where it cannot."""
    store, thresholds, event_settings = _scoring_store(storage.normalise(settings.store))
    run, row = _ledger_row(store, settings.uri)
    uri = row["uri"]
    checkpoint = _checkpoint(settings, run, store)
    asked = _settings_of_run(run)
    thresholds = thresholds or dict(checkpoint.card.thresholds)
    _check_object(uri, row)
    notes = []
    if unproven := checkpoint.card.unproven():
        notes.append(
            f"unproven: {', '.join(unproven)}; the scores are not shown to be better than chance on unseen clips"
        )
    decoding = asked.decoding(checkpoint.card.input, context_frames=checkpoint.card.context_frames)
    if run.spec.get("backend") is None:  # scored by torch
        checkpoint = replace(checkpoint, graph=None)
    classifier = Classifier(checkpoint, asked.classifying())
    notes += _notes_on_backend(run, checkpoint, asked)
    if row["decoder"] == "nvdec":
        notes.append("decoded here by pyav, then by nvdec, whose first frame was the same")
    if run.precision and classifier.precision not in run.precision:
        notes.append(f"scored here in {classifier.precision}, then in {', '.join(run.precision)}")
    with SandboxedDecoder(decoding) as child:
        fresh, result = _score(row, VideoReader(child, max_object_bytes=asked.max_object_bytes), classifier)
    stored = stored_frames(store, store.runs_of(run.spec_digest), pa.array([row["video_id"]])).sort_by("frame_index")
    events = find_events(
        fresh,
        thresholds,
        sample_fps=asked.sample_fps,
        durations_s={row["video_id"]: result.facts.duration_s},
        settings=event_settings,
    )
    heat_maps = None
    if settings.output and fresh.num_rows:
        try:
            heat_maps = _heat_maps(row, settings.output, settings, asked, fresh, events)
        except NoHeatMapsError as error:
            notes.append(str(error))
    return Replay(
        row=row,
        run=run,
        thresholds=thresholds,
        stored=stored,
        fresh=fresh,
        result=result,
        events=events,
        notes=tuple(notes),
        heat_maps=heat_maps,
    )


def _scoring_store(root: str) -> tuple[Store, dict[str, float], EventSettings]:
    """The scoring store at or below ``root``, and the audit's thresholds (empty: the card's) and event settings."""
    given = find_scoring_store(root, flag="--store")
    if given.nights:
        return given.scores, given.nights[-1].thresholds, EventSettings(**given.nights[-1].events)
    return given.scores, {}, EventSettings()


def _ledger_row(store: Store, named: str) -> tuple[RunRecord, dict]:
    """The newest run that settled the video, and its row of the ledger.

    ``named``: the video's uri, or its path below the run's corpus, as pages and tables print it.
    """
    for run in reversed(store.committed()):
        below = storage.join(storage.normalise(run.settings["input"]), named)
        for file in store.ledger_files(run.run):
            uris = read_table(file, ["uri"])["uri"]
            for uri in (storage.normalise(named), below):
                if (found := pc.index(uris, uri).as_py()) >= 0:
                    return run, read_table(file, VIDEOS.names).slice(found, 1).cast(VIDEOS).to_pylist()[0]
    raise UsageError(
        f"{printable(named)} is in no ledger of {store.root}; give the uri, or the path below the corpus, as "
        "the ledger has it"
    )


def _checkpoint(settings: WhySettings, run: RunRecord, store: Store) -> Checkpoint:
    source = settings.checkpoint or run.settings["checkpoint"]
    checkpoint = load_checkpoint(source).known_in(
        [run.checkpoint, *(one.checkpoint for one in reversed(store.committed()))]
    )
    if checkpoint.digest != run.checkpoint["digest"]:
        raise UsageError(
            f"checkpoint {source} has digest {checkpoint.digest}, the video was scored by {run.checkpoint['digest']} "
            f"({run.checkpoint['backbone']}); give that one with --checkpoint"
        )
    return checkpoint


def _settings_of_run(run: RunRecord) -> ScoreSettings:
    """The run's settings from run.json, on the device of this machine; decoding is on the CPU."""
    known = {one.name for one in fields(ScoreSettings)}
    values = {
        name: tuple(value) if isinstance(value, list) else value  # JSON has no tuples
        for name, value in run.settings.items()
        if name in known
    }
    decoder = decoder_on_cpu(str(values.get("decoder", "auto")))
    return ScoreSettings(**{**values, "device": "auto", "compile": False, "decoder": decoder})


def _notes_on_backend(run: RunRecord, checkpoint: Checkpoint, asked: ScoreSettings) -> list[str]:
    """That the run was scored by another backend, version or graph than there is here."""
    graph, then = checkpoint.graph, run.spec.get("backend")
    here = backend_name(graph) if graph is not None and asked.classifying().uses_graph(checkpoint) else None
    return [] if here == then else [f"scored here by {here or 'torch'}, then by {then or 'torch'}"]


def _check_object(uri: str, row: dict) -> None:
    try:
        found = storage.stat(uri)
    except OSError as error:
        raise UsageError(
            f"{printable(uri)} cannot be read any more ({storage_errors.describe(error, uri)}), so there is nothing to "
            f"replay; its stored scores are in frames/ under video_id {row['video_id']}"
        ) from None
    if found.etag != row["etag"]:
        raise UsageError(
            f"{printable(uri)} is not the object that was scored (etag {found.etag}, then {row['etag']}); the next "
            "audit scores it"
        )


def _score(row: dict, reader: VideoReader, classifier: Classifier) -> tuple[pa.Table, DecodeResult]:
    tables, result = [FRAMES.empty_table()], None
    for _, segment in reader.read([row]):
        result = segment.result or result
        if count := len(segment.frame_index):
            scores = classifier.scores(segment.frames())[segment.own]
            columns = {
                "video_id": [row["video_id"]] * count,
                "uri": [row["uri"]] * count,
                "frame_index": segment.frame_index,
                "pts_s": segment.pts_s,
                **{f"p_{label}": scores[:, number] for number, label in enumerate(LABELS)},
            }
            tables.append(pa.table(columns).cast(FRAMES))
    assert result is not None
    if result.outcome not in HAS_FRAMES:
        return FRAMES.empty_table(), result
    return pa.concat_tables(tables), result


def _heat_maps(
    row: dict, output: str, settings: WhySettings, asked: ScoreSettings, fresh: pa.Table, events: pa.Table
) -> Explanation:
    """Heat maps of the events' peak frames, or without events of the frame with the highest score."""
    peaks = sorted(set(events["peak_frame"].to_pylist()))[:MAX_FRAMES]
    if not peaks:
        highest = np.stack([fresh[f"p_{label}"].to_numpy() for label in LABELS]).max(axis=0)
        peaks = [fresh["frame_index"][int(highest.argmax())].as_py()]
    chosen = ExplainSettings(
        video=row["uri"],
        output=output,
        checkpoint=settings.checkpoint or asked.checkpoint,
        frames=tuple(map(str, peaks)),
        sample_fps=asked.sample_fps,
        decoder=decoder_on_cpu(row["decoder"] or asked.decoder),
        **asdict(asked.limits()),
    )
    return explain_video(chosen)
