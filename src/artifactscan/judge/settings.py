"""The settings of the job that has frames judged."""

import json
from dataclasses import dataclass
from typing import Any, Literal

from artifactscan.errors import UsageError
from artifactscan.judge.endpoint import KEY_VARIABLE, check_endpoint_url
from artifactscan.judge.judge_request import JudgeRequest
from artifactscan.judge.judgement_tables import MAX_CONTRADICTED
from artifactscan.judge.prompt import read_guide
from artifactscan.settings.groups import NodeSettings, check_settings

_FIXED_KEYS = ("model", "messages", "stream", "n")
"""Keys of a request that the extra body may not set."""


@dataclass(frozen=True, kw_only=True)
class JudgeSettings(NodeSettings):
    """Has a vision-language model grade the frames of an extraction and leaves a labels table."""

    index: str
    """The index.parquet of an extraction (artifactscan extract), whose images lie beside it."""
    output: str
    """Folder or s3://bucket/prefix for labels.csv, outcomes.parquet and what is needed to continue."""
    model: str
    """Name of the model at the endpoint; with --engine vllm that on Hugging Face, or a folder that all nodes see."""
    only: str = ""
    """A .csv or .parquet with columns file and frame_index: only these frames are judged; empty: all of the index."""

    engine: Literal["endpoint", "vllm"] = "endpoint"
    """endpoint: a server at --endpoint; vllm: vLLM on the GPUs of the cluster, through ray.data.llm."""
    endpoint: str = ""
    """Base URL of an OpenAI-compatible API, http://127.0.0.1:8000/v1 say."""
    key_variable: str = KEY_VARIABLE
    """Environment variable with the endpoint's key, in the process that starts the job; not set: no key is sent."""
    requests_per_minute: float = 60.0
    """Requests per minute, over the whole cluster."""
    concurrent: int = 8
    """Requests at a time, over the whole cluster."""
    timeout_s: float = 120.0
    """Seconds one request may take."""
    attempts: int = 5
    """Requests for one answer, the first included."""
    request_body: str = ""
    """JSON object merged into each request's body; null removes a key: '{"max_tokens": null, "seed": 1}' say."""

    guide: str = ""
    """Text file by which frames are graded; empty: the package's."""
    neighbours: int = 1
    """Frames of the clip shown before and after the frame to grade, from the index."""
    neighbour_gap_s: float = 1.0
    """Seconds that such a frame may be away; further ones are not shown."""
    image_side: int = 1024
    """Pixels of the longer side above which images are scaled down."""
    repeat_share: float = 0.05
    """Share of the frames that are asked about twice, to see whether the judge contradicts itself."""

    retry_failed: bool = False
    """Ask again about frames that a finished judgement left failed."""
    max_failed: float = 0.05
    """Exit with 1 when more than this share of the frames is not judged."""
    max_contradicted: float = MAX_CONTRADICTED
    """Exit with 1, without labels, when the judge contradicts itself on more than this share of the frames asked about
    twice."""
    against: str = ""
    """Labels table by people, .csv or .parquet: says whether the judge beats the index's scores on it."""
    plan: bool = False
    """Print frames, requests, tokens and cost, and stop."""
    price_per_million_tokens: tuple[float, ...] = ()
    """Price of a million prompt tokens and of a million completion tokens."""
    quiet: bool = False
    """No progress line."""

    def __post_init__(self) -> None:
        check_settings(self)
        for name in ("requests_per_minute", "timeout_s", "attempts", "concurrent", "image_side"):
            if not 0 < getattr(self, name) < float("inf"):
                raise UsageError(f"--{name.replace('_', '-')} is {getattr(self, name)}; give a number above 0")
        for name in ("neighbours", "neighbour_gap_s"):
            if not getattr(self, name) >= 0:
                raise UsageError(f"--{name.replace('_', '-')} is {getattr(self, name)}; give 0 or more")
        for name in ("repeat_share", "max_contradicted"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"--{name.replace('_', '-')} is {getattr(self, name)}; give a share between 0 and 1")
        if len(self.price_per_million_tokens) not in (0, 2) or any(not price >= 0 for price in self.prices):
            raise UsageError(
                "--price-per-million-tokens takes two prices of 0 or more: of prompt and completion tokens"
            )
        if not self.model.strip():
            raise UsageError("--model is empty; give the model's name at the endpoint")
        if self.engine == "endpoint" and not self.endpoint:
            raise UsageError("--endpoint is not given; give the base URL of the API, or --engine vllm on a GPU cluster")
        if self.engine == "vllm" and self.endpoint:
            raise UsageError(f"--endpoint {self.endpoint} goes with --engine endpoint; leave one of the two out")
        if self.endpoint:
            check_endpoint_url(self.endpoint)
        self.extra_body()

    @property
    def prices(self) -> tuple[float, ...]:
        return self.price_per_million_tokens

    def extra_body(self) -> dict[str, Any]:
        """The parsed --request-body; UsageError where it is no JSON object, or sets what the job sets itself."""
        try:
            body = json.loads(self.request_body or "{}")
        except ValueError as error:
            raise UsageError(f"--request-body is not JSON: {error}") from None
        if not isinstance(body, dict):
            raise UsageError(f"--request-body is {self.request_body}; give a JSON object")
        if fixed := [key for key in _FIXED_KEYS if key in body]:
            raise UsageError(f"--request-body sets {fixed[0]}, which the job sets itself; leave it out")
        return body

    def request(self) -> JudgeRequest:
        """What the judge is asked; UsageError for a guide that cannot be read."""
        return JudgeRequest(
            endpoint=check_endpoint_url(self.endpoint) if self.endpoint else "",
            model=self.model,
            guide=read_guide(self.guide),
            neighbours=self.neighbours,
            neighbour_gap_s=self.neighbour_gap_s,
            image_side=self.image_side,
            extra_body=self.extra_body(),
            timeout_s=self.timeout_s,
            attempts=self.attempts,
            repeat_share=self.repeat_share,
        )
