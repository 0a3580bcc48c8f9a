"""How sure a verdict is, in words: intervals, counts, and what a q value means."""

from artifactscan.audit.formatting import percent_between, points, points_between, q_value
from artifactscan.audit.night import EXIT_PASS, EXIT_SCORER_MOVED
from artifactscan.audit.night_tables import ALL
from artifactscan.audit.report_data import Report
from artifactscan.audit.verdict import clearest_rise

_PER_THOUSAND_BELOW = 0.01
_SMALLEST = 0.001


def certainty_in_words(report: Report) -> str:
    """How sure the night's first cause is, or that a night that passes hides nothing, as a sentence or two."""
    broken, policy = report.broken, report.policy
    if report.night.verdict.code == EXIT_SCORER_MOVED:
        return (
            f"Measured on clips whose bytes never change; a shift of up to {policy.canary_shift_above:g} would count "
            "as standing still."
        )
    if report.night.verdict.code == EXIT_PASS:
        return _certainty_of_pass(report)
    if broken.risen:
        cell = broken.risen[0]
        return (
            f"{points(cell['change'])} points (95 % interval {points_between(cell['change_low'], cell['change_high'])})"
            f", {cell['flagged']:,} of {cell['videos']:,} videos against {cell['base_flagged']:,} of "
            f"{cell['base_videos']:,}. Of rises as clear as this {q_in_words(cell['q_value'])} false alarms (q value "
            f"{q_value(cell['q_value'])}; {policy.rises.significance:g} or less fails)."
        )
    if broken.high:
        limit, cell = broken.high[0]
        between = percent_between(cell["rate_low"], cell["rate_high"])
        chance = cell["rate_low"] is not None and cell["rate_low"] <= limit.above
        reach = "which reaches below the limit: chance may have made it" if chance else "all of it above the limit"
        return f"{cell['flagged']:,} of {cell['videos']:,} videos (95 % interval {between} %), {reach}."
    return "Counted, not estimated: each of these files was tried, and its reason is kept."


def q_in_words(q: float) -> str:
    """Which share of findings with a q value as small as this is false, to stand before ``false alarms``."""
    if q < _SMALLEST:
        return "fewer than 1 in 1,000 are"
    if q < _PER_THOUSAND_BELOW:
        return f"about {round(1000 * q)} in 1,000 are"
    return f"about {round(100 * q)} in 100 are"


def _certainty_of_pass(report: Report) -> str:
    if not report.tested_cells:
        return "Nothing was compared, so that a change would not have been seen."
    cell = clearest_rise(report.policy, report.cells, report.night.unproven)
    if cell is None:
        return "No rate that was compared is higher than before."
    where = "all videos" if cell["group"] == ALL else cell["group"]
    between = points_between(cell["change_low"], cell["change_high"])
    q, limit = q_value(cell["q_value"]), report.policy.rises.significance
    explained = f"which chance explains (q value {q}; {limit:g} or less fails)"
    if cell["q_value"] <= limit:
        explained = f"more than chance explains (q value {q}), but less than the policy fails"
    return f"The clearest rise is {cell['label']} in {where}, {points(cell['change'])} points ({between}), {explained}."
