"""What an extraction calls the outcomes of decoding."""

from artifactscan.extract.extraction_tables import EXTRACTED_WHOLE, shown_outcome


def test_nothing_is_called_scored() -> None:
    shown = [shown_outcome(outcome) for outcome in ("scored", "partial", "undecodable")]
    assert shown == [EXTRACTED_WHOLE, "partial", "undecodable"]
