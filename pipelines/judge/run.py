"""One judgement from start to end: plan the questions, ask them on Ray, settle the tables, compare with the scorer."""

import json
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from artifactscan import storage
from artifactscan.annotation.frame_index import read_index
from artifactscan.annotation.labels_table import read_labels
from artifactscan.cli.exit_codes import EXIT_OK, EXIT_TOO_MANY_FAILED, fail, failures_exit_code
from artifactscan.errors import LedgerError, UsageError
from artifactscan.judge.compare_with_scorer import MIN_CLIPS, JudgeComparison, check_by_people, compare_with_scorer
from artifactscan.judge.consistency import measure_consistency
from artifactscan.judge.endpoint import ChatEndpoint, read_key
from artifactscan.judge.frames_to_judge import FrameKey, index_digest, plan_asks
from artifactscan.judge.judge_request import JudgeRequest
from artifactscan.judge.judgement_folder import JudgementFolder
from artifactscan.judge.judgement_tables import JUDGED, frame_outcomes, labels_of, merge_answers
from artifactscan.judge.print_judgement import print_comparison, print_judge_plan, print_outcomes
from artifactscan.judge.settings import JudgeSettings
from artifactscan.judge.token_cost import estimate_judge_cost
from artifactscan.judge.wanted_frames import open_asks, read_wanted
from artifactscan.labels import SCORE_COLUMNS
from artifactscan.messages.console import console
from artifactscan.messages.text import printable
from artifactscan.pipelines.ray_cluster.submission import check_paths, record_failure
from artifactscan.storage.lease import Lease
from artifactscan.storage.storage_errors import as_cut_off_errors


@dataclass(frozen=True)
class _Plan:
    """What one call of the job is to do."""

    settings: JudgeSettings
    request: JudgeRequest
    identity: dict[str, Any]
    """What the judgements depend on."""
    folder: JudgementFolder
    index: pa.Table
    wanted: list[FrameKey]
    asks: pa.Table
    """All questions, answered ones too."""
    human: pa.Table | None
    """Labels to compare with."""


def judge(settings: JudgeSettings) -> int:
    """Has frames judged and returns the job's exit code; UsageError, LedgerError and CutOffError go to the caller."""
    with record_failure(cut_off="cut off" if settings.plan else "cut off: the same command continues it"):
        check_paths(settings, "index", "output", "only", "guide", "against")
        plan = _make_plan(settings)
        if settings.plan:
            return _show_plan(plan)
        storage.check_writable(plan.folder.root)
        with Lease(plan.folder.lease) as lease, as_cut_off_errors():
            plan.folder.check(plan.identity)  # another job may have begun others since
            return _judge(plan, lease)


def _make_plan(settings: JudgeSettings) -> _Plan:
    """Reads what is to be judged; UsageError before anything is written or asked."""
    request, index = settings.request(), read_index(settings.index)
    wanted = read_wanted(settings.only, index)
    asks = plan_asks(
        index,
        wanted,
        neighbours=request.neighbours,
        gap_s=request.neighbour_gap_s,
        repeat_share=request.repeat_share,
    )
    folder = JudgementFolder(storage.normalise(settings.output))
    root = storage.normalise(settings.index).rpartition("/")[0]
    identity = request.identity | {"index": index_digest(index, root)}
    folder.check(identity)
    human = read_labels(settings.against) if settings.against else None
    if human is not None:
        _check_comparable(settings, human, index, wanted)
    return _Plan(settings, request, identity, folder, index, wanted, asks, human)


def _check_comparable(settings: JudgeSettings, human: pa.Table, index: pa.Table, wanted: list[FrameKey]) -> None:
    """UsageError where a comparison with the scorer cannot be made, before requests are paid for."""
    check_by_people(human, f"--against: labels {settings.against}")
    labelled = zip(human["file"].to_pylist(), human["frame_index"].to_pylist(), strict=True)
    frames = set(wanted) & set(labelled)
    if not frames:
        raise UsageError(f"--against {settings.against} labels no frame that is to be judged; give labels of the index")
    if index[SCORE_COLUMNS[0]].null_count == index.num_rows:
        raise UsageError(
            f"--against compares with scores, which index {settings.index} does not have; extract with --checkpoint"
        )
    if (clips := len({file for file, _ in frames})) < MIN_CLIPS:
        raise UsageError(
            f"--against {settings.against} labels {clips} clips of those that are to be judged; label {MIN_CLIPS}, as "
            "an interval of fewer is too narrow"
        )


def _show_plan(plan: _Plan) -> int:
    """Prints what is left to ask, and what it takes; asks and writes nothing."""
    answers = plan.folder.read_answers(retry_failed=plan.settings.retry_failed)
    sizes = {row["image"]: (row["width"], row["height"]) for row in plan.index.to_pylist()}
    cost = estimate_judge_cost(
        open_asks(plan.asks, answers),
        answers,
        plan.request,
        sizes=sizes,
        requests_per_minute=plan.settings.requests_per_minute,
        prices=plan.settings.prices,
    )
    print_judge_plan(cost, len(plan.wanted), console())
    return EXIT_OK


def _judge(plan: _Plan, lease: Lease) -> int:
    """Asks what is open, settles and prints."""
    settings, folder, out = plan.settings, plan.folder, console()
    answers = folder.read_answers(retry_failed=settings.retry_failed)
    asks = open_asks(plan.asks, answers)
    if asks.num_rows:
        if answers.num_rows:
            out.print(f"{asks.num_rows:,} of {plan.asks.num_rows:,} questions are left")
        _ask(plan, asks)
        lease.check()
        answers = merge_answers([answers, folder.read_parts()])
        if left := open_asks(plan.asks, answers).num_rows:
            raise LedgerError(f"{left:,} questions have no answer and no reason; give the same command again")
    else:
        out.print(f"nothing to ask: all {len(plan.wanted):,} frames have their outcome in {folder.root}")
    outcomes = frame_outcomes(answers, plan.wanted)
    consistency = measure_consistency(answers, outcomes)
    usable = consistency.contradicted_share <= settings.max_contradicted
    folder.commit(answers, outcomes, labels_of(outcomes, plan.request.annotator) if usable else None)
    print_outcomes(outcomes, consistency, settings.prices, out)
    for what, place in (*((("labels", folder.labels),) if usable else ()), ("outcomes", folder.outcomes)):
        out.print(f"{what:9} {printable(place)}", soft_wrap=True, markup=False)
    if not usable:
        return fail(
            f"the judge contradicts itself on {consistency.contradicted:,} of {consistency.frames:,} frames that it "
            f"was asked about twice, more than --max-contradicted {settings.max_contradicted:g} allows; its labels are "
            "not written",
            EXIT_TOO_MANY_FAILED,
        )
    if plan.human is not None:
        _compare(plan, plan.human, outcomes)
    failed = sum(outcome != JUDGED for outcome in outcomes["outcome"].to_pylist())
    return failures_exit_code(failed, outcomes.num_rows, settings.max_failed, "are not judged", units="frames")


def _compare(plan: _Plan, human: pa.Table, outcomes: pa.Table) -> None:
    """Writes and prints the comparison with the scorer, or why there is none: by now the answers are paid for."""
    try:
        comparison = compare_with_scorer(human, outcomes, plan.index)
    except UsageError as error:
        console().print(f"no comparison with the scorer: {error}", style="yellow", soft_wrap=True, markup=False)
        return
    storage.write_bytes(plan.folder.comparison, _comparison_json(comparison, plan))
    print_comparison(comparison, console())


def _ask(plan: _Plan, asks: pa.Table) -> None:
    """Puts questions to the judge on Ray; UsageError, before that, where judge or cluster cannot be used."""
    settings, request, folder = plan.settings, plan.request, plan.folder
    key, on_gpus = read_key(settings.key_variable), settings.engine == "vllm"
    if on_gpus:
        from artifactscan.pipelines.judge.run_vllm import check_vllm

        check_vllm()
    else:
        ChatEndpoint(request.endpoint, key=key, timeout_s=request.timeout_s).check_model(request.model)
    from artifactscan.pipelines.judge.progress_line import ProgressLine  # Ray takes seconds to import and to start
    from artifactscan.pipelines.ray_cluster.pool_sizes import PoolSizes, size_pools
    from artifactscan.pipelines.ray_cluster.resources import Resources
    from artifactscan.pipelines.ray_cluster.start_cluster import start_cluster

    def sized(resources: Resources) -> PoolSizes:
        return size_pools(resources, use_gpu=on_gpus, decode_actors=1, classify_actors=0)

    device = "cuda" if on_gpus else "cpu"
    resources = start_cluster(settings, settings.index, device=device, sized=sized, out=console(), quiet=settings.quiet)
    sized(resources)  # raises where no node has a GPU
    folder.begin(asdict(settings), plan.identity)
    root = storage.normalise(settings.index).rpartition("/")[0]
    progress = ProgressLine(asks.num_rows, quiet=settings.quiet)
    if on_gpus:
        from artifactscan.pipelines.judge.run_vllm import run_vllm_graph

        run_vllm_graph(asks, folder.parts, root=root, request=request, gpus=resources.gpus, progress=progress)
        return
    from artifactscan.pipelines.judge.graph import run_judge_graph

    run_judge_graph(
        asks,
        folder.parts,
        root=root,
        request=request,
        key=key,
        requests_per_minute=settings.requests_per_minute,
        concurrent=settings.concurrent,
        nodes=len(resources.nodes),
        progress=progress,
    )


def _comparison_json(comparison: JudgeComparison, plan: _Plan) -> bytes:
    record = {"judge": plan.identity, "against": plan.settings.against, "earned": comparison.earned}
    return json.dumps(record | asdict(comparison), indent=2).encode()
