"""Blocks of work and the options of Ray Data; without starting Ray."""

from typing import Any

import pyarrow as pa
import pytest
import ray

from artifactscan.pipelines.ray_cluster import ray_data
from artifactscan.pipelines.ray_cluster.pool_sizes import PoolSizes, size_pools
from artifactscan.pipelines.ray_cluster.resources import Node, Resources


@pytest.fixture
def block_sizes(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sizes of the blocks, in order, that rows of these bytes are put into."""
    monkeypatch.setattr(ray_data.ray.data, "from_blocks", lambda blocks: blocks)

    def sizes_of(row_bytes: list[int], pools: PoolSizes) -> list[int]:
        work = pa.table({"video_id": [str(n) for n in range(len(row_bytes))], "slice_bytes": row_bytes})
        blocks: Any = ray_data.make_dataset(work, ray_data.videos_per_block(work, pools), pools)
        rows = [row for block in blocks for row in block["video_id"].to_pylist()]
        assert rows == work["video_id"].to_pylist(), "each once, in order"
        return [block.num_rows for block in blocks]

    return sizes_of


def two_decoders() -> PoolSizes:
    return size_pools(Resources((Node(2),)), use_gpu=False, decode_actors=0, classify_actors=0)


def test_few_videos_are_a_block_each(block_sizes: Any) -> None:
    assert block_sizes([1] * 20, two_decoders()) == [1] * 20


def test_many_videos_share_blocks_except_the_last(block_sizes: Any) -> None:
    sizes = block_sizes([1] * 1000, two_decoders())
    assert sizes[:31] == [32] * 31
    assert sizes[31:] == [1] * 8


def test_heavy_videos_come_first_in_blocks_of_their_own(block_sizes: Any) -> None:
    sizes = block_sizes([ray_data.HEAVY_BYTES] * 3 + [1] * 1000, two_decoders())
    assert sizes[:4] == [1, 1, 1, 32]
    assert sum(sizes) == 1003


def test_the_number_of_blocks_is_limited(block_sizes: Any) -> None:
    sizes = block_sizes([1] * 1_000_000, two_decoders())
    assert max(sizes) == 50 and len(sizes) <= ray_data.MOST_BLOCKS + 2 * ray_data.SINGLES_PER_DECODER


def test_fragmented_cpus_are_excluded() -> None:
    pools = size_pools(Resources((Node(2),) * 16, joined=True), use_gpu=False, decode_actors=0, classify_actors=0)
    ray_data.configure_ray_data(pools)
    context = ray.data.DataContext.get_current()
    assert context.execution_options.exclude_resources.cpu == pytest.approx(pools.fragmented_cpus, abs=1e-3)
    assert pools.fragmented_cpus > 0
    ray_data.configure_ray_data()
    assert context.execution_options.exclude_resources.cpu == 0, "the next graph's are its own"
