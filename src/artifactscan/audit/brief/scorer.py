"""How good the scorer is, and whether it stood still, in words."""

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from artifactscan.audit.canaries import compare_planted_canaries
from artifactscan.audit.formatting import counted
from artifactscan.audit.night import Night
from artifactscan.audit.policy import Policy
from artifactscan.audit.verdict import moved_canaries
from artifactscan.labels import LABELS, MACRO
from artifactscan.messages.text import listed
from artifactscan.model.checkpoint import CHANCE_AUROC
from artifactscan.model.operating_point import UNSEEN_PROTOCOLS

_UNSEEN = {"generators": "makers it was not trained on", "videos": "clips it was not trained on"}


def quality_in_words(night: Night) -> str:
    """How well the scorer tells frames with a label from others on unseen clips: macro AUROC, then by label.

    Source of the figures: the checkpoint's card, by the stricter protocol that it has; the macro of both.
    """
    checkpoint = night.checkpoint
    if not checkpoint.get("trained", True):
        return "Its weights are random: its scores mean nothing."
    aurocs: Mapping[str, Mapping[str, Sequence[float]]] = checkpoint.get("auroc") or {}
    protocols = [protocol for protocol in UNSEEN_PROTOCOLS if aurocs.get(protocol)]
    if not protocols:
        standing = checkpoint.get("standing")
        return f"By its card {standing}." if standing else "Its card has no figures on unseen clips."
    macros = [
        f"{value:.2f} ({low:.2f}–{high:.2f}) on {_UNSEEN[protocol]}"
        for protocol in protocols
        if MACRO in aurocs[protocol]
        for value, low, high in [aurocs[protocol][MACRO]]
    ]
    by_label = aurocs[protocols[0]]
    labels = [
        f"{label} {by_label[label][0]:.2f}{' (unproven)' if label in night.unproven else ''}"
        for label in LABELS
        if label in by_label
    ]
    clauses = [f"macro AUROC {', '.join(macros)}" if macros else "", ", ".join(labels)]
    text = "; ".join(filter(None, clauses))
    return f"{text[0].upper()}{text[1:]}. Guessing has {CHANCE_AUROC:.2f}."


def canaries_in_words(policy: Policy, canaries: pa.Table) -> str:
    """Whether the canaries' scores moved, and whether they could have shown a change, in a sentence or two."""
    clips = len(set(canaries["clip"].to_pylist()))
    if not clips:
        return "No canary was scored, so whether the scorer changed is not known."
    not_compared = len({row["clip"] for row in canaries.to_pylist() if row["reason"] is not None})
    uncompared = (
        f" {counted(not_compared, 'clip')} could not be compared, which counts as moved." if not_compared else ""
    )
    if moved := len({row["clip"] for row in moved_canaries(policy, canaries)}):
        return f"{moved} of {counted(clips, 'clip')} moved.{uncompared}"
    largest = pc.max(canaries["shift"]).as_py()
    if largest is None:
        return uncompared.strip()
    still = f"The scores of {counted(clips - not_compared, 'clip')} stood still (largest shift {largest:.3f})"
    return f"{still}{_blind_clause(canaries)}.{uncompared}"


def _blind_clause(canaries: pa.Table) -> str:
    """That the canaries cannot show a change of some labels, as a clause; empty where they can, or nobody knows."""
    blind = [one.label for one in compare_planted_canaries(canaries) if one.decidable and not one.found]
    if not blind:
        return ""
    which = "" if len(blind) == len(LABELS) else f" for {listed(blind)}"
    return f", but{which} they cannot show a change: clips with planted defects score like clips without"
