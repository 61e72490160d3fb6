"""What a payment's record tells the circuit of its gateway."""

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from commands.circuit_messages import TELLING, message_of
from schemas.circuit import CallObserved, ProbeReturned, ProbeStarted
from schemas.dimensions import Earlier
from schemas.payment import AttemptDeclined, AttemptNotSent, AttemptSucceeded, PaymentEvent
from tests.builders import (
    account,
    attempt,
    attempt_awaiting,
    attempt_declined,
    attempt_in_doubt,
    attempt_not_sent,
    attempt_succeeded,
    declined,
    payment_succeeded,
    recorded,
    requested,
    routed,
    started,
)
from tests.schemas.instances import INSTANCES

STAMP = datetime.fromtimestamp(1, UTC)


@pytest.mark.parametrize(
    "event, is_failure",
    [
        (attempt_succeeded(), False),
        (attempt_awaiting(), False),
        (attempt_declined(declined(blame="customer")), False),
        (attempt_declined(declined(blame="issuer")), False),
        (attempt_declined(declined(blame="gateway")), True),
        (attempt_not_sent(reason="connect"), True),
        (attempt_in_doubt(), True),
    ],
)
def test_an_outcome_says_whether_the_gateway_failed(event: PaymentEvent, is_failure: bool) -> None:
    assert message_of(recorded(event, offset=7)) == CallObserved(
        gateway=started().gateway,
        payment_method="UPI",
        attempt_id=attempt(),
        is_failure=is_failure,
        latency_ms=80,
        at=STAMP,
        source_partition=0,
        source_offset=7,
    )


@pytest.mark.parametrize(
    "event",
    [
        attempt_declined(declined(blame="caller")),
        attempt_not_sent(reason="too_busy"),
        attempt_not_sent(reason="switched_off"),
        replace(attempt_succeeded(), verified=True),
        replace(attempt_declined(declined(blame="gateway")), verified=True),
        replace(attempt_not_sent(), verified=True),
        replace(attempt_in_doubt(), account=None),
        started(),
        requested(),
        routed(),
        payment_succeeded(),
    ],
)
def test_what_tells_nothing_of_a_gateway_now_is_not_forwarded(event: PaymentEvent) -> None:
    assert message_of(recorded(event)) is None


AWAITED = account(Earlier(kind="awaiting_customer"))


def test_a_gateway_that_fails_after_the_customer_has_acted_has_failed() -> None:
    failed = replace(attempt_declined(declined(blame="gateway")), verified=True, account=AWAITED)
    message = message_of(recorded(failed))
    assert isinstance(message, CallObserved)
    assert message.is_failure


@pytest.mark.parametrize(
    "event", [attempt_succeeded(), attempt_declined(declined(blame="customer"))], ids=["paid", "declined"]
)
def test_a_call_that_brought_the_customer_in_is_not_told_twice(
    event: AttemptSucceeded | AttemptDeclined,
) -> None:
    assert message_of(recorded(replace(event, verified=True, account=AWAITED))) is None


def test_a_void_record_tells_nothing() -> None:
    assert message_of(recorded(attempt_in_doubt(), valid_until_ms=1_000)) is None


def test_a_probe_is_told_when_it_starts_and_its_outcome_names_its_lease() -> None:
    message = message_of(recorded(replace(started(), probe="3.1"), offset=4))
    assert message == ProbeStarted(
        gateway=started().gateway,
        payment_method="UPI",
        attempt_id=attempt(),
        lease="3.1",
        at=STAMP,
        source_partition=0,
        source_offset=4,
    )
    ended = message_of(recorded(replace(attempt_in_doubt(), account=replace(account(), probe="3.1"))))
    assert isinstance(ended, CallObserved)
    assert ended.lease == "3.1"


@pytest.mark.parametrize(
    "event",
    [attempt_declined(declined(blame="caller")), attempt_not_sent(reason="too_busy")],
    ids=["refused", "busy"],
)
def test_a_probe_that_ended_by_our_own_doing_is_returned(event: AttemptDeclined | AttemptNotSent) -> None:
    probing = replace(event, account=replace(account(), probe="3.1"))
    assert message_of(recorded(probing, offset=9)) == ProbeReturned(
        gateway=started().gateway,
        payment_method="UPI",
        attempt_id=attempt(),
        lease="3.1",
        at=STAMP,
        source_partition=0,
        source_offset=9,
    )


def test_an_event_that_the_forwarder_does_not_read_tells_nothing() -> None:
    others = [event for event in INSTANCES if not isinstance(event, TELLING)]
    assert others
    assert not any(message_of(recorded(event)) for event in others)  # type: ignore[arg-type]
