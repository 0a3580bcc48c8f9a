"""Has a judge label the frames of a night's sample."""

import os
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from artifactscan import storage
from artifactscan.annotation.frame_index import read_index
from artifactscan.annotation.labels_table import write_labels
from artifactscan.audit.formatting import counted
from artifactscan.audit.label_folder import LabelFolder
from artifactscan.audit.settings import AuditSettings
from artifactscan.errors import ArtifactscanError
from artifactscan.judge.endpoint import check_endpoint_url
from artifactscan.judge.frames_to_judge import FrameToJudge, plan_asks, read_frame
from artifactscan.judge.judge_frames import judge_frames
from artifactscan.judge.judge_request import JudgeRequest
from artifactscan.judge.judgement_tables import JUDGED, labels_of
from artifactscan.storage.parquet import write_table

KEY_VARIABLE = "OPENAI_API_KEY"
"""Environment variable with the endpoint's key."""


def judge_sample(sample: pa.Table, folder: LabelFolder, settings: AuditSettings) -> str:
    """Writes the judge's labels and outcomes below ``folder`` and returns a note on what came of it.

    A judge that cannot be asked fails no night: the sample waits for people then, and the note says so.
    """
    request = JudgeRequest(endpoint=check_endpoint_url(settings.judge_endpoint), model=settings.judge_model)
    try:
        outcomes = judge_frames(_frames(sample, folder, request), request, key=os.environ.get(KEY_VARIABLE) or None)
    except (ArtifactscanError, OSError) as error:
        return f"the sample was not judged and waits for people in {folder.sheet}: {error}"
    write_labels(labels_of(outcomes, request.annotator), folder.judge_labels)
    write_table(outcomes, storage.join(folder.judge, "outcomes.parquet"))
    left = outcomes.num_rows - pc.sum(pc.equal(outcomes["outcome"], JUDGED)).as_py()
    without = f", {left:,} of them without an answer that is believed" if left else ""
    return f"{counted(outcomes.num_rows, 'frame')} drawn for labelling went to {request.annotator}{without}"


def _frames(sample: pa.Table, folder: LabelFolder, request: JudgeRequest) -> Iterator[FrameToJudge]:
    """The frames of the sample that have an image, with their neighbours."""
    index = read_index(folder.index)
    there = set(_keys(index, "file"))
    wanted = [key for key in _keys(sample, "path") if key in there]
    asks = plan_asks(
        index, wanted, neighbours=request.neighbours, gap_s=request.neighbour_gap_s, repeat_share=0.0
    )  # judge_frames asks about some of them twice
    for row in asks.to_pylist():
        yield read_frame(row, folder.root, image_side=request.image_side)


def _keys(frames: pa.Table, file: str) -> list[tuple[str, int]]:
    return list(zip(frames[file].to_pylist(), frames["frame_index"].to_pylist(), strict=True))
