"""The policy of an audit: a YAML file with the rules that fail a night.

    rates:
      - {label: motion, above: 0.20}
      - {label: texture, above: 0.10, group: generator=sora}
    rises: {significance: 0.05, at_least: 0.01}
    min_videos: 30
    failed_above: 0.05
    canary_shift_above: 0.02
    baseline_nights: 14
    unproven: [motion]

Every key is optional. Shares are between 0 and 1: 0.01 is one percentage point.
"""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any, TypeVar

from artifactscan import storage
from artifactscan.audit.night_tables import ALL
from artifactscan.cli.yaml_text import parse_yaml
from artifactscan.errors import UsageError
from artifactscan.labels import LABELS
from artifactscan.storage import storage_errors


@dataclass(frozen=True, kw_only=True)
class RateLimit:
    """The largest allowed rate of a label in a group, whatever the baseline."""

    label: str
    """One of LABELS."""
    above: float
    """The night fails when a larger share of tonight's scored videos has an event, however few they are."""
    group: str = ALL
    """As in ARRIVALS, like ``generator=sora``; the default is every video."""

    def __post_init__(self) -> None:
        if self.label not in LABELS:
            raise UsageError(f"label is {self.label!r}; known are {', '.join(LABELS)}")
        _check_share("above", self.above)
        if not isinstance(self.group, str) or not self.group:
            raise UsageError(f"group is {self.group!r}; give the name of a group, such as generator=sora, or {ALL}")


@dataclass(frozen=True, kw_only=True)
class RiseLimit:
    """Which rise of a label's rate in a group fails a night.

    A rise that stays fails every night, since worse nights in a row are no baseline, until the corpus is accepted
    (``--accept-corpus``).
    """

    significance: float = 0.05
    """The largest q value (Benjamini–Hochberg over all tests of a night) that fails: of nights on which nothing changed
    about this share fails, see docs/audit.md."""
    at_least: float = 0.0
    """The smallest rise that fails, as a share: 0.01 is one percentage point. With very many videos a night tiny rises
    are significant; this says which of them matter."""

    def __post_init__(self) -> None:
        _check_share("significance", self.significance)
        if self.significance == 0:
            raise UsageError("significance is 0; give a share above 0, or at_least: 1 to let every rise pass")
        _check_share("at_least", self.at_least)


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What fails a night."""

    rates: tuple[RateLimit, ...] = ()
    """Limits on rates. None by default: which rate is too high depends on the corpus."""
    rises: RiseLimit = field(default_factory=RiseLimit)
    """Rises against the baseline that fail."""
    min_videos: int = 30
    """With fewer scored videos in a group, tonight or in the baseline, its rates are not compared: below 30, one video
    moves a rate by more than three points."""
    failed_above: float = 0.05
    """The night fails when a larger share of its files has no score; as the scoring job's --max-failed."""
    canary_shift_above: float = 0.02
    """The scorer counts as moved when the score of a canary's frame shifts by more: twice the 0.01 that a faster
    precision may shift a score."""
    baseline_nights: int = 14
    """Most earlier nights that a night is compared with: two weeks have every weekday twice."""
    unproven: tuple[str, ...] = ()
    """Labels whose rises fail a night although the checkpoint's card does not show that its scores tell them from
    chance on unseen clips (Card.unproven). A limit in ``rates`` names its label and holds without this."""

    def __post_init__(self) -> None:
        _check_count("min_videos", self.min_videos)
        _check_count("baseline_nights", self.baseline_nights)
        _check_share("failed_above", self.failed_above)
        _check_share("canary_shift_above", self.canary_shift_above)
        for label in self.unproven:
            if label not in LABELS:
                raise UsageError(f"unproven names {_shown(label)}; known are {', '.join(LABELS)}")


def load_policy(uri: str | None) -> Policy:
    """The policy in a YAML file, local or s3://, or the default one for None.

    UsageError that names file, key, value and what is allowed: for a file that cannot be read or is not a YAML mapping,
    for a key that is unknown, repeated or missing, and for a value that is not allowed.
    """
    if uri is None:
        return Policy()
    location = storage.normalise(uri)
    try:
        text = storage.read_bytes(location)
    except OSError as error:
        raise UsageError(f"policy {uri} cannot be read: {storage_errors.describe(error, location)}") from None
    return parse_policy(parse_yaml(text, f"policy {uri}"), f"policy {uri}")


def parse_policy(values: object, source: str) -> Policy:
    """The policy from a YAML file's or night.json's values; UsageError as load_policy's, beginning with ``source``."""
    try:
        return _parse(values)
    except UsageError as error:
        raise UsageError(f"{source}: {error}") from None


def as_record(policy: Policy) -> dict[str, Any]:
    """The policy as in night.json, for ``parse_policy``; dumped as YAML it is a policy file."""
    return {**asdict(policy), "rates": [asdict(limit) for limit in policy.rates], "unproven": list(policy.unproven)}


def policy_in_sentences(policy: Policy) -> tuple[str, ...]:
    """The policy in sentences, for a page."""
    rises = policy.rises
    at_least = f" by at least {100 * rises.at_least:g} points" if rises.at_least else ""
    return (
        *(
            f"A night fails when more than {100 * limit.above:g} % of "
            f"{'all videos' if limit.group == ALL else f'the videos in {limit.group}'} have a {limit.label} event."
            for limit in policy.rates
        ),
        f"A night fails when a label's rate in a group rose{at_least} against the baseline, at most "
        f"{policy.baseline_nights} nights before it, with a q value (Benjamini–Hochberg) of {rises.significance:g} "
        "or less.",
        f"A rate is not compared when it is of fewer than {policy.min_videos} videos, tonight or in the baseline.",
        "An unproven label, whose scores are not shown to be better than chance on unseen clips, fails no night by a "
        f"rise{_except(policy.unproven)}.",
        f"A night fails when more than {100 * policy.failed_above:g} % of its files have no score.",
        "The scorer counts as moved when the score of a canary's frame shifts by more than "
        f"{policy.canary_shift_above:g}, or a canary cannot be compared.",
    )


def _except(labels: tuple[str, ...]) -> str:
    return f", except {', '.join(labels)}" if labels else ""


_Section = TypeVar("_Section", Policy, RateLimit, RiseLimit)


def _parse(values: object) -> Policy:
    checked = _known(Policy, values, "a policy")
    if "rates" in checked:
        if not isinstance(checked["rates"], list):
            raise UsageError(f"rates is {_shown(checked['rates'])}; give a list of {{label, above, group}}")
        checked["rates"] = tuple(
            _section(RateLimit, value, f"rates[{position}]") for position, value in enumerate(checked["rates"])
        )
    if "rises" in checked:
        checked["rises"] = _section(RiseLimit, checked["rises"], "rises")
    if "unproven" in checked:
        if not isinstance(checked["unproven"], list):
            raise UsageError(f"unproven is {_shown(checked['unproven'])}; give a list of labels, such as [motion]")
        checked["unproven"] = tuple(checked["unproven"])
    return Policy(**checked)


def _section(kind: type[_Section], values: object, key_path: str) -> _Section:
    checked = _known(kind, values, key_path)
    for one in fields(kind):
        if one.default is MISSING and one.name not in checked:
            raise UsageError(f"{key_path} says no {one.name}; it needs label and above, and may say group")
    try:
        return kind(**checked)
    except UsageError as error:
        raise UsageError(f"{key_path}.{error}") from None


def _known(kind: type, values: object, key_path: str) -> dict[str, Any]:
    known = [one.name for one in fields(kind)]
    if not isinstance(values, Mapping):
        raise UsageError(f"{key_path} is {_shown(values)}; give `key: value` pairs, known are {', '.join(known)}")
    for name, value in values.items():
        if name not in known:
            raise UsageError(f"{key_path} has no {name!r} (given as {value!r}); known are {', '.join(known)}")
    return dict(values)


def _check_share(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise UsageError(f"{name} is {_shown(value)}; give a share between 0 and 1, such as 0.05")


def _check_count(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UsageError(f"{name} is {_shown(value)}; give a whole number, 1 or more")


def _shown(value: object) -> str:
    """A value in an error; text is called text, as YAML reads ``1e-2`` and ``5 %`` as text."""
    if value is None:
        return "without a value"
    return f"the text {value!r}" if isinstance(value, str) else repr(value)
