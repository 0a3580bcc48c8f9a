"""What a judgement takes, by rules of thumb and by the answers so far."""

import pytest
from extraction import write_extraction
from judge_answers import answer, answers_table

from artifactscan.annotation.frame_index import read_index
from artifactscan.judge.frames_to_judge import plan_asks
from artifactscan.judge.judge_request import JudgeRequest
from artifactscan.judge.prompt import text_length
from artifactscan.judge.token_cost import JudgeCost, estimate_judge_cost, token_price


def cost_of(tmp_path, *answers: dict, prices: tuple[float, ...] = (), image_side: int = 1024) -> JudgeCost:
    index = read_index(str(write_extraction(tmp_path / "x", {"a.mp4": 3}, size=(1500, 1000))))
    asks = plan_asks(index, [("a.mp4", 0), ("a.mp4", 12)], neighbours=1, gap_s=1.0, repeat_share=0.0)
    return estimate_judge_cost(
        asks,
        answers_table(*answers),
        JudgeRequest(endpoint="", model="m", image_side=image_side),
        sizes=dict.fromkeys(index["image"].to_pylist(), (1500, 1000)),
        requests_per_minute=4,
        prices=prices,
    )


def test_by_rules_of_thumb(tmp_path) -> None:
    cost = cost_of(tmp_path, prices=(1.0, 10.0), image_side=750)
    text = text_length(JudgeRequest(endpoint="", model="m").guide) / 4
    assert (cost.frames, cost.requests, cost.images, cost.minutes, cost.measured) == (2, 2, 5, 0.5, False)
    assert cost.prompt_tokens == round(2 * text + 5 * 750 * 500 / 750)
    assert cost.completion_tokens == 160
    assert cost.cost == pytest.approx((cost.prompt_tokens + 10 * 160) / 1e6)


def test_by_the_answers_so_far(tmp_path) -> None:
    untold = answer(36, "0000") | {"prompt_tokens": 0}
    retried = answer(48, "0000") | {"requests": 3, "prompt_tokens": 300}
    cost = cost_of(tmp_path, answer(24, "0000"), untold, retried)
    assert (cost.prompt_tokens, cost.completion_tokens, cost.measured) == (200, 10, True)
    assert cost.cost is None


def test_prices_are_per_million_tokens() -> None:
    assert token_price(2_000_000, 500_000, (0.15, 0.6)) == pytest.approx(0.6)
    assert token_price(1, 1, ()) is None
