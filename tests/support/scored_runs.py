"""Committed scoring runs with scores of choice, settled by the scoring job's own code; no Ray, no video."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from parts import failure, manifest_row, record, segment, settle_run, write_manifest, write_part

from artifactscan.labels import LABELS
from artifactscan.store.layout import Store
from artifactscan.store.run_records import RunRecord

FPS = 2.0
Scores = Mapping[str, Sequence[float]]
"""Label → its score in each sampled frame; labels that are not named have 0 all over."""


def motion(*scores: float) -> Scores:
    return {"motion": scores}


def write_run(
    store: Store,
    run: str,
    videos: Mapping[str, Scores | str],
    *,
    etags: Mapping[str, str] | None = None,
    settled: Mapping[str, str] | None = None,
    again: Collection[str] = (),
    spec: str = "spec",
    scope: str = "scope",
) -> RunRecord:
    """A run that scored ``videos`` (uri → scores, or the outcome of one that failed) and found ``settled`` (uri → run).

    ``etags``: of uris whose etag is not 1; ``again``: those that a run before could not settle.
    """
    etags = etags or {}
    rows = [manifest_row(uri, etags.get(uri, "1"), "again" if uri in again else "new") for uri in videos]
    rows += [
        manifest_row(uri, etags.get(uri, "1"), status="settled", settled_run=by, settled_outcome="scored")
        for uri, by in (settled or {}).items()
    ]
    write_manifest(store, run, rows)
    parts = []
    for uri, scores in videos.items():
        if isinstance(scores, str):
            parts.append(failure(uri, scores))
            continue
        count = max(map(len, scores.values()))
        facts = {"frames_decoded": count, "frames_sampled": count, "duration_s": count / FPS}
        row = segment(uri, 0, list(range(count)), etag=etags.get(uri, "1"), outcome="scored", **facts)
        for number, frame in enumerate(row["frames"]):
            frame |= {f"p_{label}": scores[label][number] if label in scores else 0.0 for label in LABELS}
        parts.append(row)
    write_part(store, run, "one", parts)
    totals = settle_run(store, run)
    committed = replace(
        record(run, spec=spec, scope=scope),
        counts={"frames": totals.frames, "listed": totals.listed},
        outcomes=totals.outcomes,
        checkpoint={"digest": "c", "backbone": "b"},
        settings={"sample_fps": FPS},
    )
    store.commit(committed)
    return committed
