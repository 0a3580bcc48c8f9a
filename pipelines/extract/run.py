"""One extraction from start to end: list, choose frames, write images on Ray, leave index, ledger and exports."""

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict

import numpy as np
import pyarrow as pa

from artifactscan import __version__, storage
from artifactscan.annotation.frame_index import FRAMES_FOLDER
from artifactscan.annotation.labelling_tools import EXPORT_FOLDER, export_frames
from artifactscan.annotation.labels_table import LABELLED, read_labels
from artifactscan.cli.exit_codes import failures_exit_code
from artifactscan.corpus.listing import list_corpus
from artifactscan.corpus.output_place import check_apart
from artifactscan.corpus.path_below import path_below
from artifactscan.errors import UsageError
from artifactscan.extract.extraction_tables import EXTRACTED_WHOLE, make_index, make_ledger, make_work
from artifactscan.extract.print_extraction import print_extraction, print_reviewed
from artifactscan.extract.settings import ExtractSettings
from artifactscan.extract.write_frames import ImageWriter
from artifactscan.labels import LABELS
from artifactscan.messages.console import console
from artifactscan.messages.text import printable
from artifactscan.model.checkpoint import DEFAULT_THRESHOLD, Checkpoint, load_checkpoint
from artifactscan.outcomes import HAS_FRAMES
from artifactscan.pipelines.extract.choose_frames import choose_frames
from artifactscan.pipelines.extract.extractor import FrameExtractor
from artifactscan.pipelines.ray_cluster.submission import check_paths
from artifactscan.schemas import LISTING
from artifactscan.settings.hub_revisions import pin_revisions
from artifactscan.storage.lease import LEASE_NAME, Lease
from artifactscan.storage.parquet import write_table
from artifactscan.storage.storage_errors import as_cut_off_errors

RECORD_NAME, INDEX_NAME, LEDGER_NAME = "extraction.json", "index.parquet", "ledger.parquet"


def extract(settings: ExtractSettings) -> int:
    """Writes the chosen frames of a corpus and returns the job's exit code; errors go to the caller.

    The index is written last: a folder without one holds an extraction that was cut off, and is written again.
    """
    check_paths(settings, "input", "output", "labels", "scores")
    root = storage.normalise(settings.output)
    check_apart(settings.output, settings.input)
    storage.check_writable(root)
    _check_output(root, replace=settings.replace)
    settings = pin_revisions(settings, "checkpoint", "labels", out=console())
    checkpoints = {source: load_checkpoint(source) for source in settings.checkpoint}
    if len({checkpoint.digest for checkpoint in checkpoints.values()}) < len(settings.checkpoint):
        raise UsageError("--checkpoint names one checkpoint twice, which agrees with itself; give each once")
    listing = _list_videos(settings)
    labels = _read_labels(settings, listing)
    extractor = FrameExtractor(settings)
    with _as_cut_off(), Lease(storage.join(root, LEASE_NAME), what="extraction") as lease:
        _check_output(root, replace=settings.replace)  # another job may have written it since
        return _extract(settings, checkpoints, listing, labels, extractor, lease)


def _extract(
    settings: ExtractSettings,
    checkpoints: Mapping[str, Checkpoint],
    listing: pa.Table,
    labels: pa.Table,
    extractor: FrameExtractor,
    lease: Lease,
) -> int:
    """Chooses and writes the frames, prints what was written and returns the exit code."""
    out, root = console(), storage.normalise(settings.output)
    choice = choose_frames(settings, checkpoints, listing, extractor)
    work = make_work(listing, choice.frames)
    if work.num_rows:
        extractor.prepare_cluster()  # one that cannot be used is refused before anything is replaced
    with _as_cut_off():
        lease.check()
        storage.write_bytes(storage.join(root, RECORD_NAME), _record(settings, checkpoints))
        for earlier in (INDEX_NAME, LEDGER_NAME, FRAMES_FOLDER, EXPORT_FOLDER):
            storage.remove_tree(storage.join(root, earlier))
        writer = ImageWriter(root=root, format=settings.image_format, jpeg_quality=settings.jpeg_quality)
        extracted = extractor.write_frames(work, writer, check=lease.check_if_due)
        lease.check()
        index, ledger = make_index(extracted, choice.frames), make_ledger(listing, extracted, choice.verdicts)
        write_table(ledger, storage.join(root, LEDGER_NAME))
        exports = _export(settings, checkpoints, index, labels, root)
        lease.check()
        write_table(index, storage.join(root, INDEX_NAME))
    names = {"frames": FRAMES_FOLDER, "index": INDEX_NAME, "ledger": LEDGER_NAME}
    outputs = [(what, storage.join(root, name)) for what, name in names.items()]
    outputs += [(tool, uri) for tool, uris in exports.items() for uri in uris]
    lost = 0 if choice.frames is None else choice.frames.num_rows - index.num_rows
    print_extraction(index, ledger, outputs, out, choose=settings.choose, lost=lost)
    if settings.labels:
        print_reviewed(settings.labels, index, labels, out)
    failed = sum(outcome not in {*HAS_FRAMES, EXTRACTED_WHOLE} for outcome in ledger["outcome"].to_pylist())
    return failures_exit_code(failed, ledger.num_rows, settings.max_failed, "gave no frame")


def _as_cut_off() -> AbstractContextManager[None]:
    return as_cut_off_errors("the same command does it again")


def _check_output(root: str, *, replace: bool) -> None:
    """UsageError where the output holds a finished extraction, or a folder frames/ of something else."""
    if storage.exists(storage.join(root, FRAMES_FOLDER)) and not storage.exists(storage.join(root, RECORD_NAME)):
        raise UsageError(f"output {root} has a folder {FRAMES_FOLDER} that is not from an extraction; give another one")
    if storage.exists(storage.join(root, INDEX_NAME)) and not replace:
        raise UsageError(
            f"output {root} holds an extraction already, which people may be labelling; "
            "give another --output, or --replace it"
        )


def _record(settings: ExtractSettings, checkpoints: Mapping[str, Checkpoint]) -> bytes:
    """The content of extraction.json, which is written first and marks the folder as an extraction's."""
    digests = {source: checkpoint.digest for source, checkpoint in checkpoints.items()}
    record = {"settings": asdict(settings), "checkpoints": digests, "artifactscan": __version__}
    return json.dumps(record, indent=2).encode()


def _list_videos(settings: ExtractSettings) -> pa.Table:
    """The LISTING with a column ``file``: the path below the input, by which labels name a clip."""
    table = pa.Table.from_batches(list(list_corpus(settings.input, settings.listing())), LISTING)
    files = [path_below(uri, settings.input) for uri in table["uri"].to_pylist()]
    return table.append_column("file", pa.array(files, pa.string()))


def _read_labels(settings: ExtractSettings, listing: pa.Table) -> pa.Table:
    """The labels to put into the exports; UsageError where they name no clip of the input."""
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


def _export(
    settings: ExtractSettings, checkpoints: Mapping[str, Checkpoint], index: pa.Table, labels: pa.Table, root: str
) -> dict[str, list[str]]:
    """tool → uris written; a score is a prediction from the mean of the checkpoints' thresholds on."""
    cards = [checkpoint.card for checkpoint in checkpoints.values()]
    thresholds = dict.fromkeys(LABELS, DEFAULT_THRESHOLD)
    if cards:
        thresholds = {label: float(np.mean([card.thresholds[label] for card in cards])) for label in LABELS}
    versions = [f"{checkpoint.card.backbone}-{checkpoint.digest[:8]}" for checkpoint in checkpoints.values()]
    return {
        tool: export_frames(tool, index, root, labels=labels, thresholds=thresholds, model_version="+".join(versions))
        for tool in settings.export
    }
