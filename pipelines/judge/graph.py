"""The judging graph on Ray Data: questions in, parts with answers out, at one pace over the whole cluster."""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import cast

import pyarrow as pa
import ray
from ray.actor import ActorProxy
from ray.data import ActorPoolStrategy

from artifactscan.judge.grader import LONGEST_WAIT_S, Grader
from artifactscan.judge.judge_request import JudgeRequest
from artifactscan.judge.judgement_tables import ANSWERS
from artifactscan.judge.pace import SharedPace
from artifactscan.pipelines.judge.progress_line import ProgressLine
from artifactscan.pipelines.ray_cluster.node_affinity import on_driver_node
from artifactscan.pipelines.ray_cluster.node_losses import LossWatch
from artifactscan.pipelines.ray_cluster.pool_sizes import LIGHT_CPUS
from artifactscan.pipelines.ray_cluster.ray_data import MOST_BLOCKS, make_dataset, ray_errors_as_cut_off
from artifactscan.storage.concurrent import map_in_order
from artifactscan.storage.parquet import write_part


class PaceKeeper(SharedPace):
    """Actor beside the driver: the pace of all graders of the cluster, and the endpoint's key.

    The key travels as an argument and a result of method calls. As an argument of a constructor or an environment
    variable Ray would record it.
    """

    def set_key(self, key: str | None) -> None:
        self._key = key

    def key(self) -> str | None:
        return self._key


class _RemotePace:
    """A Pace that asks the PaceKeeper."""

    def __init__(self, keeper: ActorProxy[PaceKeeper]):
        self._keeper = keeper

    def reserve(self) -> float:
        return ray.get(self._keeper.reserve.remote())

    def pause(self, seconds: float) -> None:
        self._keeper.pause.remote(seconds)

    def record(self, judged: bool) -> int:
        return ray.get(self._keeper.record.remote(judged))


class Ask:
    """Actor: takes ASKS rows, several at a time, writes each answer as a part, and returns the ANSWERS rows.

    Written here, as an answer on its way to the driver would be lost, and paid for again, where the run is cut off.
    """

    def __init__(self, request: JudgeRequest, root: str, parts: str, keeper: ActorProxy[PaceKeeper]):
        key = cast("str | None", ray.get(keeper.key.remote()))
        self._root, self._parts = root, parts
        self._grader = Grader(request, key=key, pace=_RemotePace(keeper))

    def __call__(self, asks: pa.Table) -> Iterator[pa.Table]:
        for ask in asks.to_pylist():
            answer = pa.Table.from_pylist([self._grader.grade_ask(ask, self._root)], ANSWERS)
            write_part(self._parts, answer)
            yield answer


def run_judge_graph(
    asks: pa.Table,
    parts: str,
    *,
    root: str,
    request: JudgeRequest,
    key: str | None,
    requests_per_minute: float,
    concurrent: int,
    nodes: int,
    progress: ProgressLine,
) -> None:
    """Asks the questions, whose images are below ``root``, and writes each answer to ``parts`` as soon as it is there.

    ``concurrent``: requests at a time, spread over ``nodes``. CutOffError where the machine, the cluster or the judge
    gives out; the answers written so far stay.
    """
    keeper = (
        ray.remote(num_cpus=0)(PaceKeeper).options(scheduling_strategy=on_driver_node()).remote(requests_per_minute)
    )
    ray.get(keeper.set_key.remote(key))
    actors = max(1, min(nodes, concurrent))
    threads = max(1, concurrent // actors)
    per_block = -(-asks.num_rows // MOST_BLOCKS)
    # A question waits for its place among those under way, then for each try and the pause after it.
    silence_s = per_block * (
        request.attempts * (request.timeout_s + LONGEST_WAIT_S) + 60 * concurrent / requests_per_minute
    )
    with ray_errors_as_cut_off(), LossWatch(), progress:
        answered = make_dataset(asks, per_block, silence_s=silence_s).map_batches(
            Ask,
            batch_size=None,
            batch_format="pyarrow",
            compute=ActorPoolStrategy(
                size=actors,
                max_tasks_in_flight_per_actor=2 * threads,
                max_concurrent_calls_per_actor=threads,
                enable_true_multi_threading=True,  # they wait for the network
            ),
            fn_constructor_args=(request, root, parts, keeper),
            num_cpus=LIGHT_CPUS,
        )
        batches = answered.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
        for _ in progress.count(cast("Iterable[pa.Table]", batches)):
            pass


def write_answers(batches: Iterable[pa.Table], parts: str, progress: ProgressLine) -> None:
    """Writes each batch of ANSWERS as a part, and counts it."""
    for _ in map_in_order(partial(write_part, parts), progress.count(batches)):
        pass
