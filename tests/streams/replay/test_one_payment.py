"""What is told of one payment: what happened, as it stood at any moment, and why it went where it went."""

from datetime import UTC, datetime

from msgspec.structs import replace

from commands.routing.route import route
from schemas.base import Event
from schemas.envelope import Recorded
from schemas.payment import PaymentRouted
from schemas.routing import Facts
from schemas.routing_configuration import BanditPolicy, RetryPolicy, RoutingConfiguration
from streams.replay.explanation import explain
from streams.replay.timeline import money, timeline
from streams.replay.trail import state_at
from tests.builders import an_order, gateways
from tests.projections.story import (
    BEGIN_MS,
    BETA,
    SECOND,
    declined,
    paid,
    recorded,
    requested,
    routed,
    started,
    succeeded,
)

STORY = [
    requested(),
    routed(),
    started(),
    declined(),
    started(SECOND, BETA),
    succeeded(SECOND, BETA),
    paid(SECOND, BETA),
]


def story(*events: Event) -> list[Recorded[Event]]:
    """Ten milliseconds apart."""
    return [recorded(event, offset) for offset, event in enumerate(events or STORY)]


def at(ms: int) -> datetime:
    return datetime.fromtimestamp((BEGIN_MS + ms) / 1000, UTC)


def test_a_payment_stands_at_a_moment_as_what_was_stamped_by_then_makes_it() -> None:
    records = story()
    statuses = []
    for ms in (-1, 0, 25, 35, 60):
        history = state_at(records, at(ms))
        statuses.append(history and (history.payment.status, [one.status for one in history.attempts]))
    assert statuses == [
        None,
        ("PENDING_VERIFICATION", []),
        ("PENDING_VERIFICATION", ["STARTED"]),
        ("PENDING_VERIFICATION", ["DECLINED"]),
        ("SUCCESS", ["DECLINED", "SUCCEEDED"]),
    ]
    assert state_at(records, None) == state_at(records, at(60))


def test_a_payment_with_nothing_but_void_records_does_not_exist() -> None:
    late = recorded(requested(), stamp_ms=BEGIN_MS + 15_000)
    assert state_at([late], None) is None
    assert explain([late]) is None


def test_a_timeline_tells_every_record_and_which_of_them_do_not_count() -> None:
    late = recorded(paid(), 7, stamp_ms=BEGIN_MS + 16_000)
    told = timeline([*story(), late])
    assert [(one.event, one.since_first_ms, one.is_void) for one in told[-2:]] == [
        ("PaymentSucceeded", 60, False),
        ("PaymentSucceeded", 16_000, True),
    ]
    assert told[0].what == "INR 499.00 by UPI for merchant, from customer"
    assert told[3].what.startswith(
        "alpha declined: gateway_timeout, the doing of gateway, another may be tried"
    )
    assert all(one.what for one in told)


def test_money_is_told_in_units_of_its_currency() -> None:
    assert (money(129_900, "INR"), money(5_000, "JPY")) == ("INR 1,299.00", "JPY 5,000")


def decided(draw: float = 0.5) -> PaymentRouted:
    facts = Facts(configuration=RoutingConfiguration(bandits={"*": BanditPolicy(enabled=True)}))
    return route(an_order(), gateways("alpha", "beta"), RetryPolicy(), facts, draw)


def test_an_explanation_has_every_decision_with_what_it_was_made_of() -> None:
    choice = decided()
    found = explain(story(requested(), choice, started(), succeeded(), paid()))
    assert found is not None
    (told,) = found.choices
    assert (told.candidates, told.draw, told.strategy, told.recomputed) == (
        choice.candidates,
        0.5,
        "THOMPSON",
        "follows",
    )
    assert (found.status, found.gateway, [one.status for one in found.attempts]) == (
        "SUCCESS",
        "alpha",
        ["SUCCEEDED"],
    )


def test_an_explanation_says_where_a_decision_does_not_follow_from_what_it_recorded() -> None:
    choice = decided()
    turned = replace(choice, candidates=choice.candidates[::-1])
    explained = [explain(story(requested(), one)) for one in (turned, routed())]
    assert [one and one.choices[0].recomputed for one in explained] == ["differs", "recorded too little"]
