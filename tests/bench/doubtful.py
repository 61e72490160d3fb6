"""A backlog straight onto the topic: payments in doubt, handed over and due, as their owner would have left them."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from hashlib import sha256

from commands.payment import decide
from commands.payment_state import INITIAL, PaymentState, evolve
from infra.clock import SystemClock
from infra.kafka.partition import partition_for
from infra.kafka.producer import Message, Publisher
from schemas.codec import PAYMENTS_TOPIC, encode
from schemas.envelope import Envelope, Outgoing, Window
from schemas.gateway import GatewayConfiguration
from schemas.ids import AttemptId, attempt_id, customer_token
from schemas.instrument import UpiMasked
from schemas.outcome import InDoubt
from schemas.payment import HandOverPayment, Order, PaymentEvent, RecordOutcome, RequestPayment
from schemas.routing_configuration import RetryPolicy
from schemas.verification import Schedule

AGO = timedelta(minutes=10)
"""So long ago the first of them was asked for: its gateway's own lag is over."""
SCHEDULE = Schedule(after_s=(5, 86_400))
WINDOW_MS = 60_000
AMOUNT_MINOR, CURRENCY = 1_000, "INR"
TOGETHER = 50
"""Records of one partition that are sent in one go: batches are as small as those of a busy API."""
AT_ONCE = 12


async def put_on_topic(
    publisher: Publisher, gateways: Sequence[GatewayConfiguration], payments: int
) -> list[tuple[AttemptId, GatewayConfiguration]]:
    """Every attempt, with the gateway that it is in doubt at; they take turns, and are due one after the other."""
    clock, turns = SystemClock(), asyncio.Semaphore(AT_ONCE)
    attempts: list[tuple[AttemptId, GatewayConfiguration]] = []

    def made() -> Iterator[tuple[str, list[Message]]]:
        begun = clock.now() - AGO
        for number in range(payments):
            gateway, at = gateways[number % len(gateways)], begun + timedelta(milliseconds=number)
            command = _request(clock, number, gateway, at)
            attempts.append((attempt_id(command.payment_id, 1, 1), gateway))
            key = command.payment_id.encode()
            yield command.payment_id, [(key, *encode(one)) for one in _records(clock, command)]

    async def send(partition: int, messages: list[Message]) -> None:
        try:
            await publisher.publish(PAYMENTS_TOPIC, partition, messages)
        finally:
            turns.release()

    async with asyncio.TaskGroup() as sending:
        for partition, messages in _by_partition(made()):
            await turns.acquire()
            sending.create_task(send(partition, messages))
            await asyncio.sleep(0)  # making them takes all of the processor
    return attempts


def _by_partition(payments: Iterable[tuple[str, list[Message]]]) -> Iterator[tuple[int, list[Message]]]:
    """A payment's records together and in order; partitions in turn, as they have enough."""
    waiting: dict[int, list[Message]] = defaultdict(list)
    for payment_id, messages in payments:
        partition = partition_for(payment_id)
        waiting[partition] += messages
        if len(waiting[partition]) >= TOGETHER:
            yield partition, waiting.pop(partition)
    yield from waiting.items()


def _request(clock: SystemClock, number: int, gateway: GatewayConfiguration, at: datetime) -> RequestPayment:
    order = Order(
        merchant_id=f"m_{number % 20:03}",
        customer_id=f"cust_{number}",
        amount_minor=AMOUNT_MINOR,
        currency=CURRENCY,
        payment_method="UPI",
        instrument=UpiMasked(vpa_masked="***@okhdfcbank", handle="okhdfcbank"),
    )
    payment_id = clock.payment_id()
    digest = sha256(payment_id.encode()).hexdigest()
    return RequestPayment(
        payment_id=payment_id,
        order=order,
        customer=customer_token(payment_id),
        key_hash=digest,
        fingerprint=digest,
        policy=RetryPolicy(),
        gateways=(gateway,),
        schedule=SCHEDULE,
        epoch=1,
        at=at,
    )


def _records(clock: SystemClock, command: RequestPayment) -> Iterator[Outgoing[PaymentEvent]]:
    now = clock.now()
    window = Window(valid_from_ms=0, valid_until_ms=round(now.timestamp() * 1000) + WINDOW_MS)
    for sequence, event in enumerate(_story(command), start=1):
        envelope = Envelope(
            event_id=clock.event_id(),
            aggregate_id=command.payment_id,
            sequence=sequence,
            at=command.at,
            epoch=1,
            window=window,
            correlation_id="backlog",
            causation_id="backlog",
        )
        yield Outgoing(envelope=envelope, event=event)


def _story(command: RequestPayment) -> Iterator[PaymentEvent]:
    """What its owner would have decided: the attempt timed out, and that was its last word."""
    state: PaymentState = INITIAL
    timed_out = RecordOutcome(
        payment_id=command.payment_id,
        attempt_id=attempt_id(command.payment_id, 1, 1),
        outcome=InDoubt(reason="read_timeout"),
        latency_ms=2_500,
        elapsed_ms=2_510,
        schedule=command.schedule,
        epoch=1,
        at=command.at,
    )
    for told in (command, timed_out, HandOverPayment()):
        for event in decide(told, state):
            state = evolve(state, event)
            yield event
