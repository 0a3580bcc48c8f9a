"""Several storage requests at a time: results in order, errors, and interruption."""

import threading
from collections.abc import Iterator

import pytest

from artifactscan.storage.concurrent import map_in_order


def test_results_keep_the_order_and_errors_are_raised() -> None:
    asked = []

    def half(number: int) -> float:
        asked.append(number)
        return 1 / number

    assert list(map_in_order(half, range(1, 100))) == [1 / n for n in range(1, 100)]
    asked.clear()
    first = next(iter(map_in_order(half, iter(range(1, 10_000)))))
    assert first == 1 and len(asked) < 50, "it does not run away from its reader"
    with pytest.raises(ZeroDivisionError):
        list(map_in_order(half, [1, 0, 2]))


def test_an_interrupt_reports_the_requests_under_way(caplog: pytest.LogCaptureFixture) -> None:
    go_on = threading.Event()

    def items() -> Iterator[float]:
        yield from (5.0, 5.0)
        threading.Timer(0.5, go_on.set).start()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(map_in_order(go_on.wait, items()))
    assert caplog.messages == ["interrupted: 2 requests to the storage are under way and end first"]
