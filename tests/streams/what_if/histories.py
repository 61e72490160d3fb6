"""Payments as they stand on the log after a bandit has routed them among gateways whose success rates are known."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

import numpy as np
from msgspec.structs import replace

from commands.routing.route import route
from schemas import ids
from schemas.base import Event
from schemas.envelope import Recorded
from schemas.ids import GatewayId, PaymentId
from schemas.payment import Order, PaymentRequested
from schemas.routing import Candidate, Facts, Posterior
from schemas.routing_configuration import BanditPolicy, RetryPolicy, RoutingConfiguration, RoutingRules
from tests.builders import an_order, gateways
from tests.projections.story import (
    BEGIN,
    WINDOW,
    declined,
    failed,
    new_payment_id,
    paid,
    recorded,
    started,
    succeeded,
)

RATES: Mapping[str, float] = {"alpha": 0.9, "beta": 0.8, "gamma": 0.7}
NO_RULES = RoutingRules()
TWICE = RetryPolicy(max_attempts=2)
EXPLORING = BanditPolicy(enabled=True, exploration_share=1, expected_loss=1)


def facts(policy: BanditPolicy = EXPLORING, rules: RoutingRules = NO_RULES) -> Facts:
    """So little is known that the bandit tries all."""
    return Facts(
        configuration=RoutingConfiguration(bandits={"*": policy}, rules=rules),
        posteriors={
            (GatewayId(name), "UPI"): Posterior(alpha=10 * rate, beta=10 * (1 - rate))
            for name, rate in RATES.items()
        },
    )


def a_history(
    seed: int,
    payments: int,
    known: Facts | None = None,
    *,
    retries: RetryPolicy = TWICE,
    customers: int = 400,
    begin: datetime = BEGIN,
) -> Iterator[Recorded[Event]]:
    """In the order of their offsets: every payment with all its attempts, one after another."""
    chance = np.random.default_rng(seed)
    known = known or facts()
    offset = 0
    for number in range(payments):
        order = replace(an_order(), customer_id=f"cus_{chance.integers(customers)}")
        for event in events_of(number, order, known, retries, chance, begin):
            window = replace(WINDOW, valid_until_ms=2**62)
            yield recorded(event, offset, payment=_payment(number, begin), window=window)
            offset += 1


def _payment(number: int, begin: datetime) -> PaymentId:
    return new_payment_id(number, round(begin.timestamp() * 1000))


def events_of(
    number: int,
    order: Order,
    known: Facts,
    retries: RetryPolicy,
    chance: np.random.Generator,
    begin: datetime,
) -> Iterator[Event]:
    payment, at = _payment(number, begin), begin + timedelta(seconds=number)
    routed = route(order, gateways(*RATES), retries, known, float(chance.random()))
    yield PaymentRequested(order=order, key_hash=str(number), fingerprint="f", requested_at=at)
    yield routed
    yield from tried(payment, routed.candidates[: retries.max_attempts], at, chance)


def tried(
    payment: PaymentId, candidates: Sequence[Candidate], at: datetime, chance: np.random.Generator
) -> Iterator[Event]:
    for place, candidate in enumerate(candidates, start=1):
        attempt = ids.attempt_id(payment, 1, place)
        begun = replace(started(attempt, candidate.gateway), started_at=at + timedelta(seconds=place))
        yield begun
        if chance.random() < RATES[candidate.gateway]:
            yield succeeded(attempt, candidate.gateway)
            yield paid(attempt, candidate.gateway)
            return
        yield declined(attempt, candidate.gateway)
    yield failed()
