"""Has a judge label the frames of a night's sample."""

import pyarrow as pa
import pyarrow.compute as pc

from artifactscan import storage
from artifactscan.annotation.frame_index import read_index
from artifactscan.annotation.labels_table import write_labels
from artifactscan.audit.formatting import counted
from artifactscan.audit.label_folder import LabelFolder
from artifactscan.audit.settings import AuditSettings
from artifactscan.errors import ArtifactscanError
from artifactscan.judge.endpoint import check_endpoint_url, read_key
from artifactscan.judge.judge_frames import judge_index
from artifactscan.judge.judge_request import JudgeRequest
from artifactscan.judge.judgement_tables import JUDGED, MAX_CONTRADICTED, count_contradictions, labels_of
from artifactscan.storage.parquet import write_table


def judge_sample(
    sample: pa.Table, folder: LabelFolder, settings: AuditSettings, *, requests_per_minute: float = 60.0
) -> str:
    """Writes the judge's labels and outcomes below ``folder`` and returns a note on what came of it.

    ``sample``: LABEL_SAMPLE; frames of it without an image are left out. A judge that cannot be asked fails no night:
    the sample waits for people then, and the note says so; likewise one that contradicts itself too often, whose labels
    are not written.
    """
    request = JudgeRequest(endpoint=check_endpoint_url(settings.judge_endpoint), model=settings.judge_model)
    index = read_index(folder.index)
    there, drawn = (set(_keys(table, file)) for table, file in ((index, "file"), (sample, "path")))
    try:
        key = read_key()
        outcomes = judge_index(
            index, folder.root, there & drawn, request, key=key, requests_per_minute=requests_per_minute
        )
    except (ArtifactscanError, OSError) as error:
        return f"the sample was not judged and waits for people in {folder.sheet}: {error}"
    write_table(outcomes, storage.join(folder.judge, "outcomes.parquet"))
    contradicted, twice = count_contradictions(outcomes)
    if contradicted > MAX_CONTRADICTED * twice:
        return (
            f"the sample waits for people in {folder.sheet}: {request.annotator} contradicts itself on "
            f"{contradicted:,} of {twice:,} frames that it was asked about twice, so its labels are not used"
        )
    write_labels(labels_of(outcomes, request.annotator), folder.judge_labels)
    left = outcomes.num_rows - (pc.sum(pc.equal(outcomes["outcome"], JUDGED)).as_py() or 0)
    without = f"; {left:,} of them have no answer that is believed" if left else ""
    return f"{counted(outcomes.num_rows, 'frame')} drawn for labelling went to {request.annotator}{without}"


def _keys(frames: pa.Table, file: str) -> list[tuple[str, int]]:
    return list(zip(frames[file].to_pylist(), frames["frame_index"].to_pylist(), strict=True))
