"""Fixtures that more than one test file uses."""

import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import media
import pytest
from aws_env import forget_clients, set_aws_env
from hub_env import hub_env
from hub_server import HubServer
from isolated import CLIP_SECONDS
from loopback import files_of, serving
from paths import SHIMS
from s3_server import S3Server

hypothesis.settings.register_profile("shared machine", deadline=None)
hypothesis.settings.load_profile("shared machine")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell without job control starts a suite in the background so, and every process that a test starts inherits it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def _s3_server() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture
def s3(_s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """A real S3 server on loopback with a fresh bucket and no faults; the AWS environment leads to it."""
    _s3_server.new_bucket()
    set_aws_env(monkeypatch, _s3_server.env)
    yield _s3_server
    forget_clients()


@pytest.fixture(scope="session")
def _hub_server() -> Iterator[HubServer]:
    with HubServer() as server:
        yield server


@pytest.fixture
def hub(_hub_server: HubServer, tmp_path: Path) -> Iterator[HubServer]:
    """A model hub on loopback, without repositories and faults, and an empty cache; the environment leads to it."""
    _hub_server.clear()
    with hub_env({**_hub_server.env, "HF_HOME": str(tmp_path / "hf")}, only=True):
        yield _hub_server


@pytest.fixture(scope="session")
def _one_ray() -> Iterator[None]:
    """Ends the Ray that ``ray_here`` began."""
    import ray

    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def ray_here(_one_ray: None, _s3_server: S3Server) -> Iterator[None]:
    """One Ray for all jobs that run in this process, which therefore use it; its workers know the S3 server."""
    from artifactscan.pipelines.ray_cluster.connection import connect

    with pytest.MonkeyPatch.context() as patch:
        set_aws_env(patch, _s3_server.env)
        connect()
        yield
    forget_clients()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(media.write_clip(tmp_path_factory.mktemp("clips") / "good.mp4", seconds=CLIP_SECONDS))


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Long enough that a child with small segments is still at it when the first has arrived."""
    return str(media.write_clip(tmp_path_factory.mktemp("clips") / "long.mp4", seconds=15))


@pytest.fixture
def fault(long_clip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Makes a video that is good for pyav and runs the given Python in the child when decord opens it."""
    monkeypatch.syspath_prepend(str(SHIMS))

    def write(source: str) -> str:
        hidden = f"#!fault\nimport ctypes, json, os, signal, sys, time\n{source}\n".encode()
        free_box = (8 + len(hidden)).to_bytes(4, "big") + b"free" + hidden
        path = tmp_path / "fault.mp4"
        path.write_bytes(Path(long_clip).read_bytes() + free_box)
        return str(path)

    return write


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium; the tests skip where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        pytest.skip("no chromium, chromium-browser or google-chrome on this machine")
    with playwright.sync_playwright() as driver:
        yield driver.chromium.launch(executable_path=path)


@pytest.fixture
def file_server(tmp_path: Path) -> Iterator[str]:
    """The address of a server of the test's folder."""
    with serving(files_of(tmp_path)) as address:
        yield address
