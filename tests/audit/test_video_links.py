"""What a page's player loads."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

import pytest
from s3_server import S3Server

from artifactscan import storage
from artifactscan.audit.settings import MAX_LINK_LIFE_H, AuditSettings
from artifactscan.audit.video_links import expiry, page_link, video_link
from artifactscan.errors import UsageError

DAY = timedelta(days=1)


def test_a_local_page_links_a_local_video_by_relative_path(tmp_path: Path) -> None:
    video, page = tmp_path / "corpus" / "a b#1?é.mp4", tmp_path / "audit" / "nights" / "n"
    found = video_link(str(video), str(page), DAY)
    assert found == "../../../corpus/a%20b%231%3F%C3%A9.mp4"


def test_a_presigned_link_can_be_opened_by_anybody_and_says_when_it_ends(s3: S3Server) -> None:
    storage.write_bytes(s3.uri("a b.mp4"), b"video")
    found = video_link(s3.uri("a b.mp4"), "/somewhere", DAY)
    assert found is not None
    assert "Expires=86400" in found
    assert urlsplit(found).scheme in ("http", "https")
    with urlopen(found) as answer:
        assert answer.read() == b"video"


@pytest.mark.parametrize(("uri", "page"), [("/local.mp4", "s3://bucket/nights/n"), ("https://x/y.mp4", "/local")])
def test_unreachable_videos_have_no_link(uri: str, page: str) -> None:
    assert video_link(uri, page, DAY) is None


@pytest.mark.parametrize("hours", [0.5, 1.0, MAX_LINK_LIFE_H])
def test_the_signature_ends_when_the_page_says_it_does(hours: float, s3: S3Server) -> None:
    life = timedelta(hours=hours)
    signed = parse_qs(urlsplit(video_link(s3.uri("a.mp4"), "/somewhere", life)).query)
    assert signed["X-Amz-Expires"] == [str(int(hours * 3600))]
    made = datetime.strptime(f"{signed['X-Amz-Date'][0]}+0000", "%Y%m%dT%H%M%SZ%z")
    assert abs(datetime.fromisoformat(expiry(life)) - (made + life)) < timedelta(minutes=2)
    assert abs(datetime.now(UTC) - made) < timedelta(minutes=2)


@pytest.mark.parametrize("hours", [0, -1, MAX_LINK_LIFE_H + 0.1, float("nan"), float("inf")])
def test_a_link_lives_a_week_at_most(hours: float) -> None:
    """S3 takes no longer ones."""
    with pytest.raises(UsageError, match=r"give hours above 0 and at most 168"):
        AuditSettings(corpus="c", store="s", link_life_h=hours)


@pytest.mark.parametrize(
    ("page", "page_url", "link"),
    [
        ("/audits/nights/n1/report.html", "", "/audits/nights/n1/report.html"),
        ("s3://bucket/audits/nights/n1/report.html", "", "s3://bucket/audits/nights/n1/report.html"),
        ("/audits/nights/n1/report.html", "https://h", "https://h/nights/n1/report.html"),
        ("s3://bucket/audits/nights/n1/report.html", "https://h/a/", "https://h/a/nights/n1/report.html"),
    ],
)
def test_messages_lead_to_the_page_where_people_reach_the_store(page: str, page_url: str, link: str) -> None:
    assert page_link(page, page_url) == link
