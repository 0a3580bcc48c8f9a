"""Several storage requests at a time, and reading ahead: results in order, errors, and interruption."""

import threading
import time
from collections.abc import Iterator

import pytest

from artifactscan.storage.concurrent import ReadAhead, map_in_order


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


def test_reading_ahead_gives_all_items_in_order_and_waits_for_its_reader() -> None:
    taken: list[int] = []
    go_on = threading.Event()

    def items() -> Iterator[int]:
        for number in range(20):
            taken.append(number)
            if number == 5:
                go_on.set()
            yield number

    with ReadAhead(items(), most=5) as ahead:
        batches = ahead.batches(3)
        assert go_on.wait(30)  # five wait and a sixth is offered
        time.sleep(0.05)
        assert taken == list(range(6))
        got = [next(batches)]
        assert got == [[0, 1, 2]], "those that are there at once"
        got += batches
    assert [number for batch in got for number in batch] == list(range(20))
    assert all(1 <= len(batch) <= 3 for batch in got)


def test_an_error_comes_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("the disk is full")

    got: list[int] = []
    with pytest.raises(OSError, match="the disk is full"), ReadAhead(items(), most=4) as ahead:
        for batch in ahead.batches(2):
            got += batch
    assert got == [1]


def test_reading_ahead_ends_with_its_block() -> None:
    with ReadAhead(iter(range(10**9)), most=2) as ahead:
        assert next(ahead.batches(1)) == [0]
        [thread] = [one for one in threading.enumerate() if one.name == "read-ahead"]
    thread.join(30)
    assert not thread.is_alive()
