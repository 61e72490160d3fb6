"""What is kept of judged payments comes back in the order of time, whatever came first."""

from itertools import permutations

import numpy as np

from schemas.ids import GatewayId
from streams.what_if.rows import Row, Rows, Sorted
from tests.projections.story import new_payment_id

ALPHA, BETA, GAMMA = (GatewayId(name) for name in ("alpha", "beta", "gamma"))


def row(number: int, at: float, chosen: GatewayId, **propensities: float) -> Row:
    chances = {GatewayId(name): chance for name, chance in propensities.items()}
    return Row(
        at=at,
        payment_id=new_payment_id(number),
        customer=f"cus_{number % 2}",
        chosen=chosen,
        propensities=chances,
        target={GAMMA: 1.0},
        believed=dict.fromkeys(chances, 0.5),
        is_unrecorded=number == 3,
        rewards=(float("nan"), float(number % 2)),
        otherwise=(1.0, 0.0),
        parts=(f"m_{10 - number}", "INR"),
    )


KEPT = [
    row(1, 5.0, BETA, beta=0.75, alpha=0.25),
    row(2, 5.0, ALPHA, alpha=1.0),
    row(3, 4.0, BETA, beta=1.0),
]


def kept(*given: Row) -> Sorted:
    rows = Rows(metrics=2, dimensions=2)
    for one in given:
        rows.append(one)
    return rows.sorted()


def test_rows_are_in_the_order_of_time_and_of_payments_whatever_came_first() -> None:
    for given in permutations(KEPT):
        logged, rewards, _, (merchants, currencies) = kept(*given)
        assert logged.customers.tolist() == [1, 1, 0]
        assert logged.chosen.tolist() == [1, 1, 0]
        assert logged.propensities.tolist() == [[0, 1, 0], [0.25, 0.75, 0], [1, 0, 0]]
        assert logged.predicted.tolist() == [[0, 0.5, 0], [0.5, 0.5, 0], [0.5, 0, 0]]
        assert logged.target.tolist() == [[0, 0, 1]] * 3
        assert logged.unrecorded.tolist() == [1, 0, 0]
        assert rewards[1].tolist() == [1, 1, 0]
        assert np.isnan(rewards[0]).all()
        assert [merchants.known[number] for number in merchants.numbers] == ["m_7", "m_9", "m_8"]
        assert (currencies.known, currencies.numbers.tolist()) == (["INR"], [0, 0, 0])


def test_a_gateway_that_is_met_late_had_no_chance_before() -> None:
    logged = kept(row(1, 1.0, ALPHA, alpha=1.0), row(2, 2.0, BETA, alpha=0.5, beta=0.5)).logged
    assert logged.propensities.tolist() == [[1, 0, 0], [0.5, 0.5, 0]]
