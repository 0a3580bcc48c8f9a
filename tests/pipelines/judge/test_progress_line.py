"""The progress of a judgement."""

import io

from judge_answers import answer, answers_table

from artifactscan.pipelines.judge.progress_line import ProgressLine


def test_answers_are_counted_by_outcome_and_passed_on() -> None:
    stream = io.StringIO()
    batches = [answers_table(answer(0, "0000"), answer(1, None)), answers_table(answer(2, "0000"))]
    with ProgressLine(3, quiet=False, stream=stream) as progress:
        assert list(progress.count(batches)) == batches
    [line] = stream.getvalue().splitlines()
    assert line.startswith("3/3 questions  ")
    assert line.endswith(" a minute  2 judged, 1 failed")


def test_quiet_prints_nothing() -> None:
    stream = io.StringIO()
    with ProgressLine(1, quiet=True, stream=stream) as progress:
        assert len(list(progress.count([answers_table(answer(0, "0000"))]))) == 1
    assert stream.getvalue() == ""
