"""What every way of training leaves: the evaluation of held-out frames, and the checkpoint with its card."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import pyarrow as pa
from rich.console import Console
from rich.text import Text

from artifactscan import storage
from artifactscan.annotation.agreement import ceiling_of
from artifactscan.evaluation.evaluation_report import as_record, print_evaluation, write_evaluation
from artifactscan.evaluation.metric_table import Evaluation, MetricEstimate, evaluate
from artifactscan.evaluation.splits import Protocol
from artifactscan.evaluation.thresholds import Aim
from artifactscan.evaluation.tuning import Tuning, cross_tune, tune
from artifactscan.messages.text import printable
from artifactscan.model.checkpoint import Card, Checkpoint, save_checkpoint
from artifactscan.model.operating_point import OperatingPoint
from artifactscan.storage.lease import Lease
from artifactscan.storage.parquet import write_table
from artifactscan.storage.storage_errors import describe
from artifactscan.telemetry.mlflow_runs import log_runs
from artifactscan.training.labelled_frames import LabelledFrames
from artifactscan.training.settings import FinetuneSettings
from artifactscan.training.tracked_finetuning import tracked_finetuning

NOT_TUNED = "nothing: logits as they are, and thresholds of one half"


@dataclass(frozen=True, kw_only=True)
class BackboneResults:
    """Where the results of one backbone go, and what they are measured on."""

    name: str
    root: str
    """Folder, local or s3://."""
    settings: FinetuneSettings
    labelled: LabelledFrames
    lease: Lease
    out: Console

    @cached_property
    def ceiling(self) -> Mapping[tuple[str, str], MetricEstimate]:
        """What one annotator's grades predict of another's labels: the same under every protocol."""
        ceiling = ceiling_of(self.labelled.annotators, self.settings.bootstrap())
        return ceiling.estimates if ceiling else {}


@dataclass(frozen=True, kw_only=True)
class FoldSummary:
    """What the final training takes over from the trainings of the folds."""

    tuning: Tuning
    chosen_on: str
    """What calibration and thresholds were chosen on, in words."""
    operating_point: Mapping[str, OperatingPoint]
    """By label: measured on frames that did not choose the thresholds; empty where none were chosen."""
    epochs: int = 0
    """Mean best epoch of the folds."""


NO_SUMMARY = FoldSummary(tuning=Tuning(), chosen_on=NOT_TUNED, operating_point={})


def evaluate_folds(
    results: BackboneResults, protocol: Protocol, tested: pa.Table, tuning_rows: pa.Table, epochs: int = 0
) -> tuple[Evaluation, FoldSummary]:
    """Evaluates the held-out frames, writes and prints the evaluation, and summarises the folds.

    ``tested``: PREDICTIONS of the test frames of all folds. ``tuning_rows``: PREDICTIONS that calibration and
    thresholds are chosen on where there is one fold only; may be empty.
    """
    settings, labelled, aim = results.settings, results.labelled, results.settings.threshold_aim()
    if len(tested["fold"].unique()) > 1:
        tuning, final = cross_tune(tested, aim), tune(tested, aim)
        chosen_on = "the out-of-fold predictions of all frames; in the figures each fold has those of the other folds"
    elif tuning_rows.num_rows:
        tuning = final = tune(tuning_rows, aim)
        chosen_on = f"{tuning_rows.num_rows} frames kept from training and from the test"
    else:
        tuning = final = Tuning()
        chosen_on = NOT_TUNED
    evaluation = evaluate(
        tested,
        tuning,
        protocol=protocol,
        bootstrap=settings.bootstrap(),
        makers=labelled.maker_of_file(settings.generator_pattern),
    )
    evaluation = replace(evaluation, ceiling=results.ceiling)
    folder = storage.join(results.root, protocol)
    write_table(tested, storage.join(folder, "predictions.parquet"))
    write_evaluation(evaluation, folder)
    results.out.print(Text(f"\n{results.name}", style="bold"))
    print_evaluation(evaluation, results.out)
    points = evaluation.operating_point if final.aim else {}
    return evaluation, FoldSummary(tuning=final, chosen_on=chosen_on, operating_point=points, epochs=epochs)


def summary_of_rows(predictions: pa.Table, settings: FinetuneSettings, chosen_on: str) -> FoldSummary:
    """Calibration and thresholds of PREDICTIONS that were not trained on, where no protocol was measured."""
    tuning = tune(predictions, settings.threshold_aim())
    return FoldSummary(tuning=tuning, chosen_on=chosen_on, operating_point=tuning.operating_point)


def write_checkpoint(
    results: BackboneResults,
    trained: Checkpoint,
    evaluations: Mapping[str, Evaluation],
    summary: FoldSummary,
    *,
    how: str,
) -> Checkpoint:
    """Completes the card of ``trained`` and writes the checkpoint; ``how`` it was trained, for the card's origin."""
    tuning, labelled = summary.tuning, results.labelled
    card = replace(
        trained.card,
        thresholds=dict(tuning.thresholds),
        calibration=dict(tuning.calibration),
        operating_point=dict(summary.operating_point),
        trained=True,
        origin=f"{trained.card.origin}; {how}",
        metrics={
            "protocols": {protocol: as_record(evaluation) for protocol, evaluation in evaluations.items()},
            "tuning": {"aim": tuning.aim, "chosen_on": summary.chosen_on, "notes": list(tuning.notes)},
            "measured_on": "frames held out of trainings alike; this checkpoint was trained on all of them"
            if evaluations
            else "nothing: no protocol was asked for",
        },
        data_digest=labelled.digest,
        trained_on=tuple(sorted({*trained.card.trained_on, *(clip.name for clip in labelled.clips.values())})),
    )
    checkpoint = replace(trained, card=card)
    folder = storage.join(results.root, "checkpoint")
    results.lease.check()
    save_checkpoint(checkpoint, folder)
    for note in notes_on_card(card, results.settings.threshold_aim()):
        results.out.print(Text(note, style="yellow"), soft_wrap=True)
    results.out.print(Text(f"checkpoint  {printable(folder)}"), soft_wrap=True)
    return checkpoint


def log_to_mlflow(experiment: str, root: str, record: str, out: Console) -> None:
    """Logs the finished fine-tuning in ``root``, of which ``record`` is the finetune.json, unless that is done or no
    experiment is named; a failure is a line, and changes no result."""
    if not experiment:
        return
    next_try = "the same command"
    try:
        source, runs = tracked_finetuning(root, json.loads(storage.read_bytes(record)))
    except (OSError, ValueError) as error:  # ValueError: finetune.json is cut off
        why = describe(error) if isinstance(error, OSError) else error
        failures = [f"nothing was logged by MLflow, as {record} cannot be read: {why}; {next_try} tries again"]
    else:
        failures = log_runs(experiment, source, runs, next_try=next_try)
    for failure in failures:
        out.print(Text(failure, style="yellow"), soft_wrap=True)


def notes_on_card(card: Card, aim: Aim) -> list[str]:
    """Sentences on labels whose aim is not reached on held-out frames, and on labels that are unproven."""
    notes = []
    if aim.share is not None:
        reached = {label: getattr(point, aim.kind) or 0.0 for label, point in card.operating_point.items()}
        if missed := [f"{label} ({value:.2f})" for label, value in reached.items() if value < aim.share]:
            notes.append(f"{aim} is not reached on held-out frames by {', '.join(missed)}: expect these figures")
    if unproven := card.unproven():
        notes.append(
            f"unproven: {', '.join(unproven)}; the scores are not shown to be better than chance on unseen clips"
        )
    return notes
