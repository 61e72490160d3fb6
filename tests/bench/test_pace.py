"""Whether the pace of verifiers is counted as it should be."""

from msgspec.structs import replace

from tests.bench.pace import Pace, most_in_a_second
from tests.builders import attempt_not_sent, attempt_succeeded, payment_succeeded, recorded


def test_the_fullest_second_begins_anywhere() -> None:
    assert most_in_a_second([]) == 0
    assert most_in_a_second([0, 999, 1_000, 1_500, 1_998, 2_000]) == 4


def test_what_a_verifier_settled_counts_to_its_gateway_and_what_was_never_in_doubt_does_not() -> None:
    pace = Pace()
    for event in (attempt_succeeded(), payment_succeeded()):
        pace.note(recorded(event, epoch=2, stamp_ms=5_000))
    usual = Pace()
    for event in (attempt_succeeded(), payment_succeeded()):
        usual.note(recorded(event, epoch=1, stamp_ms=5_000))
    assert pace.between(5_000, 6_000)["alpha"].settled == 1
    assert usual.stamps == {}


def test_a_second_end_and_a_second_writer_of_an_epoch_are_found() -> None:
    pace = Pace()
    first = recorded(attempt_not_sent(), epoch=2)
    pace.note(first)
    pace.note(replace(first, envelope=replace(first.envelope, correlation_id="another claim")))
    for event in (payment_succeeded(), payment_succeeded()):
        pace.note(recorded(event, epoch=3))
    assert (pace.ended_twice, pace.written_twice) == (1, 1)
