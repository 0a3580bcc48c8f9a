"""Prints the replay of one video in a terminal."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from artifactscan.audit.replay import Replay
from artifactscan.labels import LABELS
from artifactscan.messages.text import printable
from artifactscan.schemas import VIDEO_FACTS

SAME = 1e-4
"""Scores that differ by less are the same: batches of another composition round differently."""


def print_replay(replay: Replay, out: Console) -> None:
    """The conclusion, then decode facts, timeline, events and heat maps."""
    out.print(Text(_conclusion(replay)), soft_wrap=True)
    for note in replay.notes:
        out.print(Text(f"note: {printable(note)}"), soft_wrap=True)
    out.print(_facts(replay))
    if replay.fresh.num_rows:
        out.print(_timeline(replay))
        out.print(_events(replay))
    if replay.heat_maps is not None:
        frames = len(set(replay.heat_maps.index["frame_index"].to_pylist()))
        out.print(Text(f"heat maps of {frames} frames  {printable(replay.heat_maps.sheet)}"), soft_wrap=True)


def _conclusion(replay: Replay) -> str:
    uri = printable(replay.row["uri"])
    if replay.row["outcome"] != replay.result.outcome:
        return (
            f"{uri}: {replay.result.outcome} here ({printable(replay.result.reason or 'no reason')}), "
            f"{replay.row['outcome']} in run {replay.run.run}"
        )
    if not replay.fresh.num_rows:
        return (
            f"{uri}: {replay.result.outcome} here as in run {replay.run.run}: {printable(replay.result.reason or '')}"
        )
    if replay.stored["frame_index"].to_pylist() != replay.fresh["frame_index"].to_pylist():
        return (
            f"{uri}: other frames are sampled here than in run {replay.run.run} "
            f"({replay.fresh.num_rows} and {replay.stored.num_rows})"
        )
    largest = replay.largest_difference()
    same = "the same scores" if largest <= SAME else "OTHER SCORES"
    return f"{uri}: {same} here as in run {replay.run.run}; the largest difference is {largest:.2g}"


def _facts(replay: Replay) -> Table:
    table = Table(title="Decoding", title_justify="left")
    for heading in ("", "stored", "here"):
        table.add_column(heading)
    rows = {"outcome": replay.result.outcome, "reason": replay.result.reason}
    rows |= {field.name: getattr(replay.result.facts, field.name) for field in VIDEO_FACTS}
    for name, value in rows.items():
        table.add_row(name, *(Text(_value_in_words(one)) for one in (replay.row[name], value)))
    return table


def _value_in_words(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else printable(str(value), 60)


def _timeline(replay: Replay) -> Table:
    stored = {row["frame_index"]: row for row in replay.stored.to_pylist()}
    table = Table(title="Scores, stored then here; * at or over the threshold", title_justify="left")
    table.add_column("frame", justify="right")
    table.add_column("time", justify="right")
    for label in LABELS:
        table.add_column(f"{label} ≥ {replay.thresholds[label]:.2f}", justify="right")
    for row in replay.fresh.to_pylist():
        before = stored.get(row["frame_index"])
        cells = []
        for label in LABELS:
            star = "*" if row[f"p_{label}"] >= replay.thresholds[label] else " "
            old = f"{before[f'p_{label}']:.3f}" if before else "-"
            cells.append(f"{old} {row[f'p_{label}']:.3f}{star}")
        table.add_row(str(row["frame_index"]), f"{row['pts_s']:.2f} s", *cells)
    return table


def _events(replay: Replay) -> Table:
    table = Table(title="Events" if replay.events.num_rows else "No events", title_justify="left")
    for heading in ("label", "from", "to", "peak", "peak frame"):
        table.add_column(heading, justify="left" if heading == "label" else "right")
    for row in replay.events.to_pylist():
        span = (f"{row['start_s']:.2f} s", f"{row['end_s']:.2f} s")
        table.add_row(row["label"], *span, f"{row['peak']:.3f}", str(row["peak_frame"]))
    return table
