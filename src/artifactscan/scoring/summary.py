"""Prints a plan, and the summary at the end of a run, for a terminal or a job's log."""

from collections.abc import Collection, Mapping, Sequence
from textwrap import shorten

import pandas as pd
import pyarrow as pa
from rich.console import Console
from rich.table import Table
from rich.text import Text

from artifactscan.labels import LABELS
from artifactscan.messages.text import human_bytes, printable
from artifactscan.outcomes import HAS_FRAMES, Outcome
from artifactscan.schemas import VIDEOS
from artifactscan.scoring.cost_estimate import Estimate
from artifactscan.scoring.plan import Plan
from artifactscan.storage.parquet import read_table
from artifactscan.store.layout import Store
from artifactscan.store.run_records import RunRecord

MOST_AFFECTED = 10
"""Videos in the table of the most affected ones."""
MAX_REASON = 80
"""Characters of a reason in the table of outcomes."""
NEARLY_ALL_FRAMES, ENOUGH_FRAMES = 0.9, 50
"""A threshold separates nothing where at least this share of at least so many frames reaches it."""


def print_plan(plan: Plan, out: Console, cost: Estimate | None = None) -> None:
    """Prints what a run would do, how much it is, and what it costs."""
    rows = [
        ("listed", f"{plan.listed:,}"),
        ("new", f"{plan.new:,}"),
        ("changed", f"{plan.changed:,}"),
        ("to try again", f"{plan.again:,}"),
        ("already settled", f"{plan.settled:,}"),
        ("removed since the last run", f"{plan.removed:,}"),
        ("bytes to read", human_bytes(plan.bytes_to_read)),
        ("expected frames", f"about {plan.expected_frames:,}"),
        *(_cost_rows(cost) if cost else ()),
    ]
    table = Table(title="Plan", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for row in rows:
        table.add_row(*row)
    out.print(table)


def _cost_rows(cost: Estimate) -> list[tuple[str, str]]:
    """Rows of the plan with the cost."""
    kinds = ("nodes that decode", "nodes with a GPU") if len(cost.node_hours) == 2 else ("nodes",)
    rows = [
        ("decoding", f"{_two_decimals(cost.core_hours)} core hours"),
        ("classifying", f"{_two_decimals(cost.classifier_hours)} hours"),
        *((f"hours of {kind}", _two_decimals(hours)) for kind, hours in zip(kinds, cost.node_hours, strict=True)),
    ]
    if cost.cost is not None:
        rows.append(("cost", _two_decimals(cost.cost)))
    return [*rows, ("by rates", cost.basis)]


def _two_decimals(value: float) -> str:
    """Two decimals; a smaller value is not printed as 0.00."""
    return "under 0.01" if 0 < value < 0.005 else f"{value:,.2f}"


def print_run(
    store: Store, record: RunRecord, thresholds: Mapping[str, float], out: Console, unproven: Collection[str] = ()
) -> None:
    """Prints outcomes, rates per label, the most affected videos, and the paths of the tables.

    ``unproven``: labels of the checkpoint's Card.unproven. A label whose threshold separates nothing ranks no video.
    """
    files = store.ledger_files(record.run)
    columns = ["uri", "outcome", "reason", "frames_decoded"]
    columns += [f"{kind}_{label}" for kind in ("max", "mean", "frames_over") for label in LABELS]
    empty = VIDEOS.empty_table().select(columns)
    ledger = pa.concat_tables([empty, *(read_table(file, columns) for file in files)]).to_pandas()
    scored = ledger.loc[ledger["outcome"].isin(HAS_FRAMES)]
    out.print(_outcomes_table(record.outcomes, ledger))
    if len(scored):
        shares = _shares_over(scored)
        everywhere = [label for label, share in shares.items() if share >= NEARLY_ALL_FRAMES]
        if scored["frames_decoded"].sum() < ENOUGH_FRAMES:
            everywhere = []
        out.print(_rates_table(scored, thresholds, unproven))
        ranked = [label for label in LABELS if label not in everywhere]
        if ranked and (affected := _most_affected_table(scored, ranked, unproven)) is not None:
            out.print(affected)
        for note in _notes(shares, everywhere, unproven):
            out.print(Text(note, style="yellow"), soft_wrap=True)
    for what, folder in (
        ("frames", store.frames(record.run)),
        ("videos", store.videos(record.run)),
        ("events", store.events(record.run)),
        ("run", store.run_json(record.run)),
    ):
        out.print(Text(f"{what:7} {printable(folder)}"), soft_wrap=True)


def _outcomes_table(outcomes: Mapping[str, int], ledger: pd.DataFrame) -> Table:
    table = Table(title="Outcomes", title_justify="left")
    table.add_column("outcome")
    table.add_column("videos", justify="right")
    table.add_column("such as")
    for outcome in Outcome:
        if count := outcomes.get(outcome):
            some = ledger.loc[(ledger["outcome"] == outcome) & ledger["reason"].notna(), ["uri", "reason"]].head(1)
            example = "".join(f"{short_uri(uri)}: {_shortened(reason)}" for uri, reason in some.to_numpy().tolist())
            table.add_row(str(outcome), f"{count:,}", Text(example))
    return table


def _shortened(reason: str) -> str:
    """A reason cut between words; in its middle where its first word is too long for that."""
    whole = printable(reason)
    cut = shorten(whole, MAX_REASON, placeholder=" …")
    return cut if len(cut) > len(" …") else printable(whole, MAX_REASON)


def _shares_over(scored: pd.DataFrame) -> dict[str, float]:
    """Label → share of the frames at or over its threshold."""
    frames = int(scored["frames_decoded"].to_numpy().sum())
    return {label: int(scored[f"frames_over_{label}"].to_numpy().sum()) / frames for label in LABELS}


def _notes(shares: Mapping[str, float], everywhere: Sequence[str], unproven: Collection[str]) -> list[str]:
    """What the tables must not be read as, one sentence each."""
    notes = [
        f"{label}: its threshold separates nothing, as {shares[label]:.1%} of the frames reach it; no video is named "
        "as most affected by it"
        for label in everywhere
    ]
    if unproven:
        named = ", ".join(label for label in LABELS if label in unproven)
        notes.append(f"unproven: {named}; the scores are not shown to be better than chance on clips not trained on")
    return notes


def _rates_table(scored: pd.DataFrame, thresholds: Mapping[str, float], unproven: Collection[str]) -> Table:
    frames, shares = int(scored["frames_decoded"].to_numpy().sum()), _shares_over(scored)
    table = Table(title=f"Labels in {len(scored):,} videos, {frames:,} frames", title_justify="left")
    for heading in ("label", "threshold", "frames over it", "videos with such a frame"):
        table.add_column(heading, justify="left" if heading == "label" else "right")
    for label in LABELS:
        over = scored[f"frames_over_{label}"]
        name = f"{label} (unproven)" if label in unproven else label
        table.add_row(name, f"{thresholds[label]:.2f}", f"{shares[label]:.1%}", f"{(over > 0).mean():.1%}")
    return table


def _most_affected_table(scored: pd.DataFrame, labels: Sequence[str], unproven: Collection[str]) -> Table | None:
    """Ranked by the proven ones of ``labels``, or by all of them where none is proven; None where none is affected."""
    ranking = [label for label in labels if label not in unproven] or list(labels)
    shares = pd.DataFrame({label: scored[f"frames_over_{label}"] / scored["frames_decoded"] for label in labels})
    peaks = scored[[f"max_{label}" for label in ranking]].max(axis=1)
    ranked = scored.assign(affected=shares[ranking].mean(axis=1), peak=peaks, **shares)
    ranked = ranked.sort_values(["affected", "peak", "uri"], ascending=[False, False, True]).head(MOST_AFFECTED)
    ranked = ranked.loc[ranked["affected"] > 0]
    if ranked.empty:
        return None
    by = " by unproven labels" if set(ranking) <= set(unproven) else ""
    table = Table(title=f"Most affected videos{by}: share of frames over the threshold", title_justify="left")
    table.add_column("video")
    for label in labels:
        table.add_column(label, justify="right")
    table.add_column("peak", justify="right")
    for row in ranked.to_dict("records"):
        table.add_row(Text(short_uri(row["uri"])), *(f"{row[label]:.0%}" for label in labels), f"{row['peak']:.2f}")
    return table


def short_uri(uri: str) -> str:
    """The last two components of a uri, shortened and safe to print."""
    return printable("/".join(uri.rsplit("/", 2)[-2:]), 44)
