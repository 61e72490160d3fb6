"""What tests are made of, with defaults for everything that a test does not care about."""

from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from commands.routing.ranking import rank
from infra.clock import uuid7
from schemas import ids
from schemas.codec import PAYMENTS_TOPIC
from schemas.dimensions import Account, Dimensions, Earlier
from schemas.envelope import Envelope, Position, Recorded, Window
from schemas.gateway import GatewayConfiguration
from schemas.http import PaymentBody
from schemas.ids import AttemptId, GatewayId, PaymentId
from schemas.instrument import Instrument, PaymentMethod, Upi, UpiMasked
from schemas.outcome import (
    AwaitingCustomer,
    Blame,
    Decline,
    Declined,
    DoubtReason,
    InDoubt,
    NextAction,
    NotSent,
    NotSentReason,
    Outcome,
    Succeeded,
)
from schemas.payment import (
    AttemptAwaitingCustomer,
    AttemptDeclined,
    AttemptInDoubt,
    AttemptNotSent,
    AttemptStarted,
    AttemptSucceeded,
    Order,
    PaymentEvent,
    PaymentRequested,
    PaymentRouted,
    PaymentSucceeded,
    RecordOutcome,
    RequestPayment,
)
from schemas.routing import AttemptReason, Candidate, Decision, Excluded
from schemas.routing_configuration import RetryPolicy, ScoringWeights
from schemas.verification import Schedule

AT = datetime(2026, 11, 23, 9, 30, 0, 123_000, tzinfo=UTC)
SCHEDULE = Schedule(after_s=(90, 600, 7_200))
HORIZON_S = 3 * 86_400
DIMENSIONS = Dimensions(payment_method="UPI", amount_band="1e3", issuer="okhdfcbank")
AT_MS = int(AT.timestamp() * 1000)
PAYMENT: PaymentId = ids.payment_id(uuid7(AT_MS, bytes(range(10))))
CUSTOMER = ids.customer_token(PAYMENT)


def minted(milliseconds: int, chance: bytes = bytes(10)) -> PaymentId:
    return ids.payment_id(uuid7(milliseconds, chance))


# Commands and what they hold


def a_body(
    *,
    amount_minor: int = 129_900,
    currency: str = "INR",
    payment_method: PaymentMethod = "UPI",
    merchant_id: str = "mrc_1",
    customer_id: str = "cus_1",
    instrument: Instrument | None = None,
) -> PaymentBody:
    return PaymentBody(
        amount_minor=amount_minor,
        currency=currency,
        payment_method=payment_method,
        merchant_id=merchant_id,
        customer_id=customer_id,
        instrument=instrument or Upi(vpa="test.user@okhdfcbank"),
    )


def a_gateway(
    id: str = "alpha",
    *,
    payment_methods: tuple[PaymentMethod, ...] = ("UPI", "CARD"),
    currencies: tuple[str, ...] = ("INR",),
    enabled: bool = True,
    priority: int = 100,
    fee_bps: int = 0,
    minimum_amount_minor: int = 1,
    maximum_amount_minor: int | None = None,
    timeout_ms: int = 2_500,
    lookup_lag_ms: int = 2_000,
    horizon_s: int = HORIZON_S,
) -> GatewayConfiguration:
    return GatewayConfiguration(
        id=GatewayId(id),
        name=id.title(),
        adapter="simulator",
        base_url="http://127.0.0.1:1",
        payment_methods=payment_methods,
        currencies=currencies,
        enabled=enabled,
        priority=priority,
        fee_bps=fee_bps,
        minimum_amount_minor=minimum_amount_minor,
        maximum_amount_minor=maximum_amount_minor,
        timeout_ms=timeout_ms,
        lookup_lag_ms=lookup_lag_ms,
        horizon_s=horizon_s,
    )


def gateways(*names: str) -> tuple[GatewayConfiguration, ...]:
    """In the order they are to be tried."""
    return tuple(a_gateway(name, priority=place) for place, name in enumerate(names, start=1))


def an_order(
    *, amount_minor: int = 129_900, currency: str = "INR", payment_method: PaymentMethod = "UPI"
) -> Order:
    return Order(
        merchant_id="mrc_1",
        customer_id="cus_1",
        amount_minor=amount_minor,
        currency=currency,
        payment_method=payment_method,
        instrument=UpiMasked(vpa_masked="***@okhdfcbank", handle="okhdfcbank"),
    )


def a_request(
    *,
    order: Order | None = None,
    policy: RetryPolicy | None = None,
    to: tuple[GatewayConfiguration, ...] | None = None,
    epoch: int = 1,
) -> RequestPayment:
    return RequestPayment(
        payment_id=PAYMENT,
        order=order or an_order(),
        customer=CUSTOMER,
        key_hash="5e0c",
        fingerprint="f1a9",
        policy=policy or RetryPolicy(),
        gateways=gateways("alpha", "beta", "gamma") if to is None else to,
        schedule=SCHEDULE,
        epoch=epoch,
        at=AT,
    )


def the_outcome(
    outcome: Outcome, *, of: int = 1, epoch: int = 1, latency_ms: int = 80, elapsed_ms: int = 100
) -> RecordOutcome:
    """What the call of attempt number `of` came to."""
    return RecordOutcome(
        payment_id=PAYMENT,
        attempt_id=attempt(of, epoch),
        outcome=outcome,
        latency_ms=latency_ms,
        elapsed_ms=elapsed_ms,
        schedule=SCHEDULE,
        epoch=epoch,
        at=AT,
    )


# Outcomes


def success(reference: str = "txn_1") -> Succeeded:
    return Succeeded(gateway_reference=reference)


def declined(
    code: str = "insufficient_funds", *, blame: Blame = "customer", retryable: bool = False
) -> Declined:
    return Declined(decline=Decline(code=code, blame=blame, retryable=retryable))


def retryable_decline() -> Declined:
    return declined("issuer_unavailable", blame="issuer", retryable=True)


def not_sent(reason: NotSentReason = "connect") -> NotSent:
    return NotSent(reason=reason)


def in_doubt(reason: DoubtReason = "read_timeout") -> InDoubt:
    return InDoubt(reason=reason)


def awaiting() -> AwaitingCustomer:
    return AwaitingCustomer(gateway_reference="txn_1", next_action=NextAction(type="upi_collect"))


# Events


def attempt(number: int = 1, epoch: int = 1) -> AttemptId:
    return ids.attempt_id(PAYMENT, epoch, number)


def requested(order: Order | None = None) -> PaymentRequested:
    """As it is on the log: with a token for the customer."""
    named = replace(order or an_order(), customer_id=CUSTOMER)
    return PaymentRequested(order=named, key_hash="5e0c", fingerprint="f1a9", requested_at=AT)


def routed(
    *names: str, excluded: tuple[Excluded, ...] = (), policy: RetryPolicy | None = None
) -> PaymentRouted:
    """As it is decided where nothing is known of any gateway yet."""
    names = names or ("alpha", "beta", "gamma")
    decision = Decision(segment="UPI", draw=0.0, weights=ScoringWeights())
    bare = [
        Candidate(gateway=GatewayId(name), priority=place, fee_bps=0, timeout_ms=2_500, horizon_s=HORIZON_S)
        for place, name in enumerate(names, start=1)
    ]
    strategy, candidates = rank(bare, decision)
    return PaymentRouted(
        strategy=strategy,
        reason=f"{names[0]} has the best score of {len(names)}",
        candidates=candidates,
        excluded=excluded,
        policy=policy or RetryPolicy(),
        decision=decision,
    )


def started(
    number: int = 1,
    gateway: str = "alpha",
    *,
    epoch: int = 1,
    timeout_ms: int = 2_500,
    reason: AttemptReason = "first",
) -> AttemptStarted:
    return AttemptStarted(
        attempt_id=attempt(number, epoch),
        number=number,
        gateway=GatewayId(gateway),
        amount_minor=129_900,
        currency="INR",
        payment_method="UPI",
        timeout_ms=timeout_ms,
        reason=reason,
        started_at=AT,
        first_check_at=AT + timedelta(seconds=SCHEDULE.first_s),
        final_check_at=AT + timedelta(seconds=HORIZON_S),
        dimensions=DIMENSIONS,
    )


def account(instead_of: Earlier | None = None) -> Account:
    return Account(dimensions=DIMENSIONS, started_at=AT, instead_of=instead_of)


def attempt_succeeded(
    number: int = 1, gateway: str = "alpha", *, instead_of: Earlier | None = None
) -> AttemptSucceeded:
    return AttemptSucceeded(
        attempt_id=attempt(number),
        gateway=GatewayId(gateway),
        gateway_reference="txn_1",
        latency_ms=80,
        account=account(instead_of),
    )


def attempt_declined(
    outcome: Declined, number: int = 1, gateway: str = "alpha", *, instead_of: Earlier | None = None
) -> AttemptDeclined:
    return AttemptDeclined(
        attempt_id=attempt(number),
        gateway=GatewayId(gateway),
        decline=outcome.decline,
        latency_ms=80,
        account=account(instead_of),
    )


def attempt_not_sent(
    number: int = 1,
    gateway: str = "alpha",
    reason: NotSentReason = "connect",
    *,
    instead_of: Earlier | None = None,
) -> AttemptNotSent:
    return AttemptNotSent(
        attempt_id=attempt(number),
        gateway=GatewayId(gateway),
        reason=reason,
        latency_ms=80,
        account=account(instead_of),
    )


def attempt_in_doubt(
    number: int = 1,
    gateway: str = "alpha",
    reason: DoubtReason = "read_timeout",
    *,
    instead_of: Earlier | None = None,
) -> AttemptInDoubt:
    return AttemptInDoubt(
        attempt_id=attempt(number),
        gateway=GatewayId(gateway),
        reason=reason,
        latency_ms=80,
        account=account(instead_of),
    )


def attempt_awaiting(number: int = 1, gateway: str = "alpha") -> AttemptAwaitingCustomer:
    return AttemptAwaitingCustomer(
        attempt_id=attempt(number),
        gateway=GatewayId(gateway),
        gateway_reference="txn_1",
        next_action=NextAction(type="upi_collect"),
        latency_ms=80,
        account=account(),
    )


def payment_succeeded(number: int = 1, gateway: str = "alpha") -> PaymentSucceeded:
    return PaymentSucceeded(attempt_id=attempt(number), gateway=GatewayId(gateway), gateway_reference="txn_1")


# Records


def recorded(
    event: PaymentEvent,
    *,
    offset: int = 0,
    epoch: int = 1,
    stamp_ms: int = 1_000,
    valid_from_ms: int = 0,
    valid_until_ms: int = 10_000,
) -> Recorded[PaymentEvent]:
    return Recorded(
        envelope=Envelope(
            event_id=f"evt_{offset}",
            aggregate_id=PAYMENT,
            sequence=offset + 1,
            at=AT,
            epoch=epoch,
            window=Window(valid_from_ms=valid_from_ms, valid_until_ms=valid_until_ms),
            correlation_id="req_1",
            causation_id="req_1",
        ),
        event=event,
        position=Position(topic=PAYMENTS_TOPIC, partition=0, offset=offset),
        stamp_ms=stamp_ms,
    )
