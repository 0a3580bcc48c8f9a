"""A job that is taken over stops between two blocks of its graph; the graph is a stand-in, so that no Ray starts."""

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pyarrow as pa
import pytest
from media import write_clip

from artifactscan import storage
from artifactscan.decode.input_spec import InputSpec
from artifactscan.decode.video import DecodeLimits, DecodeSettings
from artifactscan.errors import CutOffError
from artifactscan.extract.extraction_tables import EXTRACTED
from artifactscan.extract.settings import ExtractSettings
from artifactscan.pipelines.extract import graph, run
from artifactscan.pipelines.ingest import embed_frames
from artifactscan.pipelines.ray_cluster import pool_actors
from artifactscan.pipelines.ray_cluster.pool_sizes import size_pools
from artifactscan.pipelines.ray_cluster.resources import Node, Resources
from artifactscan.storage import lease
from artifactscan.storage.lease import Lease

POOLS = size_pools(Resources(nodes=(Node(cpus=2),)), use_gpu=False, decode_actors=1, classify_actors=1)


class Graph:
    """A dataset whose blocks come one by one; before the second, another process takes the lease over."""

    def __init__(self, uri: str, batch: pa.Table):
        self.uri, self.batch = uri, batch

    def map_batches(self, *_: object, **_options: object) -> "Graph":
        return self

    def iter_batches(self, **_: object) -> Iterator[pa.Table]:
        yield self.batch
        take_over(self.uri)
        yield self.batch
        raise AssertionError("goes on with the work of another process")


def take_over(uri: str) -> None:
    storage.write_bytes(uri, b"another process's")
    lease.RENEW_S = 0.0  # as if this one had stood still


@pytest.fixture
def uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(lease, "RENEW_S", 600.0)
    return str(tmp_path / "store" / "lease.json")


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Says so when the actors of a graph are ended."""
    said: list[str] = []
    monkeypatch.setattr(pool_actors, "end_all", lambda: said.append("ended"))
    return said


def stand_in(module: ModuleType, blocks: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "make_dataset", lambda *_: blocks)


def test_extraction_ends_its_actors(uri: str, ended: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(graph, Graph(uri, EXTRACTED.empty_table()), monkeypatch)
    with Lease(uri) as held, pytest.raises(CutOffError, match="another process has taken over"):
        graph.run_extract_graph(
            pa.table({"video_id": ["a"], "size_bytes": [1]}),
            pools=POOLS,
            decoding=DecodeSettings(input=InputSpec(height=16, width=16)),
            native_size=False,
            writer=None,
            tally=cast(Any, None),
            check=held.check_if_due,
        )
    assert ended == ["ended"]


def test_embedding_writes_no_further_part(uri: str, ended: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    card = SimpleNamespace(
        input=InputSpec(height=16, width=16), probe=SimpleNamespace(sample_fps=2.0, context_frames=0)
    )
    parts: list[str] = []
    stand_in(embed_frames, Graph(uri, embed_frames.EMBEDDED.empty_table()), monkeypatch)
    monkeypatch.setattr(embed_frames, "write_part", lambda folder, _rows: parts.append(folder))
    with Lease(uri) as held, pytest.raises(CutOffError, match="another process has taken over"):
        embed_frames._embed(
            pa.table({"video_id": ["a"]}),
            cast(Any, SimpleNamespace(card=card)),
            "folder",
            POOLS,
            held,
            limits=DecodeLimits(),
            device="cpu",
            bf16=False,
        )
    assert (parts, ended) == (["folder"], ["ended"])


@pytest.mark.parametrize("checks", [True, False])
def test_an_extraction_that_was_taken_over_writes_no_table(
    checks: bool, tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether that shows between two blocks or after the last one."""

    class Extractor:
        def __init__(self, _settings: ExtractSettings):
            pass

        def prepare_cluster(self) -> None:
            pass

        def write_frames(self, _work: pa.Table, _writer: object, *, check: Any) -> list[dict[str, Any]]:
            take_over(uri)
            if checks:
                check()
                raise AssertionError("goes on with the work of another process")
            return []

    monkeypatch.setattr(run, "FrameExtractor", Extractor)
    monkeypatch.setattr(run, "make_ledger", lambda *_: pa.table({"outcome": []}))
    clips, out = tmp_path / "clips", Path(uri).parent
    clips.mkdir()
    write_clip(clips / "a.mp4")
    with pytest.raises(CutOffError, match="another process has taken over"):
        run.extract(ExtractSettings(input=str(clips), output=str(out)))
    assert sorted(path.name for path in out.iterdir()) == ["extraction.json", "lease.json"]
    assert (out / "lease.json").read_bytes() == b"another process's"
