"""The canaries: synthetic clips with known artifacts, made once per store and scored every night.

Their bytes never change, so a score that moves means that the scorer changed: driver, decoder, library or weights.
"""

import csv
import io
import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from artifactscan import storage
from artifactscan.audit.audit_store import CANARY_DIGESTS, AuditStore
from artifactscan.audit.night_tables import CANARIES
from artifactscan.errors import UsageError
from artifactscan.evaluation.planted import PlantedComparison, compare_planted
from artifactscan.labels import LABELS
from artifactscan.leftovers.temporary_folders import temporary_folder
from artifactscan.outcomes import Outcome
from artifactscan.schemas import FRAMES
from artifactscan.storage.parquet import parquet_files, read_table
from artifactscan.store.layout import Store
from artifactscan.synthesis.corpus import SynthesisSettings, write_corpus

SEED = 20250421
"""Of the clips: stores made by one version have the same clips."""
HEIGHT, WIDTH, SECONDS = 256, 448, 3.0
"""Of a clip; drawing one takes a second or two, on a store's first night."""
_CLIPS, _LABELS = "clips", "labels.csv"
_WAY_OUT = (
    "restore it, or remove the folder canary/ and give --accept-scorer, which makes new clips and takes them as the "
    "reference"
)
_NO_FRAMES = (np.empty(0, np.int32), np.empty((0, len(LABELS)), np.float32))


def clips_folder(root: str) -> str:
    """The folder of the clips below ``root``."""
    return storage.join(root, _CLIPS)


def count_clips(root: str) -> int | None:
    """How many clips a store has; None where none are made yet."""
    return sum(name.endswith(".mp4") for name in storage.list_names(clips_folder(root))) or None


def ensure_clips(root: str, count: int) -> bool:
    """Makes the clips below ``root`` if there are none, and says whether it did; UsageError where one differs from how
    it was made."""
    try:
        digests: dict[str, str] = json.loads(storage.read_bytes(storage.join(root, CANARY_DIGESTS)))
    except FileNotFoundError:
        _make_clips(root, count)
        return True
    except ValueError as error:
        raise UsageError(f"{root}/{CANARY_DIGESTS} is damaged ({error}); {_WAY_OUT}") from None
    for name, digest in digests.items():
        uri = storage.join(root, name)
        try:
            found = _digest(storage.read_bytes(uri))
        except FileNotFoundError:
            raise UsageError(f"canary {uri} is gone; {_WAY_OUT}") from None
        if found != digest:
            raise UsageError(f"canary {uri} is not the clip that was made for this store; {_WAY_OUT}")
    return False


def planted_labels(root: str) -> dict[str, dict[str, bool]]:
    """Clip name → label → whether the clip has that artifact, from labels.csv."""
    planted: dict[str, dict[str, bool]] = {}
    for row in csv.DictReader(io.StringIO(storage.read_bytes(storage.join(root, _LABELS)).decode())):
        labels = planted.setdefault(Path(row["file"]).name, dict.fromkeys(LABELS, False))
        for label in LABELS:
            labels[label] |= row[label] == "1"
    return planted


def compare_night(store: AuditStore, night: str, scorer: str) -> pa.Table:
    """CANARIES of a night that has scored them, against the night ``scorer``."""
    frames, reasons = canary_scores(store.canary_scores(night))
    reference, _ = canary_scores(store.canary_scores(scorer))
    return compare_scores(frames, reference, planted_labels(store.canary), reasons)


def canary_scores(store: Store) -> tuple[pa.Table, dict[str, str]]:
    """The canaries' FRAMES of a night's last run, and clip name → outcome and reason of clips not scored whole."""
    records = store.committed()
    if not records:
        raise UsageError(
            f"{store.root} has no scores of the canaries, with which tonight's are compared; restore that night, or "
            "give --accept-scorer, which begins with a new reference"
        )
    run = records[-1].run
    frames = [read_table(file, FRAMES.names).cast(FRAMES) for file in parquet_files(store.frames(run))]
    reasons = {}
    for file in store.ledger_files(run):
        for row in read_table(file, ["uri", "outcome", "reason"]).to_pylist():
            if row["outcome"] != Outcome.SCORED:
                reasons[_name(row["uri"])] = f"{row['outcome']}: {row['reason']}"
    return pa.concat_tables([FRAMES.empty_table(), *frames]), reasons


def compare_scores(
    tonight: pa.Table, reference: pa.Table, planted: Mapping[str, Mapping[str, bool]], reasons: Mapping[str, str]
) -> pa.Table:
    """CANARIES: each planted clip's scores (FRAMES) against the reference's, frame by frame.

    ``reasons``: clip name → why it has no score tonight.
    """
    now, before = _by_clip(tonight), _by_clip(reference)
    rows = []
    for clip, labels in sorted(planted.items()):
        frames, scores = now.get(clip, _NO_FRAMES)
        old_frames, old_scores = before.get(clip, _NO_FRAMES)
        reason = reasons.get(clip)
        if reason is None and not len(old_frames):
            reason = "the reference has no score of it"
        elif reason is None and not np.array_equal(frames, old_frames):
            reason = (
                f"{len(frames)} frames are scored tonight and {len(old_frames)} in the reference, or not the same ones"
            )
        for number, label in enumerate(LABELS):
            shift = float(np.abs(scores[:, number] - old_scores[:, number]).max()) if reason is None else None
            rows.append(
                {
                    "clip": clip,
                    "label": label,
                    "frames": len(frames),
                    "planted": labels[label],
                    "score": float(scores[:, number].mean()) if len(frames) else None,
                    "reference": float(old_scores[:, number].mean()) if len(old_frames) else None,
                    "shift": shift,
                    "reason": reason,
                }
            )
    return pa.Table.from_pylist(rows, CANARIES)


def compare_planted_canaries(canaries: pa.Table) -> tuple[PlantedComparison, ...]:
    """Whether tonight's mean scores (CANARIES) tell clips with a planted label from the others; clips without a score
    are left out."""
    by_clip: dict[str, dict[str, dict[str, Any]]] = {}
    for row in canaries.to_pylist():
        if row["score"] is not None:
            by_clip.setdefault(row["clip"], {})[row["label"]] = row
    rows = [[clip[label] for label in LABELS] for clip in by_clip.values()]
    shape = (len(rows), len(LABELS))
    scores = np.array([[row["score"] for row in clip] for clip in rows], float).reshape(shape)
    return compare_planted(scores, np.array([[row["planted"] for row in clip] for clip in rows], bool).reshape(shape))


def _make_clips(root: str, count: int) -> None:
    with temporary_folder("artifactscan-canary-") as folder:
        asked = SynthesisSettings(output=folder, count=count, seed=SEED, height=HEIGHT, width=WIDTH, seconds=SECONDS)
        for _ in write_corpus(asked):
            pass
        digests = {}
        for file in [*sorted(Path(folder, _CLIPS).iterdir()), Path(folder, _LABELS)]:
            name, data = file.relative_to(folder).as_posix(), file.read_bytes()
            storage.write_bytes(storage.join(root, name), data)
            digests[name] = _digest(data)
    storage.write_bytes(storage.join(root, CANARY_DIGESTS), json.dumps(digests, indent=2).encode())


def _by_clip(frames: pa.Table) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Clip name → frame indices, and float32 (frames, labels) scores."""
    table = frames.sort_by([("uri", "ascending"), ("frame_index", "ascending")])
    names = np.array([_name(uri) for uri in table["uri"].to_pylist()], object)
    scores = np.stack([table[f"p_{label}"].to_numpy() for label in LABELS], axis=1)
    return {name: (table["frame_index"].to_numpy()[names == name], scores[names == name]) for name in set(names)}


def _digest(data: bytes) -> str:
    return sha256(data).hexdigest()


def _name(uri: str) -> str:
    return uri.rsplit("/", 1)[-1]
