"""The rebuild works while the live projection is on time, and makes room for it when it is not."""

from hypothesis import given
from hypothesis import strategies as st

from streams.rebuilding.pace import USUAL, Pace, paced

lags = st.floats(0, 60_000)
paces = st.builds(Pace, rest=st.floats(USUAL.least_rest, USUAL.most_rest), is_holding=st.booleans())


def after(*looks_ms: float) -> Pace:
    pace = Pace()
    for lag_ms in looks_ms:
        pace = paced(pace, lag_ms)
    return pace


def test_it_works_ever_harder_while_the_live_one_is_on_time() -> None:
    assert after(*[0.0] * 30) == Pace(rest=USUAL.least_rest)


def test_it_rests_longer_when_the_live_one_is_a_little_late() -> None:
    assert after(*[0.0] * 30, 800) == Pace(rest=USUAL.least_rest * USUAL.longer)


def test_it_stands_still_from_when_the_live_one_is_very_late_until_it_is_calm() -> None:
    assert after(1_400).is_holding
    assert after(1_400, 800).is_holding
    assert not after(1_400, 800, 700).is_holding


def test_it_begins_gently_again_after_it_stood_still() -> None:
    assert after(*[0.0] * 30, *[5_000.0] * 10, 0.0).rest > 5 * USUAL.least_rest


@given(paces, lags)
def test_it_always_rests_and_never_for_ever(pace: Pace, lag_ms: float) -> None:
    assert USUAL.least_rest <= paced(pace, lag_ms).rest <= USUAL.most_rest


@given(paces, lags, lags)
def test_a_later_live_one_never_has_it_work_more(pace: Pace, one: float, other: float) -> None:
    less, more = (paced(pace, lag_ms) for lag_ms in sorted((one, other)))
    assert (less.is_holding, less.rest) <= (more.is_holding, more.rest)


@given(paces)
def test_it_is_back_at_full_work_a_quarter_of_a_minute_after_the_live_one_is_on_time(pace: Pace) -> None:
    for _ in range(30):
        pace = paced(pace, 0)
    assert pace == Pace(rest=USUAL.least_rest)
