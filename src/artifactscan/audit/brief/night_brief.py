"""The first screen of a night: one sentence, what it rests on, and the clips to look at.

The page, the mail, the message to a chat, the Markdown and the terminal all show this text.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from artifactscan.audit.brief.certainty import certainty_in_words
from artifactscan.audit.brief.scorer import canaries_in_words, quality_in_words
from artifactscan.audit.brief.streaks import since_in_words
from artifactscan.audit.formatting import counted, night_time, seconds
from artifactscan.audit.night import EXIT_FAIL, EXIT_PASS, EXIT_SCORER_MOVED
from artifactscan.audit.report_data import Report, WorstVideo, card_anchor, failures, rows_of, without_score
from artifactscan.audit.verdict import comparison_in_words
from artifactscan.audit.worst_videos import BRIEF_CLIPS, videos_of_cell
from artifactscan.labels import LABELS

_WEB = ("http://", "https://")
_COUNTED = ("new", "changed", "again", "removed", "quarantined", "retried", "recovered")
"""Of ``Night.counts``, those that a person looks at."""


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One thing to know of a night."""

    name: str
    text: str


@dataclass(frozen=True, kw_only=True)
class BriefClip:
    """A clip to look at: the frame at the peak of one label."""

    path: str
    anchor: str
    """The id of its card on the page."""
    link: str | None
    """As ``WorstVideo.link``: a path relative to the page, or a link that expires."""
    label: str
    peak: float
    peak_s: float
    frame_jpeg: bytes | None
    """None where no picture was drawn."""

    @property
    def in_words(self) -> str:
        """Its label, peak and when."""
        return f"{self.label} {self.peak:.2f} at {seconds(self.peak_s)}"


@dataclass(frozen=True, kw_only=True)
class NightBrief:
    """What every page and message begins with. Names and reasons in it come from others and are not escaped."""

    code: int
    """Of the verdict."""
    sentence: str
    """Pass or fail and why."""
    facts: tuple[Fact, ...]
    """Since when, how sure, whether the corpus or the scorer changed, and how good the scorer is."""
    others: tuple[str, ...]
    """The reasons that ``sentence`` does not give, one sentence each."""
    clips: tuple[BriefClip, ...]
    """At most BRIEF_CLIPS, those that show why the night fails first."""
    corpus: str
    night: str
    counts: tuple[str, ...]
    """How many videos arrived, were listed and compared, a few words each."""

    @property
    def when(self) -> str:
        """When the night began."""
        return f"{night_time(self.night)} UTC"


def night_brief(report: Report) -> NightBrief:
    """The first screen of a night."""
    night = report.night
    in_sentence = {0} if night.verdict.code == EXIT_SCORER_MOVED else report.broken.in_headline or {0}
    return NightBrief(
        code=night.verdict.code,
        sentence=night.verdict.sentence,
        facts=tuple(_facts(report)),
        others=tuple(reason for n, reason in enumerate(night.verdict.reasons) if n not in in_sentence),
        clips=tuple(_clips(report)),
        corpus=night.corpus,
        night=night.night,
        counts=tuple(_counts(report)),
    )


def clip_url(clip: BriefClip, page: str | None) -> str | None:
    """Where a reader of a message sees the clip at its peak: the clip itself, else its card on the page.

    None where neither the clip nor the ``page`` has an http(s) address. Source of ``#t=``: W3C Media Fragments.
    """
    if clip.link and clip.link.startswith(_WEB) and "#" not in clip.link:
        return f"{clip.link}#t={clip.peak_s:g}"
    return f"{page}#{clip.anchor}" if page and page.startswith(_WEB) else None


def _facts(report: Report) -> list[Fact]:
    night, found = report.night, []
    reasons = failures(without_score(report.arrivals)) if report.broken.failed else []
    if night.verdict.code == EXIT_FAIL and reasons:
        first, *others = reasons
        more = f", and {counted(len(others), 'other reason')}" if others else ""
        text = f"{first.example}: {first.outcome.replace('_', ' ')}, {first.reason}{more}."
        found.append(Fact(name="Not scored", text=text))
    found.append(Fact(name="Since", text=since_in_words(report)))
    found.append(Fact(name="How sure", text=certainty_in_words(report)))
    compared = _comparison(report) if night.verdict.code in (EXIT_PASS, EXIT_FAIL) else None
    if compared and compared.rstrip(".") not in night.verdict.headline:
        found.append(Fact(name="Compared", text=compared))
    found.append(Fact(name="Canaries", text=canaries_in_words(report.policy, report.canaries)))
    found.append(Fact(name="Scorer", text=quality_in_words(night)))
    return found


def _comparison(report: Report) -> str | None:
    night = report.night
    if not report.cells.num_rows:
        return None
    return comparison_in_words(report.policy, report.cells, report.arrivals, night.baseline, night.unproven)


def _counts(report: Report) -> list[str]:
    night = report.night
    counts = [f"{counted(report.arrivals.num_rows, 'video')} arrived"]
    if failed := without_score(report.arrivals).num_rows:
        counts.append(f"{failed:,} without a score")
    counts += [f"{night.counts[name]:,} {name}" for name in _COUNTED if night.counts.get(name)]
    if not night.counts:
        return [*counts, "corpus not looked at"]
    return [*counts, f"{night.counts['listed']:,} listed", _compared(report)]


def _compared(report: Report) -> str:
    if not report.night.baseline:
        return "no baseline yet"
    if not report.tested_cells:
        return "nothing compared"
    return f"{counted(report.tested_cells, 'rate')} compared with {counted(len(report.night.baseline), 'night')}"


def _clips(report: Report) -> list[BriefClip]:
    """The worst videos among those with the label and group that failed the night, by that label's peak.

    Of a night without such a label, or where none of its videos is among the worst, the first of the worst.
    """
    arrivals = {row["video_id"]: row for row in rows_of(report.arrivals, [video.video_id for video in report.worst])}
    worst = [
        (n, video, arrivals[video.video_id]) for n, video in enumerate(report.worst, 1) if video.video_id in arrivals
    ]
    cell = report.broken.leading_cell
    if cell is not None:
        found = report.arrivals.filter(videos_of_cell(report.arrivals, cell))["video_id"].to_pylist()
        leading = [one for one in worst if one[1].video_id in set(found)]
        leading.sort(key=lambda one: -one[2][f"peak_{cell[0]}"])
        worst = leading or worst
    return [_clip(n, video, row, cell) for n, video, row in worst[:BRIEF_CLIPS]]


def _clip(rank: int, video: WorstVideo, row: Mapping[str, Any], cell: tuple[str, str] | None) -> BriefClip:
    flagged = [label for label in LABELS if row[f"events_{label}"]]
    label = (
        cell[0] if cell and cell[0] in flagged else max(flagged or LABELS, key=lambda one: row[f"peak_{one}"] or 0.0)
    )
    pictures = {picture.label: picture.frame_jpeg for picture in reversed(video.pictures)}
    return BriefClip(
        path=video.path,
        anchor=card_anchor(rank),
        link=video.link,
        label=label,
        peak=row[f"peak_{label}"] or 0.0,
        peak_s=row[f"peak_s_{label}"] or 0.0,
        frame_jpeg=pictures.get(label) or next(iter(pictures.values()), None),
    )
