"""Which nights a night is compared with."""

from collections.abc import Sequence

from artifactscan.audit.night import Night
from artifactscan.audit.policy import Policy


def baseline_nights(nights: Sequence[Night], policy: Policy, scorer: str, named: str | None = None) -> list[Night]:
    """The last nights of the same scorer that scored arrivals, or the night with the id or run ``named``.

    Nights that were worse are left out, since the next would look no worse against them; so are the nights before one
    that accepted the corpus as it is.
    """
    if named is not None:
        return [night for night in nights if named in (night.night, *night.runs)]
    since: list[Night] = []
    for night in nights:
        if night.settings.get("accept_corpus"):
            since = []
        since.append(night)
    usable = [night for night in since if night.scorer == scorer and night.has_scores and not night.verdict.worse]
    return usable[-policy.baseline_nights :]
