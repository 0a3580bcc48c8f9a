"""The nightly audit of a corpus on S3 into a store on S3."""

from pathlib import Path

import pytest
from s3_server import S3Server

from artifactscan.audit import canaries
from artifactscan.audit.audit_store import AuditStore
from artifactscan.demo.marks import write_checkpoint, write_night
from artifactscan.jobs.audit import main as audit

pytestmark = pytest.mark.long


@pytest.mark.slow
def test_corpus_and_store_on_s3(
    s3: S3Server, ray_here: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    canary = tmp_path / "canary"
    canaries.ensure_clips(str(canary), 4)
    for path in (path for path in canary.rglob("*") if path.is_file()):
        s3.put(f"audit/canary/{path.relative_to(canary)}", path.read_bytes())
    write_night(tmp_path, "one", {"sora": (3, [1], "boundary")})
    for path in (tmp_path / "sora").iterdir():
        s3.put(f"videos/sora/{path.name}", path.read_bytes())
    checkpoint = write_checkpoint(tmp_path / "checkpoint")
    flags = ["--corpus", s3.uri("videos/"), "--store", s3.uri("audit"), "--checkpoint", checkpoint]
    flags += ["--canary-clips", "4", "--decode-actors", "1", "--quiet", "--groups", "{generator}", "--link-life-h", "1"]
    assert audit(flags) == 0
    assert capsys.readouterr().out.splitlines()[0].startswith("No earlier night")
    store = AuditStore(s3.uri("audit"))
    [night] = store.nights()
    assert night.outcomes == {"scored": 3}
    page = s3.client.get_object(Bucket=s3.bucket, Key=f"audit/nights/{night.night}/report.html")["Body"].read().decode()
    assert "X-Amz-Expires=3600" in page
    assert "AWS_SECRET" not in page
    assert audit(flags) == 0
    assert store.nights()[1].counts["arrivals"] == 0
