"""The settings of the jobs that audit, report and replay."""

from dataclasses import dataclass, field

import tyro

from artifactscan.audit.send_mail import check_address
from artifactscan.errors import UsageError
from artifactscan.judge.endpoint import check_endpoint_url
from artifactscan.messages.web_address import is_web_address, refused_address
from artifactscan.scoring.settings import SharedScoringSettings

SECRETS = frozenset({"webhook", "smtp", "mail_to", "mail_from"})
"""Settings that neither night.json nor a page keeps: a Slack URL is a key, addresses are people's."""
MAX_LINK_LIFE_H = 168.0
"""What S3's signatures allow: seven days."""


@dataclass(frozen=True, kw_only=True)
class PageSettings:
    """What the page of a night shows."""

    worst_videos: int = 24
    """Videos shown with a contact sheet, a timeline and a player."""
    frames_per_video: int = 4
    """Peak frames on a contact sheet at most; one per label that has an event, the highest first."""
    link_life_h: float = MAX_LINK_LIFE_H
    """Hours for which the links to videos on S3 work."""

    def __post_init__(self) -> None:
        for name, most in (("worst_videos", 1000), ("frames_per_video", 4)):
            if not 0 <= getattr(self, name) <= most:
                raise UsageError(f"--{name.replace('_', '-')} is {getattr(self, name)}; give 0 to {most}")
        if not 0 < self.link_life_h <= MAX_LINK_LIFE_H:
            raise UsageError(f"--link-life-h is {self.link_life_h}; give hours above 0 and at most {MAX_LINK_LIFE_H:g}")


@dataclass(frozen=True, kw_only=True)
class AuditSettings(SharedScoringSettings, PageSettings):
    """Scores what is new in a corpus, sets it against earlier nights, and says whether it got worse."""

    corpus: str
    """Folder, s3://, gs:// or az://bucket/prefix, or a .parquet/.csv manifest with a column `uri`."""
    store: str
    """Where the audit keeps its scores, nights and pages: a folder, or s3://, gs:// or az://bucket/prefix."""

    policy: str | None = None
    """YAML file that says what fails a night; docs/audit.md has its keys."""
    groups: str | None = None
    """Pattern that takes groups from the path below the corpus, such as {generator}/{version}/{prompt_group}."""
    metadata: str | None = None
    """.csv or .parquet with a column `uri` (or path below the corpus) whose other columns are groups."""
    baseline: str | None = None
    """Night to compare with; without it, the nights before as the policy says."""
    human_labels: str | None = None
    """Labels table of people on a sample of the corpus; corrects the flagged share for the scorer's errors."""

    judge_share: float = 0.0
    """Share of the night's scored videos drawn at random for labelling, by people or a judge; 0.02, say. Their labels
    give estimates with intervals, which hold with a weak scorer too."""
    judge_endpoint: str = ""
    """Base URL of an OpenAI-compatible API that judges the drawn videos; empty: they wait for people."""
    judge_model: str = ""
    """Name of the model at --judge-endpoint; its key is in OPENAI_API_KEY."""

    retry_failed_after_days: float = 7.0
    """Days after which a video that failed is tried once more, with the other decoder and twice the limits on time and
    memory; --decoder auto has tried both."""
    resample_share: float = 0.01
    """Share of the night's videos scored again at double the rate, to see what the usual rate misses."""
    canary_clips: int = 12
    """Synthetic clips with known artifacts, made once per store and scored every night."""
    accept_scorer: bool = False
    """Take tonight's scorer as it is for the reference; nights before it no longer serve as a baseline."""
    accept_corpus: bool = False
    """Take the corpus as it is tonight for the reference: a rise that stays fails every night until then."""
    webhook: str | None = field(default=None, repr=False)
    """URL that gets the verdict as Slack-compatible JSON; or the environment variable ARTIFACTSCAN_WEBHOOK."""
    mail_to: tuple[str, ...] = ()
    """Addresses that get the night as a mail, through the server in ARTIFACTSCAN_SMTP."""
    mail_from: str = ""
    """Sender of the mail; empty: the server's user, or artifactscan at this machine."""
    smtp: str | None = field(default=None, repr=False)
    """Mail server, smtp://user:password@host:587 (with STARTTLS) or smtps://; better in ARTIFACTSCAN_SMTP."""
    page_url: str = ""
    """Address at which people reach the store's folder, such as https://audits.example.com; messages link to it."""
    mlflow: str = ""
    """MLflow experiment that gets a run for each night with its figures, at the server in MLFLOW_TRACKING_URI."""

    def __post_init__(self) -> None:
        SharedScoringSettings.__post_init__(self)
        PageSettings.__post_init__(self)
        if not 0 <= self.resample_share <= 1:
            raise UsageError(f"--resample-share is {self.resample_share}; give a share between 0 and 1")
        if not 0 <= self.judge_share <= 1:
            raise UsageError(f"--judge-share is {self.judge_share}; give a share between 0 and 1")
        if bool(self.judge_endpoint) != bool(self.judge_model):
            raise UsageError("--judge-endpoint and --judge-model go together; give both, or neither to label by hand")
        if self.judge_endpoint:
            if not self.judge_share:
                raise UsageError("--judge-endpoint has nothing to judge; say with --judge-share how much")
            check_endpoint_url(self.judge_endpoint)
        if not 0 <= self.retry_failed_after_days < float("inf"):
            raise UsageError(f"--retry-failed-after-days is {self.retry_failed_after_days}; give 0 or more")
        if self.accept_corpus and self.baseline:
            raise UsageError("--accept-corpus begins a new baseline and --baseline names an old one; give one of them")
        for address in self.mail_to:
            check_address(address, "--mail-to")
        if self.mail_from:
            check_address(self.mail_from, "--mail-from")
        if (self.mail_from or self.smtp) and not self.mail_to:
            raise UsageError("--mail-from and --smtp send no mail by themselves; say with --mail-to who gets it")
        if self.page_url and not is_web_address(self.page_url):
            raise UsageError(
                f"--page-url {refused_address(self.page_url)!r} is not an http:// or https:// address without spaces; "
                "give one such as https://audits.example.com/nightly"
            )
        if not 4 <= self.canary_clips <= 1000:
            raise UsageError(f"--canary-clips is {self.canary_clips}; give 4 (one per label) to 1000")


@dataclass(frozen=True, kw_only=True)
class ReportSettings:
    """Writes events, verdicts and pages anew from stored scores, without decoding anything."""

    store: str
    """The audit's store."""
    night: str | None = None
    """Night whose page to write; without it the latest."""
    thresholds: tuple[str, ...] = ()
    """Other thresholds, such as motion=0.6 texture=0.45; they hold for all nights and those to come."""
    release_ratio: float | None = None
    """Other share of a threshold down to which an event goes on."""
    max_gap_frames: int | None = None
    """Other number of sampled frames below it that do not end an event."""
    min_frames: int | None = None
    """Other number of frames that an event has at least."""
    policy: str | None = None
    """Other policy file; without it the one that each night was judged by."""
    anew: bool = False
    """Measure all nights of the scorer anew even where nothing else is asked: mends tables that are lost or damaged."""
    plan: bool = False
    """Print what would change, and write nothing."""


@dataclass(frozen=True, kw_only=True)
class WhySettings:
    """Replays one video of a store on this machine and shows what its scores come from."""

    uri: tyro.conf.Positional[str]
    """The video, as the ledger names it."""
    store: str
    """The audit's store, or a scoring store."""
    checkpoint: str | None = None
    """The checkpoint that scored it; without it the one the store names."""
    output: str | None = None
    """Folder for heat maps of the events' peak frames; without it none are drawn."""
