"""What version 0.1.0 wrote is read, continued and audited: tests/data/written_by_0_1_0, in a bucket of its name.

Scores are the old ones but for what another processor rounds differently.
"""

import fnmatch
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from s3_server import S3Server

from artifactscan import storage
from artifactscan.annotation.labels_table import read_labels
from artifactscan.audit.audit_store import AuditStore
from artifactscan.audit.night import Night
from artifactscan.audit.night_tables import ARRIVALS, CANARIES, CELLS
from artifactscan.jobs.audit import main as audit
from artifactscan.jobs.evaluate import main as evaluate
from artifactscan.jobs.labels import main as labels
from artifactscan.jobs.report import main as report
from artifactscan.jobs.score import main as score
from artifactscan.labels import LABELS, SCORE_COLUMNS
from artifactscan.model.checkpoint import load_checkpoint
from artifactscan.schemas import SCORED_BY
from artifactscan.storage import lease
from artifactscan.store.layout import Store

STORES = Path(__file__).resolve().parent / "data" / "written_by_0_1_0" / "stores.tar.xz"
BUCKET = "written-by-0-1-0"
HERE = f"s3://{BUCKET}"
"""The uris in the tables begin with it, so that it must be the name of the bucket."""
SCORER = ("--checkpoint", f"{HERE}/checkpoint", "--precision", "fp32", "--device", "cpu", "--decode-actors", "1")
TOLERANCE = 1e-3
"""Of a score between 0 and 1."""
COPIES = {"veo/e.mp4": "sora/a.mp4", "veo/f.mp4": "veo/c.mp4"}
"""Clips that are new on the third night, and the old ones that they are copies of."""


@pytest.fixture
def old(s3: S3Server, ray_here: None) -> Iterator[S3Server]:
    """All that was written, in a bucket that has nothing else."""
    s3.bucket = BUCKET
    s3.client.create_bucket(Bucket=BUCKET)
    with tarfile.open(STORES) as packed:
        for member in packed:
            if (file := packed.extractfile(member)) is not None:
                s3.put(member.name, file.read())
    yield s3
    for key in sorted(s3.keys()):
        s3.client.delete_object(Bucket=BUCKET, Key=key)


def versions_of(server: S3Server, prefix: str) -> dict[str, str]:
    """Key → etag and time of every object below ``prefix``."""
    found = server.client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)["Contents"]
    return {entry["Key"]: f"{entry['ETag']} {entry['LastModified']}" for entry in found}


def clips(server: S3Server) -> set[str]:
    return set(fnmatch.filter(server.keys(), "clips/*"))


def clips_read(server: S3Server) -> set[str]:
    return clips(server) & {request.key for request in server.faults.requests if request.method == "GET"}


def table(uri: str) -> pd.DataFrame:
    """One Parquet file, or all of a folder."""
    filesystem, path = storage.filesystem(uri)
    return pq.read_table(path, filesystem=filesystem, partitioning=None).to_pandas()


def score_into(store: str) -> int:
    return score(["--input", f"{HERE}/clips", "--output", f"{HERE}/{store}", *SCORER, "--max-failed", "0.5", "--quiet"])


def frames_of(store: Store, run: str) -> pd.DataFrame:
    return table(store.frames(run)).sort_values(["uri", "frame_index"], ignore_index=True)


def ledger_of(store: Store, run: str) -> pd.DataFrame:
    """Without what runs need not have in common: what they took, when the clips were put there, reasons in words."""
    own = ["fetch_s", "decode_s", "modified", "reason"]
    return table(store.videos(run)).drop(columns=own).sort_values("uri", ignore_index=True)


def test_a_corpus_that_is_settled_stays_settled(old: S3Server, capsys: pytest.CaptureFixture[str]) -> None:
    before = versions_of(old, "score/")
    assert score_into("score") == 0
    assert "nothing to do: all 5 videos are settled" in capsys.readouterr().out
    assert versions_of(old, "score/") == before
    assert clips_read(old) == set()


def test_a_run_that_was_cut_off_is_continued(
    old: S3Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lease, "STALE_S", 2.0)  # of that run's lease, which is watched
    whole, continued = Store(f"{HERE}/score"), Store(f"{HERE}/cut-off")
    [run] = continued.run_ids()
    assert continued.committed() == []
    landed = table(continued.parts(run))
    assert score_into("cut-off") == 0
    said = capsys.readouterr().out
    assert f"continuing run {run}, which was cut off" in said
    assert "4 of the 5 videos that it had to do are left" in said
    done = {uri.removeprefix(f"{HERE}/") for uri in landed.loc[landed["last"], "uri"]}
    assert clips_read(old) == clips(old) - done

    [first], [second] = whole.committed(), continued.committed()
    assert second.run == run
    assert second.outcomes == first.outcomes == {"scored": 4, "undecodable": 1}
    assert second.counts == first.counts
    frames = frames_of(continued, run)
    assert len(frames) == 24
    added = [column.name for column in SCORED_BY]
    assert frames[added].drop_duplicates().to_numpy().tolist() == [
        [second.spec_digest, f"{second.checkpoint['backbone']}-02ed434c"]
    ]
    frames = frames.drop(columns=added)
    pd.testing.assert_frame_equal(frames, frames_of(whole, first.run), atol=TOLERANCE, rtol=0)
    kept = frames.loc[frames["uri"].isin(landed["uri"]), list(SCORE_COLUMNS)]
    assert kept.to_dict("records") == pd.DataFrame(landed["frames"].explode().tolist())[kept.columns].to_dict("records")
    ledger = ledger_of(continued, run).drop(columns=added)
    pd.testing.assert_frame_equal(ledger, ledger_of(whole, first.run), atol=TOLERANCE, rtol=0)
    assert score_into("cut-off") == 0
    assert "nothing to do" in capsys.readouterr().out


def test_a_third_night_compares_with_the_two_before(old: S3Server, capsys: pytest.CaptureFixture[str]) -> None:
    store = AuditStore(f"{HERE}/audit")
    first, second = store.nights()
    for new, known in COPIES.items():
        old.put(f"clips/{new}", old.client.get_object(Bucket=BUCKET, Key=f"clips/{known}")["Body"].read())
    places = ("--corpus", f"{HERE}/clips", "--store", f"{HERE}/audit", "--policy", f"{HERE}/policy.yaml")
    more = ("--groups", "{generator}", "--canary-clips", "4", "--worst-videos", "0", "--resample-share", "0", "--quiet")
    assert audit([*places, *SCORER, *more]) == 0
    assert "the scorer stood still" in capsys.readouterr().out.splitlines()[0]

    third = store.nights()[-1]
    assert (third.baseline, third.scorer) == ((first.night, second.night), first.night)
    wanted = {"listed": 7, "new": 2, "settled": 5, "removed": 0, "arrivals": 2, "quarantined": 1, "retried": 0}
    assert third.counts | wanted == third.counts, "the damaged clip was tried again on the second night"
    assert clips_read(old) == {f"clips/{new}" for new in COPIES}

    before, tonight = (of_night(store, night, "canaries", CANARIES, ["clip", "label"]) for night in (first, third))
    assert len(tonight) == 4 * len(LABELS)
    pd.testing.assert_series_equal(tonight["score"], before["score"], atol=TOLERANCE, rtol=0)
    assert (tonight["reference"] == before["score"]).all()
    assert tonight["shift"].max() < TOLERANCE

    arrived = of_night(store, third, "arrivals", ARRIVALS, ["path"])
    known = pd.concat(of_night(store, night, "arrivals", ARRIVALS, ["path"]) for night in (first, second))
    figures = [name for name in known.columns if name.startswith(("duration_s", "events_", "frames", "peak_"))]
    same = known.loc[list(COPIES.values()), figures].set_axis(list(COPIES))
    pd.testing.assert_frame_equal(arrived[figures], same, atol=TOLERANCE, rtol=0, check_dtype=False, check_names=False)
    assert arrived["events_motion"].tolist() == [1, 0]
    cell = of_night(store, third, "cells", CELLS, ["group", "label"]).loc[("all", "texture")]
    assert cell[["videos", "flagged", "base_videos", "base_flagged"]].tolist() == [2, 1, 4, 2]

    tables = [store.table(night, "arrivals", ARRIVALS) for night in (first, second)]
    assert report(["--store", f"{HERE}/audit", "--anew"]) == 0
    anew = store.nights()[:2]
    judged = [(night.verdict.code, night.verdict.reasons, night.verdict.worse) for night in anew]
    assert judged == [(night.verdict.code, night.verdict.reasons, night.verdict.worse) for night in (first, second)]
    assert anew[0].tables != first.tables
    assert [store.table(night, "arrivals", ARRIVALS) for night in anew] == tables


def of_night(store: AuditStore, night: Night, name: str, schema: pa.Schema, key: list[str]) -> pd.DataFrame:
    return store.table(night, name, schema).to_pandas().set_index(key).sort_index()


def test_a_checkpoint_is_the_one_that_the_runs_name(old: S3Server) -> None:
    checkpoint = load_checkpoint(f"{HERE}/checkpoint")
    [run] = Store(f"{HERE}/score").committed()
    assert run.checkpoint["digest"] == "02ed434cd62abec8" != checkpoint.digest
    assert checkpoint.known_in([run.checkpoint]).digest == "02ed434cd62abec8"
    assert (checkpoint.card.input.height, checkpoint.card.input.width) == (96, 128)


def test_labels_are_read_and_imported_as_they_were(old: S3Server) -> None:
    rows = read_labels(f"{HERE}/labels.csv", rule="error").to_pandas()
    columns = ["file", "frame_index", *LABELS]
    shown = {(file, frame): flags for file, frame, *flags in rows[columns].itertuples(index=False)}
    files = ("sora/a.mp4", "sora/b.mp4", "veo/c.mp4", "veo/d.mp4")
    assert shown == {(file, frame): [0, 0, 0, 0] for file in files for frame in (2, 6)} | {
        ("sora/a.mp4", 6): [0, 0, 1, 1],
        ("veo/c.mp4", 6): [1, 1, 0, 0],
        ("veo/d.mp4", 6): [0, 1, 0, 0],
    }
    assert set(rows["annotator"]) == {"first"}
    written = old.client.get_object(Bucket=BUCKET, Key="labels.csv")["Body"].read()
    sheet, index = ("--file", f"{HERE}/extracted/export/csv/labels.csv"), ("--index", f"{HERE}/extracted/index.parquet")
    assert labels(["import", "--from", "csv", *sheet, *index, f"--output={HERE}/again.csv", "--annotator=first"]) == 0
    assert old.client.get_object(Bucket=BUCKET, Key="again.csv")["Body"].read() == written


def test_frames_that_are_decoded_are_not_decoded_again(old: S3Server) -> None:
    before = versions_of(old, "trained/frames/")
    places = ("--labels", f"{HERE}/labels.csv", "--clips", f"{HERE}/clips", "--cache", f"{HERE}/trained/frames")
    assert evaluate([*places, *SCORER, "--resamples", "0", "--output", f"{HERE}/again"]) == 0
    assert clips_read(old) == set()
    assert versions_of(old, "trained/frames/") == before
    once, again = (table(f"{HERE}/{folder}/predictions.parquet") for folder in ("evaluated", "again"))
    assert len(again) == 8
    pd.testing.assert_frame_equal(again, once, atol=0.01, rtol=0)  # logits
