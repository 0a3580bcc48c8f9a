"""Reads a judge's answer: exactly four grades and a reason, or nothing."""

import json
from dataclasses import dataclass
from typing import Any, NoReturn

from artifactscan.judge.prompt import REASON
from artifactscan.labels import LABELS, MAX_SEVERITY
from artifactscan.messages.text import printable

_SHOWN = 60
_MAX_REASON = 500
"""Characters of a reason that are kept."""


class AnswerError(ValueError):
    """An answer that is not believed; the message says what is wrong with it."""


@dataclass(frozen=True, kw_only=True)
class Grades:
    """A frame's grades by a judge."""

    severities: tuple[int, ...]
    """0 to MAX_SEVERITY, in label order."""
    reason: str


def parse_answer(text: str) -> Grades:
    """The grades in an answer, which must be one JSON object of the answer's schema; AnswerError for anything else.

    Nothing is guessed: no JSON is picked out of prose or markup, and ``2.0``, ``"2"`` and ``true`` are no grades.
    """
    try:
        found = json.loads(text, object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        if isinstance(error, AnswerError):
            raise
        raise AnswerError(f"it is not a JSON object but '{printable(text.strip(), _SHOWN)}'") from None
    if not isinstance(found, dict):
        raise AnswerError(f"it is not a JSON object but '{printable(text.strip(), _SHOWN)}'")
    if missing := [key for key in (*LABELS, REASON) if key not in found]:
        raise AnswerError(f"it has no {missing[0]}")
    if unknown := [key for key in found if key not in (*LABELS, REASON)]:
        raise AnswerError(f"it has a key '{printable(unknown[0], _SHOWN)}' that nobody asked for")
    for label in LABELS:
        if type(found[label]) is not int or not 0 <= found[label] <= MAX_SEVERITY:
            value = printable(json.dumps(found[label]), _SHOWN)
            raise AnswerError(f"{label} is {value}, not a whole number from 0 to {MAX_SEVERITY}")
    reason = found[REASON]
    if not isinstance(reason, str) or not reason.strip():
        raise AnswerError("it gives no reason")
    reason = printable(" ".join(reason.split()), _MAX_REASON)
    return Grades(severities=tuple(found[label] for label in LABELS), reason=reason)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    if repeated := [key for key in keys if keys.count(key) > 1]:
        raise AnswerError(f"it gives {printable(repeated[0], _SHOWN)} twice")
    return dict(pairs)


def _refuse_constant(name: str) -> NoReturn:
    raise AnswerError(f"it holds {name}, which is not JSON")
