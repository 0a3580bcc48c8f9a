"""Which answers of a judge are believed."""

import json

import pytest
from judge_server import answer_text

from artifactscan.judge.answer import AnswerError, parse_answer
from artifactscan.judge.prompt import answer_schema
from artifactscan.labels import LABELS

GOOD = {"reason": "a melting hand, left", "boundary": 3, "texture": 0, "motion": 2, "object": 1}


def test_four_grades_and_a_reason_are_read_in_label_order() -> None:
    shuffled = dict(reversed(GOOD.items()))
    for text in (json.dumps(GOOD), f"\n {json.dumps(shuffled, indent=1)}\n"):
        grades = parse_answer(text)
        assert (grades.severities, grades.reason) == ((3, 0, 2, 1), "a melting hand, left")


def test_a_reason_is_one_printable_line() -> None:
    assert parse_answer(json.dumps(GOOD | {"reason": "a\n\x1b[31m b "})).reason == "a \\x1b[31m b"
    assert len(parse_answer(json.dumps(GOOD | {"reason": "x" * 10_000})).reason) == 500


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is not a JSON object but ''"),
        ("The frame shows a melting hand: boundary 3.", "it is not a JSON object but 'The frame shows"),
        (f"```json\n{json.dumps(GOOD)}\n```", "it is not a JSON object but '```json"),
        (f"{json.dumps(GOOD)} I hope this helps!", "it is not a JSON object but"),
        (json.dumps(GOOD)[:-5], "it is not a JSON object but"),
        ("<html><body>boundary: 3</body></html>", "it is not a JSON object but '<html>"),
        (json.dumps([GOOD]), "it is not a JSON object but"),
        ("3", "it is not a JSON object but '3'"),
        ("[" * 100_000, "it is not a JSON object but"),
        (json.dumps({key: value for key, value in GOOD.items() if key != "motion"}), "it has no motion"),
        (json.dumps({key: value for key, value in GOOD.items() if key != "reason"}), "it has no reason"),
        (json.dumps(GOOD | {"lighting": 2}), "it has a key 'lighting' that nobody asked for"),
        (json.dumps(GOOD | {"texture": 4}), "texture is 4, not a whole number from 0 to 3"),
        (json.dumps(GOOD | {"texture": -1}), "texture is -1, not"),
        (json.dumps(GOOD | {"texture": 2.0}), "texture is 2.0, not"),
        (json.dumps(GOOD | {"texture": "2"}), 'texture is "2", not'),
        (json.dumps(GOOD | {"texture": True}), "texture is true, not"),
        (json.dumps(GOOD | {"texture": None}), "texture is null, not"),
        (json.dumps(GOOD | {"reason": "  "}), "it gives no reason"),
        (json.dumps(GOOD | {"reason": 3}), "it gives no reason"),
        (json.dumps(GOOD)[:-1] + ', "boundary": 0}', "it gives boundary twice"),
        (answer_text({}).replace(": 0", ": NaN", 1), "it holds NaN, which is not JSON"),
    ],
)
def test_anything_else_is_not_believed(text: str, why: str) -> None:
    with pytest.raises(AnswerError) as raised:
        parse_answer(text)
    assert str(raised.value).startswith(why)


def test_the_schema_of_an_answer_lets_these_answers_through_and_no_others() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    for second in (False, True):
        schema = answer_schema(second=second)
        jsonschema.validate(GOOD, schema)
        for wrong in (GOOD | {"texture": 4}, GOOD | {"texture": 1.5}, GOOD | {"more": 1}, {"reason": "x"}):
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate(wrong, schema)
    assert list(answer_schema()["properties"]) == ["reason", *LABELS]
    assert list(answer_schema(second=True)["properties"]) == ["reason", *reversed(LABELS)]
