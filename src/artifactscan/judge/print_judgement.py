"""Prints what a judgement will take, what came of it, and how the judge compares with the scorer."""

from collections import Counter
from collections.abc import Sequence
from math import isnan

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table
from rich.text import Text

from artifactscan.judge.compare_with_scorer import JudgeComparison, PairedDifference
from artifactscan.judge.consistency import Consistency
from artifactscan.judge.judgement_tables import OUTCOMES
from artifactscan.judge.token_cost import JudgeCost, token_price
from artifactscan.labels import LABELS
from artifactscan.messages.text import printable


def print_judge_plan(cost: JudgeCost, wanted: int, out: Console) -> None:
    """Prints what is left to ask and what it takes; ``wanted``: frames to judge altogether."""
    basis = "of the answers so far" if cost.measured else "rules of thumb: a token is 4 characters or 750 pixels"
    lines = {
        "frames": f"{cost.frames:,} to ask about, of {wanted:,}",
        "requests": f"{cost.requests:,}, with {cost.images:,} images; retries come on top",
        "tokens": f"about {cost.prompt_tokens:,} of prompts and {cost.completion_tokens:,} of answers",
        "minutes": f"{cost.minutes:,.1f} at least, by --requests-per-minute",
    }
    if cost.cost is not None:
        lines["cost"] = f"about {cost.cost:,.2f}"
    lines["by"] = basis
    for name, text in lines.items():
        out.print(Text(f"{name:9} {text}"))


def print_outcomes(outcomes: pa.Table, consistency: Consistency, prices: Sequence[float], out: Console) -> None:
    """Prints the outcomes of all frames, how often the judge contradicts itself, and the tokens used."""
    table = Table(title="Judgement", title_justify="left")
    for heading in ("outcome", "frames", "such as"):
        table.add_column(heading, justify="right" if heading == "frames" else "left")
    rows = outcomes.to_pylist()
    counts = Counter(row["outcome"] for row in rows)
    for outcome in filter(counts.__contains__, OUTCOMES):
        example = next((row for row in rows if row["outcome"] == outcome and row["reason"]), None)
        where = f"{example['file']} {example['frame_index']}: {example['reason']}" if example else ""
        table.add_row(outcome, f"{counts[outcome]:,}", Text(printable(where, 160)))
    out.print(table)
    if alone := sum(row["neighbours"] == 0 for row in rows):
        out.print(f"{alone:,} of {len(rows):,} frames were judged without a neighbour, which motion and object need")
    if consistency.frames:
        kappas = ", ".join(f"{label} {_figure(consistency.kappa[label])}" for label in LABELS)
        out.print(
            f"asked twice: {consistency.frames:,} frames, {consistency.contradicted:,} with contradicting answers; the "
            f"judge's agreement with itself (weighted kappa): {kappas}"
        )
    prompt, completion = (pc.sum(outcomes[name]).as_py() or 0 for name in ("prompt_tokens", "completion_tokens"))
    if prompt:
        price = token_price(prompt, completion, prices)
        cost = "" if price is None else f", which cost {price:,.2f}"
        out.print(f"tokens: {prompt:,} of prompts and {completion:,} of answers{cost}")


def print_comparison(comparison: JudgeComparison, out: Console) -> None:
    """Prints the judge's average precision beside the scorer's, and whether it may change a verdict."""
    title = f"Average precision on {comparison.frames:,} frames of {comparison.clips:,} clips labelled by people"
    table = Table(title=title, title_justify="left")
    table.add_column("label")
    for heading in ("judge", "scorer", f"difference ({comparison.confidence:.0%} interval over clips)"):
        table.add_column(heading, justify="right")
    for label, pair in {**comparison.labels, "macro": comparison.macro}.items():
        table.add_row(label, f"{pair.judge:.3f}", f"{pair.scorer:.3f}", _interval(pair))
    out.print(table)
    if comparison.earned:
        out.print("the judge beats the scorer: it may change a verdict")
    else:
        out.print("the judge does not beat the scorer with an interval above zero: it changes no verdict")


def _interval(pair: PairedDifference) -> str:
    interval = "no interval" if isnan(pair.low) else f"{pair.low:+.3f} to {pair.high:+.3f}"
    return f"{pair.difference:+.3f} ({interval})"


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
