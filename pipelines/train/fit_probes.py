"""finetune --train head: labelled frames embedded once, then heads fitted for all protocols and folds on the driver."""

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
from rich.text import Text

from artifactscan import storage
from artifactscan.evaluation.metric_table import Evaluation
from artifactscan.evaluation.predictions import predictions_table
from artifactscan.evaluation.splits import Protocol, Split
from artifactscan.messages.text import printable
from artifactscan.model.checkpoint import Checkpoint
from artifactscan.pipelines.ray_cluster.pool_sizes import PoolSizes
from artifactscan.pipelines.train.results import (
    NO_SUMMARY,
    BackboneResults,
    FoldSummary,
    evaluate_folds,
    summary_of_rows,
    write_checkpoint,
)
from artifactscan.training.embeddings import LabelledWindows
from artifactscan.training.labelled_frames import LabelledFrames
from artifactscan.training.probe_checkpoint import to_probe, with_head
from artifactscan.training.probe_fit import FittedProbe, fit_probe, probe_logits


def fit_probe_of(
    results: BackboneResults,
    initial: Checkpoint,
    splits_of: Callable[[Protocol], Sequence[Split]],
    start: Callable[[], PoolSizes],
    *,
    embeddings: str,
) -> tuple[dict[str, Evaluation], Checkpoint]:
    """Embeds the labelled frames with the backbone of ``initial``, measures its probe, and writes the checkpoint.

    ``start`` joins the cluster where frames are not embedded yet; ``embeddings``: the folder that keeps them.
    """
    from artifactscan.pipelines.ingest.embed_frames import embed_labelled_frames

    settings, labelled, out = results.settings, results.labelled, results.out
    checkpoint = to_probe(initial, settings.probe())
    spec = checkpoint.card.input
    out.print(Text(f"{results.name}, {spec.height}x{spec.width}, from {printable(initial.card.origin)}"))
    windows = embed_labelled_frames(
        labelled,
        checkpoint,
        embeddings,
        limits=settings.limits(),
        device=settings.device,
        precision=settings.precision,
        start=start,
    )
    evaluations: dict[str, Evaluation] = {}
    summaries: dict[str, FoldSummary] = {}
    for protocol in settings.protocols():
        tested, tuning_rows = _predict_held_out(results, windows, splits_of(protocol))
        evaluations[protocol], summaries[protocol] = evaluate_folds(results, protocol, tested, tuning_rows)
    everything = np.arange(len(labelled.files))
    final = _fit(results, windows, everything, labelled.files)
    summary = summaries.get("videos") or summaries.get("generators") or summaries.get("frames")
    if summary is None:
        rows = _held_out_predictions(labelled, everything, final)
        chosen_on = f"predictions of {rows.num_rows} frames by fits to other videos"
        summary = summary_of_rows(rows, settings, chosen_on) if rows.num_rows else NO_SUMMARY
    how = f"probe fitted to {len(everything):,} frames, penalty {final.weights.penalty:g}"
    complete = with_head(checkpoint, final.weights, half=settings.half)
    return evaluations, write_checkpoint(results, complete, evaluations, summary, how=how)


def embeddings_folder(settings_cache: str, root: str) -> str:
    """The folder that keeps embeddings: that of --cache, or one in the output."""
    return storage.join(settings_cache or root, "embeddings")


def _predict_held_out(
    results: BackboneResults, windows: LabelledWindows, splits: Sequence[Split]
) -> tuple[pa.Table, pa.Table]:
    """PREDICTIONS of the test frames of all splits; and of the first one's other frames, each by a fit to the rest."""
    labelled, tested, tuning_rows = results.labelled, [], None
    for split in splits:
        rows = np.sort(np.concatenate([split.fit, split.tune]))
        # Under protocol frames, frames of one video may be on both sides, as in the split itself.
        groups = [str(row) for row in rows] if split.protocol == "frames" else [labelled.files[row] for row in rows]
        fitted = _fit(results, windows, rows, groups)
        logits = probe_logits(windows.rows(split.test), fitted.weights, results.settings.probe())
        tested.append(_predictions(labelled, split.test, logits, split.fold))
        if tuning_rows is None:
            tuning_rows = _held_out_predictions(labelled, rows, fitted)
    assert tuning_rows is not None
    return pa.concat_tables(tested), tuning_rows


def _fit(results: BackboneResults, windows: LabelledWindows, rows: np.ndarray, groups: Sequence[str]) -> FittedProbe:
    settings, labelled = results.settings, results.labelled
    y = labelled.y[rows]
    targets = labelled.targets[rows] if settings.targets == "severity" else y.astype(np.float32)
    return fit_probe(
        windows.rows(rows), targets, y, groups, settings.probe(), penalties=settings.penalties(), seed=settings.seed
    )


def _held_out_predictions(labelled: LabelledFrames, rows: np.ndarray, fitted: FittedProbe) -> pa.Table:
    """PREDICTIONS by fits to other groups; none where there is one group only."""
    known = np.isfinite(fitted.held_out_logits).all(axis=1)
    return _predictions(labelled, rows[known], fitted.held_out_logits[known], 0)


def _predictions(labelled: LabelledFrames, rows: np.ndarray, logits: np.ndarray, fold: int) -> pa.Table:
    frame_index = labelled.table["frame_index"].to_numpy()
    files = [labelled.files[row] for row in rows]
    return predictions_table(files=files, frame_index=frame_index[rows], y=labelled.y[rows], logits=logits, fold=fold)
