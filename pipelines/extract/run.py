"""One extraction, whole: list, ask checkpoints, choose, write images on Ray, leave index, ledger and exports."""

import json
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.table import Table
from rich.text import Text

from artifactscan import __version__, storage
from artifactscan.annotation.exchange import EXPORT_FOLDER, export_frames
from artifactscan.annotation.frame_index import FRAMES_FOLDER, INDEX
from artifactscan.annotation.labels_table import LABELLED, read_labels
from artifactscan.annotation.selection import aligned, choose, disagreement, uncertainty
from artifactscan.cli.job import failures_exit_code
from artifactscan.corpus.listing import list_corpus
from artifactscan.decode.input_spec import InputSpec
from artifactscan.errors import LedgerError, UsageError
from artifactscan.extract.images import LEDGER, WORK, ImageSettings
from artifactscan.extract.settings import ExtractSettings
from artifactscan.labels import LABELS, SCORE_COLUMNS
from artifactscan.messages.console import console
from artifactscan.messages.text import printable
from artifactscan.model.checkpoint import DEFAULT_THRESHOLD, Checkpoint, load_checkpoint
from artifactscan.outcomes import HAS_FRAMES, Outcome
from artifactscan.pipelines.ray_cluster.submission import check_paths
from artifactscan.schemas import LISTING
from artifactscan.scoring.summary import name
from artifactscan.storage.failures import as_cut_off_errors
from artifactscan.storage.parquet import write_table
from artifactscan.store.layout import Store
from artifactscan.store.read import stored_frames, stored_verdicts

if TYPE_CHECKING:
    from artifactscan.pipelines.ray_cluster.pools import Pools

RECORD_NAME, INDEX_NAME, LEDGER_NAME = "extraction.json", "index.parquet", "ledger.parquet"

_SURVEY_INPUT = InputSpec(height=16, width=16)
"""What frames are decoded to when only their times are wanted."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The frames to write, and what is known already of the videos that none is taken from."""

    frames: pa.Table | None
    """INDEX columns video_id, frame_index, value and scores; None for every sampled frame."""
    verdicts: dict[str, dict[str, Any]]
    """video_id → verdict."""


def extract(settings: ExtractSettings) -> int:
    """Writes the chosen frames of a corpus and returns the job's exit code; errors go to the caller.

    The index is written last: a folder without one holds an extraction that was cut off, and is written again.
    """
    check_paths(settings, "input", "output", "labels", "scores")
    out, root = console(), storage.normalise(settings.output)
    storage.check_writable(root)
    _check_room(root, replace=settings.replace)
    checkpoints = {source: load_checkpoint(source) for source in settings.checkpoint}
    if len({checkpoint.digest for checkpoint in checkpoints.values()}) < len(settings.checkpoint):
        raise UsageError("--checkpoint names one checkpoint twice, which agrees with itself; give each once")
    listing = _list(settings)
    labels = _labels(settings, listing)
    choice = _choose(settings, checkpoints, listing)
    work = _work(listing, choice.frames)
    if work.num_rows:
        _start_ray(settings)  # what is wrong with the cluster shows before anything is replaced
    with as_cut_off_errors("the same command does it again"):
        storage.write_bytes(storage.join(root, RECORD_NAME), _record(settings, checkpoints))
        for left_over in (INDEX_NAME, LEDGER_NAME, FRAMES_FOLDER, EXPORT_FOLDER):
            storage.remove_tree(storage.join(root, left_over))
        images = ImageSettings(root=root, format=settings.image_format, jpeg_quality=settings.jpeg_quality)
        extracted = _run(settings, work, images)
        index, ledger = _index(extracted, choice.frames), _ledger(listing, extracted, choice.verdicts)
        write_table(ledger, storage.join(root, LEDGER_NAME))
        exports = _export(settings, checkpoints, index, labels, root)
        write_table(index, storage.join(root, INDEX_NAME))
    _print(settings, index, ledger, choice, root, exports, out)
    if settings.labels:
        _print_reviewed(settings, index, labels, out)
    failed = sum(Outcome(outcome) not in HAS_FRAMES for outcome in ledger["outcome"].to_pylist())
    return failures_exit_code(failed, ledger.num_rows, settings.max_failed, "gave no frame")


def _check_room(root: str, *, replace: bool) -> None:
    """UsageError where the output holds a finished extraction, or frames of something else, such as a store's."""
    if storage.exists(storage.join(root, FRAMES_FOLDER)) and not storage.exists(storage.join(root, RECORD_NAME)):
        raise UsageError(f"output {root} has a folder {FRAMES_FOLDER} that is not from an extraction; give another one")
    if storage.exists(storage.join(root, INDEX_NAME)) and not replace:
        raise UsageError(
            f"output {root} holds an extraction already, which people may be labelling; "
            "give another --output, or --replace it"
        )


def _record(settings: ExtractSettings, checkpoints: dict[str, Checkpoint]) -> bytes:
    """What was asked; written first, it marks the folder as an extraction's."""
    digests = {source: checkpoint.digest for source, checkpoint in checkpoints.items()}
    record = {"settings": asdict(settings), "checkpoints": digests, "artifactscan": __version__}
    return json.dumps(record, indent=2).encode()


def _list(settings: ExtractSettings) -> pa.Table:
    """The LISTING with a column ``file``: the path below the input, by which labels name a clip."""
    batches = list(list_corpus(settings.input, settings.listing()))
    table = pa.Table.from_batches(batches, LISTING)
    root = storage.normalise(settings.input).rstrip("/")
    files = [_below(uri, root) for uri in table["uri"].to_pylist()]
    return table.append_column("file", pa.array(files, pa.string()))


def _below(uri: str, root: str) -> str:
    """The path below a folder, or beside a single file or manifest; the whole uri where it lies elsewhere."""
    for base in (root, root.rpartition("/")[0]):
        if uri.startswith(f"{base}/"):
            return uri[len(base) + 1 :]
    return uri


def _labels(settings: ExtractSettings, listing: pa.Table) -> pa.Table:
    """The labels to carry into the exports; UsageError where they name no clip of the input."""
    if not settings.labels:
        return LABELLED.empty_table()
    labels = read_labels(settings.labels)
    files = listing["file"].to_pylist()
    if labels.num_rows and set(files).isdisjoint(labels["file"].to_pylist()):
        named, there = printable(labels["file"][0].as_py()), printable(files[0])
        raise UsageError(
            f"labels {settings.labels} name no clip of --input {settings.input}: they have '{named}', the input has "
            f"'{there}'; give the folder that the paths in column `file` start from"
        )
    return labels


def _choose(settings: ExtractSettings, checkpoints: dict[str, Checkpoint], listing: pa.Table) -> Choice:
    if checkpoints:
        return _choose_by_scores(settings, checkpoints, listing)
    if not settings.selection().bind:
        return Choice(frames=None, verdicts={})
    surveyed = _run(settings, _work(listing, None), None)
    rows = [
        {"video_id": video["video_id"], "frame_index": frame["frame_index"], "pts_s": frame["pts_s"]}
        for video in surveyed
        for frame in video["frames"]
    ]
    names = ["video_id", "frame_index", "pts_s"]
    frames = pa.Table.from_pylist(rows, pa.schema([INDEX.field(column) for column in names]))
    chosen = choose(frames, settings.selection())
    empty = {column: pa.nulls(chosen.num_rows, INDEX.field(column).type) for column in ("value", *SCORE_COLUMNS)}
    chosen = pa.table({**{column: chosen[column] for column in names}, **empty})
    return Choice(frames=chosen, verdicts={video["video_id"]: video for video in surveyed})


def _choose_by_scores(settings: ExtractSettings, checkpoints: dict[str, Checkpoint], listing: pa.Table) -> Choice:
    """Has the corpus scored by each checkpoint, as far as the store does not hold it yet, and chooses by the scores."""
    from artifactscan.pipelines.score.request import make_request
    from artifactscan.pipelines.score.run import as_usage_errors, score_corpus, tell_standing

    tables, verdicts = [], {}
    videos = listing["video_id"].combine_chunks()
    for source, checkpoint in checkpoints.items():
        scoring = settings.scoring(source)
        tell_standing(source, checkpoint, console())
        with as_usage_errors():
            score_corpus(scoring, checkpoint, console())
        store, spec = Store(storage.normalise(scoring.output)), make_request(scoring, checkpoint).spec.digest
        tables.append(stored_frames(store, spec, videos))
        verdicts = stored_verdicts(store, spec, videos) | verdicts
    frames, scores = aligned(tables)
    values = None
    if settings.choose == "uncertain":
        values = uncertainty(scores[0])
    elif settings.choose == "disagree":
        values = disagreement(scores, settings.measure)
    for number, column in enumerate(SCORE_COLUMNS):
        mean = pa.array(scores[:, :, number].mean(axis=0), pa.float32())
        frames = frames.set_column(frames.column_names.index(column), column, mean)
    shown = pa.nulls(frames.num_rows, pa.float64()) if values is None else pa.array(values)
    return Choice(frames=choose(frames.append_column("value", shown), settings.selection(), values), verdicts=verdicts)


def _work(listing: pa.Table, frames: pa.Table | None) -> pa.Table:
    """WORK rows of the videos that frames are wanted of, largest object first so that no long one holds up the end."""
    if frames is None:
        work = listing.append_column("wanted", pa.nulls(listing.num_rows, WORK.field("wanted").type))
    else:
        wanted: defaultdict[str, list[int]] = defaultdict(list)
        for video, frame in zip(frames["video_id"].to_pylist(), frames["frame_index"].to_pylist(), strict=True):
            wanted[video].append(frame)
        lists = [wanted.get(video) for video in listing["video_id"].to_pylist()]
        work = listing.append_column("wanted", pa.array(lists, WORK.field("wanted").type))
        work = work.filter(work["wanted"].is_valid())
    return work.select(WORK.names).cast(WORK).sort_by([("size_bytes", "descending"), ("uri", "ascending")])


def _run(settings: ExtractSettings, work: pa.Table, images: ImageSettings | None) -> list[dict[str, Any]]:
    """EXTRACTED rows of ``work``; Ray is not even started where there is none."""
    if not work.num_rows:
        return []
    pools = _start_ray(settings)
    from artifactscan.pipelines.extract import graph
    from artifactscan.pipelines.ray_cluster import progress

    tally = progress.start_tally(work.num_rows)
    with progress.Progress(tally, total=work.num_rows, quiet=settings.quiet):
        return graph.run_extract_graph(
            work,
            pools=pools,
            decoding=settings.image_decoding() if images else settings.decoding(_SURVEY_INPUT),
            native_size=images is not None and not settings.height,
            images=images,
            tally=tally,
        )


def _start_ray(settings: ExtractSettings) -> "Pools":
    """Starts or joins Ray, once, and says how many actors decode; UsageError where it cannot be."""
    from artifactscan.pipelines.ray_cluster.connection import Resources  # Ray takes seconds to import and to start
    from artifactscan.pipelines.ray_cluster.join import join
    from artifactscan.pipelines.ray_cluster.pools import Pools, size_pools

    def sized(resources: Resources) -> Pools:
        return size_pools(resources, use_gpu=False, decode_actors=settings.decode_actors, classify_actors=0)

    places = settings.input, settings.output
    return sized(join(settings, *places, device="cpu", sized=sized, out=console()))


def _index(extracted: list[dict[str, Any]], chosen: pa.Table | None) -> pa.Table:
    known = {(row["video_id"], row["frame_index"]): row for row in chosen.to_pylist()} if chosen is not None else {}
    rows = []
    for video in extracted:
        identity = {column: video[column] for column in ("video_id", "uri", "file")}
        for frame in video["frames"]:
            rows.append({**known.get((video["video_id"], frame["frame_index"]), {}), **identity, **frame})
    rows = [{column: row.get(column) for column in INDEX.names} for row in rows]
    return pa.Table.from_pylist(rows, INDEX).sort_by([("file", "ascending"), ("frame_index", "ascending")])


def _ledger(listing: pa.Table, extracted: list[dict[str, Any]], verdicts: dict[str, dict[str, Any]]) -> pa.Table:
    """LEDGER rows, one per listed video; LedgerError where a video was lost on the way."""
    done = {video["video_id"]: video for video in extracted}
    gone = {"outcome": str(Outcome.CHANGED), "reason": "it was replaced or removed after it was listed"}
    rows = []
    for listed in listing.to_pylist():
        video = done.get(listed["video_id"])
        known = video or verdicts.get(listed["video_id"], gone if verdicts else None)
        if known is None:
            raise LedgerError(f"the ledger did not close: {listed['uri']} has no outcome; give the same command again")
        written = len(video["frames"]) if video else 0
        identity = {column: listed[column] for column in ("video_id", "uri", "file")}
        rows.append({**known, **identity, "frames_written": written})
    rows = [{column: row.get(column) for column in LEDGER.names} for row in rows]
    return pa.Table.from_pylist(rows, LEDGER).sort_by("file")


def _export(
    settings: ExtractSettings, checkpoints: dict[str, Checkpoint], index: pa.Table, labels: pa.Table, root: str
) -> dict[str, list[str]]:
    """tool → files written; scores count as a label at the mean of the checkpoints' thresholds."""
    cards = [checkpoint.card for checkpoint in checkpoints.values()]
    thresholds = dict.fromkeys(LABELS, DEFAULT_THRESHOLD)
    if cards:
        thresholds = {label: float(np.mean([card.thresholds[label] for card in cards])) for label in LABELS}
    versions = [f"{known.card.backbone}-{known.digest[:8]}" for known in checkpoints.values()]
    return {
        tool: export_frames(tool, index, root, labels=labels, thresholds=thresholds, model_version="+".join(versions))
        for tool in settings.export
    }


def _print_reviewed(settings: ExtractSettings, index: pa.Table, labels: pa.Table, out: Console) -> None:
    pairs = [zip(table["file"].to_pylist(), table["frame_index"].to_pylist(), strict=True) for table in (index, labels)]
    both = len(set(pairs[0]) & set(pairs[1]))
    out.print(f"{both:,} of them are labelled in {printable(settings.labels)}")


def _print(
    settings: ExtractSettings,
    index: pa.Table,
    ledger: pa.Table,
    choice: Choice,
    root: str,
    exports: dict[str, list[str]],
    out: Console,
) -> None:
    table = Table(title="Extraction", title_justify="left")
    for heading in ("outcome", "videos", "frames written", "such as"):
        table.add_column(heading, justify="right" if heading in ("videos", "frames written") else "left")
    rows = ledger.to_pylist()
    for outcome, videos in Counter(row["outcome"] for row in rows).most_common():
        alike = [row for row in rows if row["outcome"] == outcome]
        example = next((f"{name(row['uri'])}: {printable(row['reason'], 80)}" for row in alike if row["reason"]), "")
        frames = sum(row["frames_written"] for row in alike)
        table.add_row(outcome, f"{videos:,}", f"{frames:,}", Text(example))
    out.print(table)
    chosen_from = len({row["video_id"] for row in rows if row["frames_written"]})
    out.print(f"{index.num_rows:,} frames of {chosen_from:,} videos, chosen: {settings.choose}")
    if choice.frames is not None and (lost := choice.frames.num_rows - index.num_rows):
        out.print(f"{lost:,} chosen frames could not be decoded when they were to be written", style="yellow")
    written = {"frames": FRAMES_FOLDER, "index": INDEX_NAME, "ledger": LEDGER_NAME}
    places = [(what, storage.join(root, where)) for what, where in written.items()]
    for what, place in [*places, *((tool, file) for tool, files in exports.items() for file in files)]:
        out.print(Text(f"{what:12} {printable(place)}"), soft_wrap=True)
