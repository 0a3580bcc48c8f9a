"""Actors of Ray Data's pools that a graph leaves behind."""

import time
from collections.abc import Callable

import pyarrow as pa
import pytest
import ray
from ray._private.state import actors
from ray.exceptions import RayTaskError

from artifactscan.pipelines.ray_cluster import connection, pool_actors
from artifactscan.pipelines.ray_cluster.ray_data import actor_pool, make_dataset, ray_errors_as_cut_off


class Worse:
    def __call__(self, rows: pa.Table) -> pa.Table:
        raise ZeroDivisionError


class Another:
    def answer(self) -> str:
        return "here"


def wait_for(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + 60
    while not (met := condition()) and time.monotonic() < end:
        time.sleep(0.1)
    return met


def alive() -> list[str]:
    return [
        facts["ActorClassName"]
        for facts in actors().values()
        if facts["State"] != "DEAD" and pool_actors._in_pool(facts)
    ]


def test_a_failed_graph_leaves_no_actors_while_its_exception_is_kept(ray_here: None) -> None:
    connection.connect()
    with pytest.raises(RayTaskError) as kept, ray_errors_as_cut_off():
        work = make_dataset(pa.table({"slice": [0]}), 1)
        work.map_batches(Worse, batch_format="pyarrow", compute=actor_pool(1), num_cpus=1).materialize()
    assert wait_for(lambda: not alive()), alive()
    assert wait_for(lambda: ray.available_resources()["CPU"] == ray.cluster_resources()["CPU"])
    assert "ZeroDivisionError" in str(kept.value)


def test_other_actors_are_not_ended(ray_here: None) -> None:
    connection.connect()
    another = ray.remote(num_cpus=0)(Another).remote()
    pool_actors.end_all()
    assert ray.get(another.answer.remote()) == "here"
    assert pool_actors.restarting() == set()
