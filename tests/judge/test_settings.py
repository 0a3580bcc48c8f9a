"""The judge's settings: what they refuse, and what becomes of them."""

import json
from typing import Any

import pytest

from artifactscan.errors import UsageError
from artifactscan.judge.settings import JudgeSettings


def settings(**values: Any) -> JudgeSettings:
    return JudgeSettings(**({"index": "i", "output": "o", "model": "m", "endpoint": "http://h/v1/"} | values))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"requests_per_minute": 0}, "--requests-per-minute is 0; give a number above 0"),
        ({"timeout_s": float("nan")}, "--timeout-s is nan; give a number above 0"),
        ({"attempts": 0}, "--attempts is 0; give a number above 0"),
        ({"neighbours": -1}, "--neighbours is -1; give 0 or more"),
        ({"repeat_share": 1.5}, "--repeat-share is 1.5; give a share between 0 and 1"),
        ({"max_failed": 2.0}, "--max-failed is 2.0; give a share between 0 and 1"),
        ({"price_per_million_tokens": (1.0,)}, "takes two prices of 0 or more"),
        ({"model": " "}, "--model is empty"),
        ({"endpoint": ""}, "--endpoint is not given"),
        ({"endpoint": "host:80"}, "--endpoint host:80 is not a URL"),
        ({"engine": "vllm"}, "goes with --engine endpoint; leave one of the two out"),
        ({"request_body": "{"}, "--request-body is not JSON"),
        ({"request_body": "[1]"}, r"--request-body is \[1\]; give a JSON object"),
        ({"request_body": '{"messages": []}'}, "--request-body sets messages, which the job sets itself"),
    ],
)
def test_what_cannot_be_is_one_sentence(values: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        settings(**values)


def test_the_request_of_the_settings() -> None:
    request = settings(request_body='{"max_tokens": null}', neighbours=2).request()
    assert (request.endpoint, request.annotator, request.neighbours) == ("http://h/v1", "judge:m", 2)
    assert request.extra_body == {"max_tokens": None}
    assert settings(engine="vllm", endpoint="").request().endpoint == ""


def test_judgements_depend_on_what_is_asked_and_not_on_where_or_how_fast() -> None:
    identity = settings().request().identity
    same = settings(endpoint="https://elsewhere/v1", timeout_s=5, attempts=9, repeat_share=0.5)
    assert same.request().identity == identity
    for values in ({"model": "n"}, {"neighbours": 0}, {"image_side": 99}, {"request_body": '{"temperature": 1}'}):
        assert settings(**values).request().identity != identity
    assert json.loads(json.dumps(identity)) == identity, "it is compared with what was stored"
