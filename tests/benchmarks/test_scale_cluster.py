"""What the simulated scale measures when it is asked; the measurements themselves are `make bench-scale`."""

import pytest

from benchmarks import scale_cluster


def test_without_a_word_it_measures_all() -> None:
    arguments = scale_cluster._arguments([])
    assert arguments.what == ["scaling", "corpus", "tail"]
    assert (arguments.nodes, arguments.count) == ([1, 2, 4, 8], 100_000)


def test_one_of_them_alone() -> None:
    arguments = scale_cluster._arguments(["scaling", "--nodes", "1", "8"])
    assert (arguments.what, arguments.nodes) == (["scaling"], [1, 8])


def test_what_it_does_not_know_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        scale_cluster._arguments(["tails"])
    assert "tails cannot be measured; give scaling, corpus, tail or nothing for all" in capsys.readouterr().err
