"""How late the live projection is said to be: never less than it is, but for the time between two looks."""

from schemas.views import Watermark
from streams.rebuilding.lateness import Lateness


def at(next_offset: int, stamp_ms: int) -> dict[int, Watermark]:
    return {0: Watermark(next_offset=next_offset, last_stamp_ms=stamp_ms)}


def test_one_that_has_taken_in_all_there_is_is_not_late() -> None:
    assert Lateness().see(at(10, 1_000), {0: 10}, 9_000) == 0


def test_one_is_late_by_the_age_of_what_it_took_in_last() -> None:
    assert Lateness().see(at(10, 1_000), {0: 12}, 1_300) == 300


def test_the_first_record_after_a_long_silence_makes_nobody_late() -> None:
    lateness = Lateness()
    lateness.see(at(10, 1_000), {0: 10}, 60_000)
    assert lateness.see(at(10, 1_000), {0: 11}, 60_500) == 500


def test_one_that_does_not_move_is_later_at_every_look() -> None:
    lateness = Lateness()
    lateness.see(at(10, 1_000), {0: 10}, 60_000)
    looks = [lateness.see(at(10, 1_000), {0: 11 + n}, 60_500 + 500 * n) for n in range(4)]
    assert looks == [500, 1_000, 1_500, 2_000]


def test_the_latest_partition_counts() -> None:
    marks = {**at(10, 1_000), 1: Watermark(next_offset=5, last_stamp_ms=400)}
    assert Lateness().see(marks, {0: 12, 1: 9}, 1_300) == 900


def test_a_broker_whose_clock_is_ahead_makes_nobody_early() -> None:
    assert Lateness().see(at(10, 5_000), {0: 12}, 1_300) == 0
