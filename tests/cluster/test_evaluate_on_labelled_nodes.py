"""Evaluation on a cluster with nodes for one stage each: frames are classified on those for classifying."""

from pathlib import Path

import pytest
from labelled_clips import write_labelled
from nodes import Nodes

from artifactscan.model.backbone import initialise
from artifactscan.model.checkpoint import save_checkpoint

pytestmark = pytest.mark.cluster

CLASSIFYING, DECODING = "MapBatches(ClassifyRows)", "MapBatches(DecodeLabelledFrames)"


def test_each_stage_is_done_where_it_belongs(tmp_path: Path) -> None:
    labels = write_labelled(tmp_path / "set", clips=2)
    save_checkpoint(initialise("test_resnet.r160_in1k", height=48, width=80, seed=1), str(tmp_path / "checkpoint"))
    nodes = Nodes({})
    try:
        decoding = nodes.add(3, "--labels=artifactscan-stage=decode")
        classifying = nodes.add(2, "--labels=artifactscan-stage=classify")
        places = "--labels", labels, "--checkpoint", tmp_path / "checkpoint", "--output", tmp_path / "out"
        job = nodes.job(*places, "--shared-filesystem", name="evaluate.py")
        job.wait_for(lambda: nodes.at_work(decoding, DECODING))
        job.wait_for(lambda: nodes.at_work(classifying, CLASSIFYING) or nodes.at_work(decoding, CLASSIFYING))
        assert not nodes.at_work(decoding, CLASSIFYING)
        code, said = job.end()
        assert code == 0, said
    finally:
        nodes.close()
    assert (tmp_path / "out" / "predictions.parquet").exists()
