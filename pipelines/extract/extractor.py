"""Runs the extraction graph on a Ray that is started or joined once, when it is first needed."""

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from artifactscan.decode.input_spec import InputSpec
from artifactscan.extract.settings import ExtractSettings
from artifactscan.extract.write_frames import ImageWriter
from artifactscan.messages.console import console

if TYPE_CHECKING:
    from artifactscan.pipelines.ray_cluster.pool_sizes import PoolSizes

_LISTING_INPUT = InputSpec(height=16, width=16)
"""Frames are decoded to this size when only their indices and times are wanted."""


class FrameExtractor:
    """Takes frames from videos on Ray."""

    def __init__(self, settings: ExtractSettings):
        self._settings = settings

    def prepare_cluster(self) -> None:
        """Starts or joins Ray, unless that is done; UsageError where the cluster cannot be used."""
        _ = self._pools

    @cached_property
    def _pools(self) -> "PoolSizes":
        """How many actors decode; starts or joins Ray, which takes seconds to import and to start."""
        from artifactscan.pipelines.ray_cluster.pool_sizes import PoolSizes, size_pools
        from artifactscan.pipelines.ray_cluster.resources import Resources
        from artifactscan.pipelines.ray_cluster.start_cluster import start_cluster

        settings = self._settings

        def sized(resources: Resources) -> PoolSizes:
            return size_pools(resources, use_gpu=False, decode_actors=settings.decode_actors, classify_actors=0)

        paths = settings.input, settings.output
        cluster = start_cluster(settings, *paths, device="cpu", sized=sized, out=console(), quiet=settings.quiet)
        return sized(cluster)

    def write_frames(self, work: pa.Table, writer: ImageWriter, *, check: Callable[[], None]) -> list[dict[str, Any]]:
        """Writes the wanted frames of WORK rows and returns EXTRACTED rows; stops where ``check`` raises."""
        return self._run(work, writer, check)

    def list_frames(self, work: pa.Table) -> list[dict[str, Any]]:
        """EXTRACTED rows of WORK rows, with no image written."""
        return self._run(work, None, lambda: None)

    def _run(self, work: pa.Table, writer: ImageWriter | None, check: Callable[[], None]) -> list[dict[str, Any]]:
        if not work.num_rows:
            return []
        pools, settings = self._pools, self._settings
        from artifactscan.pipelines.extract import graph
        from artifactscan.pipelines.ray_cluster import progress

        tally = progress.start_tally(work.num_rows, "extract")
        with progress.show_progress(tally, total=work.num_rows, quiet=settings.quiet):
            return graph.run_extract_graph(
                work,
                pools=pools,
                decoding=settings.image_decoding() if writer else settings.decoding(_LISTING_INPUT),
                native_size=writer is not None and not settings.height,
                writer=writer,
                tally=tally,
                check=check,
            )
