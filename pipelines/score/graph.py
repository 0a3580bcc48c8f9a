"""The scoring graph on Ray Data: rows of work in, parts with scores out, each at least once."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pyarrow as pa
import ray
from ray.actor import ActorProxy

from artifactscan.decode.reader import ReaderCounts
from artifactscan.decode.segment import Segment
from artifactscan.decode.video import DecodeSettings
from artifactscan.messages.logs import actor_log
from artifactscan.model.checkpoint import Checkpoint
from artifactscan.model.classify_settings import ClassifySettings
from artifactscan.pipelines.ray_cluster import metrics
from artifactscan.pipelines.ray_cluster.node_losses import LossWatch
from artifactscan.pipelines.ray_cluster.node_watch import STUCK_S, NodeWatch
from artifactscan.pipelines.ray_cluster.pool_sizes import PoolSizes
from artifactscan.pipelines.ray_cluster.progress import Tally
from artifactscan.pipelines.ray_cluster.ray_data import (
    actor_pool,
    make_dataset,
    ray_errors_as_cut_off,
    report_actor,
    videos_per_block,
)
from artifactscan.pipelines.ray_cluster.worker_spans import give_span
from artifactscan.scoring.stages import SEGMENTS_PER_BATCH, ClassifyStage, DecodeStage, log_fault
from artifactscan.storage.concurrent import map_in_order
from artifactscan.storage.parquet import write_part
from artifactscan.storage.retries import RetryLimits
from artifactscan.telemetry.finished_span import FinishedSpan


class Decode:
    """Actor of the decoding stage, which reports to the tally, the metrics, and for faults of videos to the log."""

    def __init__(self, settings: DecodeSettings, niceness: int, run: str, tally: ActorProxy[Tally], traced: bool):
        self.tally, self.traced, self.log = tally, traced, actor_log(run)
        self.stage = DecodeStage(settings, self, niceness=niceness)
        report_actor("decode", run, tally)

    def __call__(self, work: pa.Table) -> Iterator[pa.Table]:
        return self.stage.decode(work)

    def decoded(self, row: dict[str, Any], segment: Segment, counts: ReaderCounts) -> None:
        """Reports one segment."""
        frames = len(segment.frame_index)
        self.tally.add_decoded.remote(frames)
        metrics.FRAMES.record(frames, outcome="decoded")
        metrics.FETCHED_BYTES.record(counts.fetched_bytes)
        metrics.RETRIES.record(counts.fetch_retries, what="fetch")
        if (verdict := segment.result) is None:
            return
        facts = verdict.facts
        metrics.FRAMES.record((facts.frames_sampled or 0) - (facts.frames_decoded or 0), outcome="lost")
        for metric, seconds in ((metrics.FETCH_SECONDS, facts.fetch_s), (metrics.DECODE_SECONDS, facts.decode_s)):
            if seconds is not None:
                metric.record(seconds)
        log_fault(self.log, row, verdict)

    def block_done(self, span: FinishedSpan) -> None:
        """Hands a span to the driver's trace, where there is one."""
        if self.traced:
            give_span(self.tally, span)


class Classify:
    """CPU or GPU actor of the classifying stage, which reports to the tally and the metrics."""

    def __init__(
        self,
        stored: ray.ObjectRef,
        settings: ClassifySettings,
        threads: int,
        run: str,
        tally: ActorProxy[Tally],
        traced: bool,
    ):
        actor_log(run)
        self.tally, self.traced = tally, traced
        self.stage = ClassifyStage(ray.get(stored), settings, self, threads=threads)
        report_actor("classify", run, tally)

    def __call__(self, segments: pa.Table) -> Iterator[pa.Table]:
        yield self.stage.classify(segments)  # a generator: Ray Data hides the cause of what other functions raise

    def classified(self, frames: int, seconds: float, outcomes: dict[str, str], notes: list[str]) -> None:
        """Reports one batch."""
        self.tally.add.remote(frames=frames, outcomes=outcomes, notes=notes)
        for outcome in outcomes.values():
            metrics.VIDEOS.record(outcome=outcome)
        if frames:
            metrics.FRAMES.record(frames, outcome="scored")
            metrics.CLASSIFY_SECONDS.record(seconds)
            metrics.BATCH_FRAMES.record(frames)
            metrics.BATCHES.record(device=self.stage.device, precision=self.stage.precision)

    def block_done(self, span: FinishedSpan) -> None:
        """Hands a span to the driver's trace, where there is one."""
        if self.traced:
            give_span(self.tally, span)


def run_graph(
    work: pa.Table,
    parts: str,
    *,
    run: str,
    pools: PoolSizes,
    decoding: DecodeSettings,
    classifying: ClassifySettings,
    checkpoint: Checkpoint,
    tally: ActorProxy[Tally],
    traced: bool,
    on_lost_node: Callable[[str], None],
) -> str:
    """Scores ``work``, one row per slice, writes the scores as files in ``parts``, and returns Ray Data's statistics.

    ``traced``: the actors give the spans of their blocks to the tally. ``on_lost_node``: is given a sentence on each
    node that dies meanwhile, from another thread.
    CutOffError where the machine or the cluster gives out, NodesLostError where a node was lost whose actors have no
    room elsewhere; the parts written so far stay.
    """
    per_block = videos_per_block(work, pools)
    stored = ray.put(checkpoint)
    # Longest legitimate silence: decode timeout plus two fetch retry budgets, as a slice first waits for another
    # decoder's download and then, if that fails, does its own. Ray Data sees progress only after a whole block.
    silence_s = decoding.limits.video_timeout_s + 2 * RetryLimits().total_wait_s
    with (
        ray_errors_as_cut_off(),
        LossWatch(on_lost_node, restarted_after_s=STUCK_S),
        NodeWatch(tally, silence_s=silence_s),
    ):
        dataset = make_dataset(work, per_block, pools, silence_s=per_block * silence_s)
        # map_batches refuses GPUs without a batch size; with one Ray Data would join blocks.
        decode = dataset.map_batches_internal if pools.decoder_gpus else dataset.map_batches
        scored = decode(
            Decode,
            batch_size=None,
            batch_format="pyarrow",
            compute=actor_pool(pools.decoders, pools.most_decoders),
            fn_constructor_args=(decoding, pools.niceness, run, tally, traced),
            num_cpus=pools.decoder_cpus,
            num_gpus=pools.decoder_gpus or None,
            label_selector=pools.decoder_label,
        ).map_batches(
            Classify,
            batch_size=SEGMENTS_PER_BATCH[pools.device],
            batch_format="pyarrow",
            compute=actor_pool(pools.classifiers, pools.most_classifiers),
            fn_constructor_args=(stored, classifying, pools.classifier_threads, run, tally, traced),
            num_cpus=pools.classifier_cpus,
            num_gpus=pools.classifier_gpus,
            label_selector=pools.classifier_label,
        )
        # The driver writes the small rows that are left. write_parquet would keep the result and lineage of each part
        # to the end, and its task processes take seconds of a core to start.
        batches = scored.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
        for _ in map_in_order(partial(write_part, parts), batches):
            pass
        return scored.stats()
