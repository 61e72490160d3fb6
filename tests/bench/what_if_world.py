"""Hours that a bandit has routed through the real parts, as their payments' events, and what any policy is truly worth.

The truth is of the payments that came, with what was believed at every moment as it was: success rates are known, so
nothing of it is chance.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from math import prod
from typing import NamedTuple
from uuid import UUID

import numpy as np
from msgspec.structs import replace

from commands.routing.alternative import Rerouted, rerouted
from schemas import ids
from schemas.base import Event
from schemas.codec import PAYMENTS_TOPIC
from schemas.envelope import Position, Recorded, unowned
from schemas.ids import GatewayId, PaymentId
from schemas.outcome import Decline
from schemas.payment import (
    AttemptDeclined,
    AttemptStarted,
    AttemptSucceeded,
    Failure,
    PaymentFailed,
    PaymentRequested,
    PaymentRouted,
    PaymentSucceeded,
)
from schemas.routing_configuration import AlternativePolicy, RetryPolicy
from streams.what_if.evaluation import METRICS, Metric
from tests.bench.routing_world import BEGIN, ORDER, World
from tests.bench.scenarios import Scenario, uniforms

RETRIES = RetryPolicy(max_attempts=2)
PAYMENTS_PER_CUSTOMER = 3
_DECLINE = Decline(code="gateway_error", blame="gateway", retryable=True)


class Hour(NamedTuple):
    scenario: Scenario
    routes: tuple[PaymentRouted, ...]
    """Of every payment, in order."""
    run: int

    @classmethod
    def played(cls, scenario: Scenario, run: int) -> "Hour":
        routes: list[PaymentRouted] = []
        World(scenario, uniforms(scenario, run), bandit=True, told=routes.append).play()
        return cls(scenario, tuple(replace(one, policy=RETRIES) for one in routes), run)

    def events(self) -> Iterator[Recorded[Event]]:
        """First attempts fare as they did when they were learned from; a second has luck of its own."""
        rates, (luck, _) = self._rates(), uniforms(self.scenario, self.run)
        chance = np.random.default_rng([self.scenario.seed, self.run, 2])
        again = chance.random(len(luck))
        customers = chance.integers(0, max(len(luck) // PAYMENTS_PER_CUSTOMER, 1), len(luck))
        for number, routed in enumerate(self.routes):
            at = BEGIN + timedelta(seconds=number / self.scenario.transactions_per_second)
            payment = ids.payment_id(
                UUID(int=int(at.timestamp() * 1000) << 80 | 0x7 << 76 | 2 << 62 | number)
            )
            order = replace(ORDER, customer_id=f"cus_{customers[number]}")
            told: list[Event] = [
                PaymentRequested(order=order, key_hash="", fingerprint="", requested_at=at),
                routed,
            ]
            for place, uniform in enumerate((luck[number], again[number])):
                candidate = routed.candidates[place]
                succeeds = bool(uniform < rates[candidate.gateway][number])
                told += _attempt(payment, place + 1, candidate.gateway, at, succeeds=succeeds)
                if succeeds or len(routed.candidates) == 1:
                    break
            if not isinstance(told[-1], PaymentSucceeded):
                told.append(
                    PaymentFailed(failure=Failure(code="f", blame="gateway", customer_may_retry=True))
                )
            for place, event in enumerate(told):
                yield Recorded(
                    envelope=unowned(f"evt_{number}_{place}", payment, at, sequence=place + 1),
                    event=event,
                    position=Position(topic=PAYMENTS_TOPIC, partition=0, offset=8 * number + place),
                    stamp_ms=int(at.timestamp() * 1000),
                )

    def truth(self, policy: AlternativePolicy) -> dict[Metric, float]:
        """What it is better by than what routed the hour, in success rate."""
        rates, totals = self._rates(), dict.fromkeys(METRICS, 0.0)
        memory: dict[object, tuple[float, ...]] = {}
        for number, routed in enumerate(self.routes):
            assert routed.decision is not None
            was = Rerouted(routed.strategy, routed.candidates, routed.decision, routed.policy, ())
            other = rerouted(ORDER, routed, policy, memory)
            now = {gateway: several[number] for gateway, several in rates.items()}
            for sign, one in ((1, other), (-1, was)):
                for metric, value in zip(METRICS, _worth(one, now), strict=True):
                    totals[metric] += sign * value
        return {metric: total / len(self.routes) for metric, total in totals.items()}

    def _rates(self) -> dict[GatewayId, list[float]]:
        names = [GatewayId(one.name) for one in self.scenario.gateways]
        return dict(zip(names, self.scenario.rates().tolist(), strict=True))


def _worth(routed: Rerouted, rates: dict[GatewayId, float]) -> tuple[float, float]:
    """The probability that the first attempt succeeds, and that any does."""
    first = any_ = 0.0
    for candidate in routed.candidates:
        if candidate.propensity:
            order = routed.had_it_been(candidate.gateway)[: routed.retries.max_attempts]
            first += candidate.propensity * rates[candidate.gateway]
            any_ += candidate.propensity * (1 - prod(1 - rates[one.gateway] for one in order))
    return first, any_


def _attempt(
    payment: PaymentId, number: int, gateway: GatewayId, at: datetime, *, succeeds: bool
) -> list[Event]:
    attempt = ids.attempt_id(payment, 1, number)
    started = AttemptStarted(
        attempt_id=attempt,
        number=number,
        gateway=gateway,
        amount_minor=ORDER.amount_minor,
        currency=ORDER.currency,
        payment_method=ORDER.payment_method,
        timeout_ms=2_500,
        reason="first" if number == 1 else "after_declined",
        started_at=at + timedelta(milliseconds=200 * number),
    )
    if succeeds:
        return [
            started,
            AttemptSucceeded(attempt_id=attempt, gateway=gateway, gateway_reference="r", latency_ms=100),
            PaymentSucceeded(attempt_id=attempt, gateway=gateway, gateway_reference="r"),
        ]
    return [started, AttemptDeclined(attempt_id=attempt, gateway=gateway, decline=_DECLINE, latency_ms=100)]
