"""`ray job submit` to machines whose Python has the dependencies only: the working directory brings artifactscan."""

import subprocess
import venv
from pathlib import Path
from sysconfig import get_path

import pytest
from media import write_clip
from nodes import Nodes
from s3_server import S3Server
from submitted import SubmittedJob

from artifactscan.model.backbone import initialise
from artifactscan.model.checkpoint import save_checkpoint

pytestmark = pytest.mark.cluster

HIDE_FILES_OF_THE_HEAD = 'mount -t tmpfs tmpfs "$HIDDEN" && mkdir -p "$TMPDIR" && exec "$@"'


@pytest.fixture(scope="module")
def python_without_artifactscan(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Python that has all packages of this one but artifactscan."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, symlinks=True)
    python = str(folder / "bin" / "python")
    packages = Path(get_path("purelib", vars={"base": str(folder)}))
    for entry in Path(get_path("purelib")).iterdir():
        if "artifactscan" not in entry.name and not (packages / entry.name).exists():
            (packages / entry.name).symlink_to(entry)
    probe = "from importlib.util import find_spec; print(find_spec('artifactscan'), find_spec('ray') is not None)"
    found = subprocess.run([python, "-c", probe], cwd="/", capture_output=True, text=True, check=True).stdout
    assert found.split() == ["None", "True"]
    return python


def test_each_node_imports_artifactscan_from_its_own_working_directory(
    _s3_server: S3Server, python_without_artifactscan: str, tmp_path: Path
) -> None:
    if subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
        pytest.skip("mount namespaces, which hide the head's files from the other node, need root")
    server = _s3_server
    server.new_bucket()
    save_checkpoint(initialise("test_resnet.r160_in1k", height=96, width=160, seed=1), str(tmp_path / "checkpoint"))
    server.put_folder("checkpoint", tmp_path / "checkpoint")
    clip = write_clip(tmp_path / "clip.mp4", seconds=2, width=320, height=192).read_bytes()
    server.put("in/a.mp4", clip)
    nodes = Nodes(server.env, dashboard=True, python=python_without_artifactscan)
    try:
        nodes.env["HIDDEN"] = nodes.folder
        nodes.add(2, within=("unshare", "--mount", "sh", "-c", HIDE_FILES_OF_THE_HEAD, "sh"))
        arguments = (
            "--input",
            server.uri("in"),
            "--output",
            server.uri("out"),
            "--checkpoint",
            server.uri("checkpoint"),
        )
        job = SubmittedJob(nodes, "not-installed", *arguments)
        state = job.end()
        assert state == "SUCCEEDED", job.logs()
    finally:
        nodes.close()
