"""The metadata of a submitted job that is refused or cut off; tests/cluster tests it on a real cluster."""

import pytest

from artifactscan.audit.settings import AuditSettings
from artifactscan.errors import CutOffError, UsageError
from artifactscan.evaluation.settings import EvaluateSettings
from artifactscan.extract.settings import ExtractSettings
from artifactscan.pipelines.audit.run import audit
from artifactscan.pipelines.evaluate.run import evaluate_checkpoint
from artifactscan.pipelines.extract.run import extract
from artifactscan.pipelines.ray_cluster import submission
from artifactscan.pipelines.score.run import score
from artifactscan.pipelines.train.run import finetune
from artifactscan.scoring.settings import ScoreSettings
from artifactscan.training.settings import FinetuneSettings


@pytest.fixture
def metadata(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """The metadata that the driver of a submitted job would have written."""
    metadata: list[dict[str, str]] = []
    monkeypatch.setenv(submission._SUBMITTED_VARIABLE, "{}")
    monkeypatch.setattr(submission, "add_job_metadata", lambda **facts: metadata.append(facts))
    return metadata


def test_a_refused_job_is_recorded_in_the_metadata(metadata: list[dict[str, str]]) -> None:
    with pytest.raises(UsageError, match="--input clips is relative"):
        score(ScoreSettings(input="clips", output="/scores"))
    with pytest.raises(UsageError, match="--corpus clips is relative"):
        audit(AuditSettings(corpus="clips", store="/audit"))
    assert metadata == [{"verdict": "refused"}] * 2


def test_no_submitted_job_takes_a_relative_path(metadata: list[dict[str, str]]) -> None:
    with pytest.raises(UsageError, match=r"--labels labels\.csv is relative, but a submitted job runs in a copy"):
        finetune(FinetuneSettings(labels=("/labels.csv", "labels.csv"), output="/trained"))
    with pytest.raises(UsageError, match="--cache frames is relative"):
        evaluate_checkpoint(EvaluateSettings(checkpoint="builtin", labels=("/l.csv",), output="/out", cache="frames"))
    with pytest.raises(UsageError, match="--output frames is relative"):
        extract(ExtractSettings(input="s3://bucket/clips", output="frames"))


@pytest.mark.parametrize("error", [CutOffError("S3 is gone"), KeyboardInterrupt(), ValueError("ours")])
def test_a_job_that_was_cut_off_is_recorded_in_the_metadata(
    metadata: list[dict[str, str]], error: BaseException
) -> None:
    with pytest.raises(type(error)), submission.record_failure(cut_off="cut off: ask again"):
        raise error
    assert metadata == [{"verdict": "cut off: ask again"}]
    with submission.record_failure(cut_off="cut off"):
        pass
    assert len(metadata) == 1
