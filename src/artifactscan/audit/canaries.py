"""The canaries: synthetic clips with known artifacts, made once per store and scored every night.

Their bytes never change, so a score of theirs that moves means that the scorer did: driver, decoder, library, weights.
"""

import csv
import io
import json
import tempfile
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa

from artifactscan import storage
from artifactscan.audit.audit_store import AuditStore
from artifactscan.audit.night_tables import CANARIES
from artifactscan.errors import UsageError
from artifactscan.labels import LABELS
from artifactscan.outcomes import Outcome
from artifactscan.schemas import FRAMES
from artifactscan.storage.parquet import parquet_files, read_table
from artifactscan.store.layout import Store
from artifactscan.synthesis.corpus import SynthesisSettings, write_corpus

SEED = 20250421
"""Of the clips, so that stores made by one version have the same ones."""
HEIGHT, WIDTH, SECONDS = 256, 448, 3.0
"""Of a clip; drawing takes a second or two each, on a store's first night."""
_CLIPS, _DIGESTS, _LABELS = "clips", "clips.json", "labels.csv"


def clips(root: str) -> str:
    """Where the clips below ``root`` lie."""
    return storage.join(root, _CLIPS)


def ensure(root: str, count: int) -> None:
    """Makes the clips below ``root`` where there are none; UsageError where one is not as it was made."""
    try:
        digests: dict[str, str] = json.loads(storage.read_bytes(storage.join(root, _DIGESTS)))
    except FileNotFoundError:
        _make(root, count)
        return
    except ValueError as error:
        raise UsageError(f"{root}/{_DIGESTS} is damaged ({error}); {_WAY_OUT}") from None
    for name, made in digests.items():
        uri = storage.join(root, name)
        try:
            found = _digest(storage.read_bytes(uri))
        except FileNotFoundError:
            raise UsageError(f"canary {uri} is gone; {_WAY_OUT}") from None
        if found != made:
            raise UsageError(f"canary {uri} is not the clip that was made for this store; {_WAY_OUT}")


_WAY_OUT = (
    "restore it, or remove the folder canary/ and give --accept-scorer, which has them made and taken for the "
    "reference anew"
)


def count(root: str) -> int | None:
    """How many clips a store has; None where none are made yet."""
    return sum(name.endswith(".mp4") for name in storage.list_names(clips(root))) or None


def _make(root: str, count: int) -> None:
    with tempfile.TemporaryDirectory(prefix="artifactscan-canary-") as folder:
        asked = SynthesisSettings(output=folder, count=count, seed=SEED, height=HEIGHT, width=WIDTH, seconds=SECONDS)
        for _ in write_corpus(asked):
            pass
        files = [*sorted(Path(folder, _CLIPS).iterdir()), Path(folder, _LABELS)]
        digests = {}
        for file in files:
            name, data = file.relative_to(folder).as_posix(), file.read_bytes()
            storage.write_bytes(storage.join(root, name), data)
            digests[name] = _digest(data)
    storage.write_bytes(storage.join(root, _DIGESTS), json.dumps(digests, indent=2).encode())


def _digest(data: bytes) -> str:
    return sha256(data).hexdigest()


def planted(root: str) -> dict[str, dict[str, bool]]:
    """Clip name → label → whether it has that artifact, from labels.csv."""
    shown: dict[str, dict[str, bool]] = {}
    for row in csv.DictReader(io.StringIO(storage.read_bytes(storage.join(root, _LABELS)).decode())):
        labels = shown.setdefault(Path(row["file"]).name, dict.fromkeys(LABELS, False))
        for label in LABELS:
            labels[label] |= row[label] == "1"
    return shown


def scores(store: Store) -> tuple[pa.Table, dict[str, str]]:
    """The FRAMES of the canaries that a night scored, and by clip name what is wrong with those not scored whole."""
    records = store.committed()
    if not records:
        raise UsageError(
            f"{store.root} has no scores of the canaries, with which tonight's are compared; restore that night, or "
            "give --accept-scorer, which begins with a new reference"
        )
    record = records[-1]
    frames = [read_table(file).cast(FRAMES) for file in parquet_files(store.frames(record.run))]
    reasons = {}
    for file in store.ledger_files(record.run):
        for row in read_table(file, ["uri", "outcome", "reason"]).to_pylist():
            if row["outcome"] != Outcome.SCORED:
                reasons[_name(row["uri"])] = f"{row['outcome']}: {row['reason']}"
    return pa.concat_tables([FRAMES.empty_table(), *frames]), reasons


def of_night(store: AuditStore, night: str, scorer: str) -> pa.Table:
    """CANARIES of a night that has scored them, set against the night ``scorer``."""
    frames, reasons = scores(store.canary_scores(night))
    reference, _ = scores(store.canary_scores(scorer))
    return compare(frames, reference, planted(store.canary), reasons)


def _name(uri: str) -> str:
    return uri.rsplit("/", 1)[-1]


def compare(
    tonight: pa.Table, reference: pa.Table, planted: Mapping[str, Mapping[str, bool]], reasons: Mapping[str, str]
) -> pa.Table:
    """CANARIES: each clip's scores (FRAMES) set against the reference's, frame by frame.

    ``reasons`` says, by clip name, what is wrong with those that have no score tonight.
    """
    now, before = _by_clip(tonight), _by_clip(reference)
    rows = []
    for clip, labels in sorted(planted.items()):
        frames, scores = now.get(clip, _NOTHING)
        wanted, old = before.get(clip, _NOTHING)
        reason = reasons.get(clip)
        if reason is None and not len(wanted):
            reason = "the reference has no score of it"
        elif reason is None and not np.array_equal(frames, wanted):
            reason = f"{len(frames)} frames are scored tonight and {len(wanted)} in the reference, or not the same ones"
        for number, label in enumerate(LABELS):
            comparable = reason is None
            rows.append(
                {
                    "clip": clip,
                    "label": label,
                    "frames": len(frames),
                    "planted": labels[label],
                    "score": float(scores[:, number].mean()) if len(frames) else None,
                    "reference": float(old[:, number].mean()) if len(wanted) else None,
                    "shift": float(np.abs(scores[:, number] - old[:, number]).max()) if comparable else None,
                    "reason": reason,
                }
            )
    return pa.Table.from_pylist(rows, CANARIES)


_NOTHING = (np.empty(0, np.int32), np.empty((0, len(LABELS)), np.float32))


def _by_clip(frames: pa.Table) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Clip name → frame indices, and float32 (frames, labels) scores."""
    table = frames.sort_by([("uri", "ascending"), ("frame_index", "ascending")])
    names = np.array([_name(uri) for uri in table["uri"].to_pylist()], object)
    scores = np.stack([table[f"p_{label}"].to_numpy() for label in LABELS], axis=1)
    return {name: (table["frame_index"].to_numpy()[names == name], scores[names == name]) for name in set(names)}
