"""What the documents name is there, and their figures are those of the code."""

import ast
import importlib.util
import re
from importlib import import_module
from pathlib import Path
from textwrap import dedent
from types import ModuleType, SimpleNamespace
from xml.etree import ElementTree

import media
import pytest
from paths import ROOT

import artifactscan
from artifactscan.__main__ import JOBS
from artifactscan.cli.flags import known_flags
from artifactscan.decode import reader
from artifactscan.decode.packets import SELECTIVE_CODECS
from artifactscan.decode.video import DecodeLimits
from artifactscan.outcomes import Outcome
from artifactscan.pipelines.ray_cluster import node_wait, node_watch, pool_sizes, ray_data
from artifactscan.pipelines.score import rounds
from artifactscan.schemas import VIDEOS
from artifactscan.scoring import plan, progress, slicing
from artifactscan.scoring.cost_estimate import estimate
from artifactscan.scoring.frame_costs import REFERENCE
from artifactscan.scoring.settings import ScoreSettings
from artifactscan.storage import lease
from artifactscan.storage.retries import RetryLimits
from artifactscan.training.settings import FinetuneSettings

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").glob("*.md")])
OPERATIONS, ARCHITECTURE, OUTCOMES = (
    (ROOT / "docs" / name).read_text() for name in ("operations.md", "architecture.md", "outcomes.md")
)
LINKS = [
    (document, link)
    for document in DOCUMENTS
    for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text())
    if not re.match(r"[a-z]+:", link)
]


def anchors(document: Path) -> set[str]:
    """The places in a document that a link can lead to, as GitHub names them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(("document", "link"), LINKS, ids=[f"{path.name}-{link}" for path, link in LINKS])
def test_links_lead_somewhere(document: Path, link: str) -> None:
    path, _, anchor = link.partition("#")
    target = document.parent / path if path else document
    assert target.exists()
    if anchor:
        assert anchor in anchors(target)


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`([\w/]+\.py)`", OPERATIONS + ARCHITECTURE))))
def test_files_that_are_named_are_there(name: str) -> None:
    assert [path for path in (ROOT, *(ROOT / "src").rglob("*/"), ROOT / "pipelines") if (path / name).is_file()]


@pytest.mark.parametrize("job", sorted((ROOT / "jobs").glob("[a-z]*.py")), ids=lambda job: job.name)
def test_every_job_says_how_it_goes_on_a_cluster_or_that_it_needs_none(job: Path) -> None:
    said = ast.get_docstring(ast.parse(job.read_text())) or ""
    submitted = f"ray job submit --working-dir . -- python jobs/{job.name}" in said
    assert submitted != ("It needs no cluster" in said)


def test_flags_that_are_named_are_there() -> None:
    training = re.search(r"^## Fine-tuning on it$.*?(?=^## )", OPERATIONS, re.MULTILINE | re.DOTALL)
    assert training
    for text, settings in (
        (OPERATIONS.replace(training[0], "") + OUTCOMES, ScoreSettings),
        (training[0], FinetuneSettings),
    ):
        assert set(re.findall(r"(?<=`)--[a-z-]+[a-z]", text)) <= set(known_flags(settings))


COMMANDS = [
    (document, command)
    for document in DOCUMENTS
    for command in re.findall(
        r"^ {4,}(?:artifactscan |(?:.* )?jobs/)(.+(?:(?<=\\)\n.+)*)$", document.read_text(), re.MULTILINE
    )
]


@pytest.mark.parametrize(("document", "command"), COMMANDS, ids=[f"{path.name}-{text[:40]}" for path, text in COMMANDS])
def test_commands_that_are_shown_have_these_flags(document: Path, command: str) -> None:
    job, *words = command.partition("  #")[0].replace("\\\n", " ").split()
    settings = import_module(f"artifactscan.jobs.{job.removesuffix('.py')}").SETTINGS if job != "completion" else None
    if isinstance(settings, dict):
        settings = settings[words[0]]
    flags = {word for word in words if word.startswith("--")} - {"--config", "--help"}
    assert flags <= set(known_flags(settings) if settings else ())


def python_examples(document: Path) -> list[str]:
    """The Python examples of a document: fenced as python, or indented and beginning with an import."""
    fenced_or_indented = r"^```python\n((?s:.*?))^```$|^( {4}(?:import|from) .*\n(?:(?: {4}.*)?\n)*)"
    blocks = re.findall(fenced_or_indented, document.read_text(), re.MULTILINE)
    return [dedent(fenced or indented) for fenced, indented in blocks]


EXAMPLES = [document for document in DOCUMENTS if python_examples(document)]


@pytest.fixture(scope="module")
def scored_clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the examples speak of: `clips` with a video, `scores` with its scores."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "clips").mkdir()
    media.write_clip(folder / "clips" / "one.mp4", seconds=2)
    artifactscan.score(str(folder / "clips"), output=str(folder / "scores"), quiet=True, decode_actors=1)
    return folder


@pytest.mark.long
@pytest.mark.usefixtures("ray_here")
@pytest.mark.parametrize("document", EXAMPLES, ids=[path.relative_to(ROOT).as_posix() for path in EXAMPLES])
def test_python_examples_run(document: Path, scored_clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(scored_clips)
    names = {}
    for example in python_examples(document):
        if "import duckdb" in example and not importlib.util.find_spec("duckdb"):  # not among the dependencies
            continue
        exec(compile(example, str(document), "exec"), names)


def site_hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("site_hooks", ROOT / "docs" / "site_hooks.py")
    assert spec and spec.loader
    hooks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hooks)
    return hooks


def test_every_folder_says_what_it_does_in_a_line_or_two() -> None:
    texts = site_hooks().folder_docstrings()
    assert len(texts) > 25
    for folder, text in texts.items():
        assert 1 <= len(text.splitlines()) <= 2, folder


def test_the_site_lists_every_folder() -> None:
    hooks = site_hooks()
    page = SimpleNamespace(file=SimpleNamespace(src_uri="architecture.md"))
    lines = hooks.on_page_markdown("<!-- folders -->", page).splitlines()
    assert [line.split("`")[1] for line in lines] == list(hooks.folder_docstrings())
    assert all(line.startswith("- `") for line in lines)


def test_every_command_has_a_page_with_its_flags() -> None:
    pages = "".join(page.read_text() for page in (ROOT / "docs" / "how-to").glob("*.md"))
    shown = re.findall(r"<!-- flags ([\w ]+) -->", pages)
    assert {command.split()[0] for command in shown} >= set(JOBS) - {"checkpoint", "demo", "synthesise"}
    for command in shown:
        assert re.search(r"^- `--\w", site_hooks().flags(command), re.MULTILINE)


def test_every_outcome_is_told() -> None:
    assert re.findall(r"^\| `(\w+)` \|", OUTCOMES, re.MULTILINE) == list(Outcome)


def test_the_example_of_a_plan_is_what_the_job_works_out() -> None:
    size = 1_670_000
    frames = round(1_000_000 * size * plan.FRAMES_PER_MEGABYTE / 1e6)
    cost = estimate(frames, REFERENCE["cuda"], node_cpus=16, prices=(0.40, 2.00))
    assert f"about {frames:,}" in OPERATIONS
    assert f"{cost.core_hours:.2f} core hours" in OPERATIONS
    assert f"{cost.classifier_hours:.2f} hours" in OPERATIONS
    assert [f"{hours:.2f}" for hours in cost.node_hours] == re.findall(
        r"hours of nodes .+ (\d+\.\d+)$", OPERATIONS, re.M
    )
    assert re.search(rf"^    cost +{cost.cost:.2f}$", OPERATIONS, re.MULTILINE)
    assert f"by rates    {cost.basis}" in OPERATIONS
    assert f"{REFERENCE['cuda'].decode_s / REFERENCE['cuda'].classify_s:.0f}\ncores decode" in OPERATIONS


def test_columns_of_the_queries_are_in_the_ledger() -> None:
    queries = re.findall(r"^    SELECT.*\n(?:    .*\n)*", OPERATIONS, re.MULTILINE)
    words = {word for query in queries for word in re.findall(r"\b[a-z]+_[a-z]+\b", query)}
    assert len(queries) == 4
    assert words - {"parse_filename", "any_value", "such_as", "s_per_frame"} <= set(VIDEOS.names)


def test_numbers_are_those_of_the_code() -> None:
    limits, settings = DecodeLimits(), ScoreSettings(input="in", output="out")
    assert ray_data.WAITING_BYTES_PER_ACTOR == {"cpu": 64 << 20, "cuda": 192 << 20}
    assert (ray_data.HEAVY_BYTES, ray_data.MOST_BLOCKS) == (64 << 20, 20_000)
    assert (reader.AHEAD, reader.AHEAD_BYTES) == (8, 256 << 20)
    assert (settings.slice_bytes, slicing.MOST_SLICES, pool_sizes.GROWTH) == (128 << 20, 64, 4)
    assert (limits.max_object_bytes, limits.child_memory_bytes) == (4 << 30, 4 << 30)
    assert (limits.max_video_s, limits.max_pixels, limits.video_timeout_s) == (4 * 3600, 36_000_000, 300)
    assert (node_wait.NODE_WAIT_S, progress.LOG_INTERVAL_S, ray_data.NO_PROGRESS_TIMEOUT_S) == (15 * 60, 30, 1800)
    assert (lease.RENEW_S, lease.STALE_S, node_watch.STUCK_S, rounds.MOST_LOST) == (15, 90, 45, 20)
    assert (RetryLimits().attempts, RetryLimits().total_wait_s) == (10, 120)
    assert SELECTIVE_CODECS == ("h264", "hevc", "mpeg4", "mjpeg", "vp8", "vp9", "av1")


def test_the_picture_has_what_the_text_has() -> None:
    picture = ElementTree.parse(ROOT / "docs" / "architecture.svg").getroot()
    words = " ".join(picture.itertext())
    for name in ("manifest.parquet", "lease.json", "run.json", "Decode", "Classify", "Parts", "Tally", "Settle"):
        assert name in words
    assert not [element for element in picture.iter() if element.tag.rpartition("}")[2] in ("script", "foreignObject")]
