"""How often circuits open for nothing, and how soon for something, with baselines that they have learned."""

import numpy as np
import pytest

from schemas.circuit import CircuitOpened
from tests.commands.circuits import calls, fold
from tests.commands.crowd import first_alarms

SEED = 20_261_123
RATES = (0.80, 0.85, 0.90, 0.95, 0.99)


def test_the_crowd_alarms_when_the_decider_does() -> None:
    chance = np.random.default_rng(SEED)
    rates = np.repeat(RATES, 4)
    failed = chance.random((1_500, len(rates))) < 1 - rates
    failed[1_200:] = chance.random((300, len(rates))) < 0.6
    alarms, _ = first_alarms(lambda call: failed[call - 1], len(rates), len(failed))
    for circuit, alarm in enumerate(alarms):
        outcomes = "".join("x" if one else "." for one in failed[: alarm or None, circuit])
        told = fold(calls(outcomes))[1]
        assert [type(event) for event in told] == ([CircuitOpened] if alarm else [])
        assert fold(calls(outcomes[:-1]))[1] == []


def test_at_most_one_percent_open_falsely_in_ten_thousand_calls_from_a_cold_start() -> None:
    of_each = 2_000
    failure = 1 - np.repeat(RATES, of_each)
    chance = np.random.default_rng(SEED)
    alarms, _ = first_alarms(
        lambda _: chance.random(len(failure), dtype=np.float32) < failure, len(failure), 10_000
    )
    false = (alarms > 0).reshape(len(RATES), of_each).mean(axis=1)
    assert (false <= 0.01).all(), false


@pytest.mark.parametrize("known", [0, 20, 100, 3_000])
def test_a_hard_outage_is_seen_in_about_ten_calls_however_little_is_known(known: int) -> None:
    of_each = 300
    rates = np.repeat(RATES, of_each)
    chance = np.random.default_rng(SEED)

    def failed(call: int) -> np.typing.NDArray[np.bool_]:
        return chance.random(len(rates)) < (1 - rates if call <= known else 0.95)

    alarms, _ = first_alarms(failed, len(rates), known + 100)
    delays = np.where(alarms > known, alarms - known, np.nan).reshape(len(RATES), of_each)
    assert (alarms > 0).all()
    assert (np.nanmean(delays, axis=1) <= 14).all(), np.nanmean(delays, axis=1)


@pytest.mark.parametrize(("rate", "at_most"), [(0.7, 95), (0.5, 30), (0.3, 15), (0.05, 9.5)])
def test_a_gateway_of_90_percent_that_drops_is_cut_off_in_time(rate: float, at_most: float) -> None:
    count, known = 500, 4_000
    chance = np.random.default_rng(SEED)
    alarms, _ = first_alarms(
        lambda call: chance.random(count) < (0.1 if call <= known else 1 - rate), count, known + 1_000
    )
    assert (alarms[alarms > known] - known).mean() <= at_most
