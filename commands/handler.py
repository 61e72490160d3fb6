"""The write path: reserve, write ahead, call, record, answer. No payment is charged twice, whatever stops in between.

Each step that could not be confirmed is treated as having happened in the worst way: a record that was not
acknowledged may be on the log, a call that was not answered may have charged.
"""

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any

import msgspec

from commands.fingerprints import Fingerprints, key_hash
from commands.ownership import Owner, fold, is_owned_by
from commands.payment import decide, of_customer
from commands.payment_state import INITIAL, Open, PaymentState, Settled
from commands.ports import Clock, EventLog, Gateways, Histories, Probes, Reservations, RoutingFacts, Shadow
from commands.routing.attributes import listed
from commands.routing.kill_switches import out_of_service, shut
from commands.routing.probing import testable
from commands.routing.retry import LEAST_TIMEOUT_MS
from commands.writer import PaymentWriter
from schemas.base import Value
from schemas.charge import Charge
from schemas.envelope import LONGEST_WINDOW_MS, Recorded, Window
from schemas.errors import Refusal, Refused, Unavailable
from schemas.http import PaymentBody
from schemas.ids import GatewayId, PaymentId, customer_token
from schemas.instrument import masked
from schemas.outcome import NotSent, Outcome
from schemas.payment import (
    AttemptStarted,
    HandOverPayment,
    Order,
    PaymentEvent,
    PaymentRouted,
    RecordOutcome,
    RequestPayment,
    TakeOverPayment,
)
from schemas.reservation import Held, Reservation
from schemas.routing import Probe

WINDOW_MARGIN_MS = 6_000
"""What an owner needs beyond its latency budget and one gateway timeout: the reservation and two bounded appends."""


class Handled(Value, frozen=True, kw_only=True):
    """A payment as its handler left or found it: its records in offset order, void ones included."""

    history: tuple[Recorded[PaymentEvent], ...]
    is_replay: bool


class PaymentHandler:
    def __init__(
        self,
        *,
        clock: Clock,
        log: EventLog,
        reservations: Reservations,
        histories: Histories,
        gateways: Gateways,
        facts: RoutingFacts,
        probes: Probes,
        shadow: Shadow,
        fingerprints: Fingerprints,
        max_in_flight: int,
        gateway_timeout_ms: int,
    ) -> None:
        self._clock = clock
        self._log = log
        self._reservations = reservations
        self._histories = histories
        self._gateways = gateways
        self._facts = facts
        self._probes = probes
        self._shadow = shadow
        self._fingerprints = fingerprints
        self._max_in_flight = max_in_flight
        self._gateway_timeout_ms = gateway_timeout_ms
        self._running: set[asyncio.Task[Handled]] = set()

    @property
    def in_flight(self) -> int:
        return len(self._running)

    async def request_payment(
        self, body: PaymentBody, key: str, request_id: str, attributes: Mapping[str, str]
    ) -> Handled:
        """Pay, or tell what became of the payment that has this key. Raises Refused and Unavailable.

        It runs in a task of its own: a client that goes away changes nothing.
        """
        if len(self._running) >= self._max_in_flight:
            raise Refused(Refusal.TOO_BUSY, "too many payments at once", retry_after_s=1)
        return await asyncio.shield(self._run(self._request(body, key, request_id, attributes)))

    async def drain(self, timeout_s: float) -> int:
        """Wait until the payments in flight have ended; how many have not within the time."""
        if self._running:
            await asyncio.wait(self._running, timeout=timeout_s)
        return len(self._running)

    def _run(self, payment: Coroutine[Any, Any, Handled]) -> "asyncio.Task[Handled]":
        task = asyncio.create_task(payment)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[Handled]") -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # a client that has gone away takes no interest in it

    async def _request(
        self, body: PaymentBody, key: str, request_id: str, attributes: Mapping[str, str]
    ) -> Handled:
        if not self._log.is_available:
            raise Refused(Refusal.LOG_UNAVAILABLE, "the event log does not answer", retry_after_s=2)
        since_ms = self._clock.elapsed_ms()
        command = self._command(body, key, attributes)
        try:
            events = decide(command, INITIAL)
        except Refused:
            held = await self._reservations.find(body.merchant_id, command.key_hash)
            if held is not None:
                return await self._same_key_again(body, key, command, held, request_id)
            command = await self._probing(command)
            events = decide(command, INITIAL)
        wish = self._wish(command)
        found = await self._reservations.reserve(wish)
        if isinstance(found, Held):
            return await self._same_key_again(body, key, command, found, request_id)
        if found.customer != command.customer:
            command = msgspec.structs.replace(command, customer=found.customer)
            events = of_customer(found.customer, events)
        if command.probe is None and (probing := await self._probing(command)) is not command:
            command, events = probing, decide(probing, INITIAL)
        owner = _owner(command.payment_id, 1, found.window, since_ms, wish.window_ms)
        writer = PaymentWriter(self._clock, self._log, owner, request_id)
        handled = await self._pay(body, writer, events, since_ms)
        for event in events:
            if isinstance(event, PaymentRouted):
                self._shadow.follow(command, event)
        return handled

    async def _pay(
        self, body: PaymentBody, writer: PaymentWriter, events: list[PaymentEvent], since_ms: float
    ) -> Handled:
        """Drive a decided first attempt to the end of what its owner may do."""
        try:
            await writer.append(events)
        except Unavailable as error:
            raise Refused(
                Refusal.LOG_UNAVAILABLE, "the payment could not be recorded", retry_after_s=2
            ) from error
        while (attempt := writer.attempt_to_make()) is not None:
            called_ms = self._clock.elapsed_ms()
            outcome = await self._call(body, attempt, writer, since_ms)
            now_ms = self._clock.elapsed_ms()
            command = RecordOutcome(
                payment_id=writer.owner.payment_id,
                attempt_id=attempt.attempt_id,
                outcome=outcome,
                latency_ms=round(now_ms - called_ms),
                elapsed_ms=round(now_ms - since_ms),
                schedule=self._facts.schedule(body.payment_method),
                epoch=writer.owner.epoch,
                at=self._clock.now(),
                shut=shut(body.merchant_id, body.payment_method, self._facts.gateways(), self._facts.facts()),
            )
            try:
                await writer.append(decide(command, writer.state))
            except Unavailable:
                return Handled(history=writer.history, is_replay=False)
        await self._hand_over(writer)
        return Handled(history=writer.history, is_replay=False)

    async def _call(
        self, body: PaymentBody, attempt: AttemptStarted, writer: PaymentWriter, since_ms: float
    ) -> Outcome:
        """The last look is at the window, and at what was switched off while the attempt was written ahead."""
        is_switched_off = False

        def may_send() -> bool:
            nonlocal is_switched_off
            if not writer.may_send(attempt):
                return False
            is_switched_off = self._is_switched_off(body, attempt.gateway)
            return not is_switched_off

        charge = _charge(body, attempt, self._left_ms(writer, since_ms))
        outcome = await self._gateways[attempt.gateway].charge(charge, may_send)
        if is_switched_off and outcome == NotSent(reason="window_closed"):
            return NotSent(reason="switched_off")  # an adapter knows of the look only that it was refused
        return outcome

    def _is_switched_off(self, body: PaymentBody, gateway: GatewayId) -> bool:
        method, gateways, facts = body.payment_method, self._facts.gateways(), self._facts.facts()
        return gateway in out_of_service(body.merchant_id, method, gateways, facts)

    def _left_ms(self, writer: PaymentWriter, since_ms: float) -> int:
        """What the reservation and the write-ahead have left of the budget that the attempt's timeout was cut from."""
        return round(writer.latency_budget_ms - (self._clock.elapsed_ms() - since_ms))

    async def _hand_over(self, writer: PaymentWriter) -> None:
        """Give up what is unsettled, as the last word; if that fails, the end of the window says it too."""
        try:
            await writer.append(decide(HandOverPayment(), writer.state))
        except Unavailable:
            return

    async def _same_key_again(
        self, body: PaymentBody, key: str, command: RequestPayment, held: Held, request_id: str
    ) -> Handled:
        if not self._fingerprints.know(held.fingerprint):
            raise Refused(
                Refusal.NOT_ADMITTING, "the request before cannot be compared here", retry_after_s=1
            )
        if not self._fingerprints.agree(held.fingerprint, key, body):
            raise Refused(Refusal.KEY_REUSED, "this Idempotency-Key was used with another body")
        history = tuple(await self._histories.at_head(held.payment_id))
        state = fold(history)
        if _may_be_told(state, held):
            return Handled(history=history, is_replay=True)
        if held.is_owned:
            raise _in_progress()
        return await self._take_over(body, command, held, request_id)

    async def _take_over(
        self, body: PaymentBody, command: RequestPayment, held: Held, request_id: str
    ) -> Handled:
        """Nothing was tried under this key and its window has passed: start it afresh, if the log agrees."""
        since_ms = self._clock.elapsed_ms()
        wish = msgspec.structs.replace(self._wish(command), payment_id=held.payment_id)
        claim = await self._reservations.claim(wish, held.epoch)
        if claim is None:
            raise _in_progress()
        owner = _owner(held.payment_id, claim.epoch, claim.window, since_ms, wish.window_ms)
        writer = PaymentWriter(self._clock, self._log, owner, request_id)
        await writer.append(decide(TakeOverPayment(claim_id=claim.claim_id, by="payment_service"), Open()))
        history = tuple(await self._histories.through(held.payment_id, writer.history[-1].position))
        if not is_owned_by(history, claim.epoch, claim.claim_id):
            raise _in_progress()
        writer.resume(history)
        afresh = msgspec.structs.replace(
            command,
            payment_id=held.payment_id,
            customer=claim.customer or command.customer,
            epoch=claim.epoch,
        )
        if not isinstance(writer.state, Open) or writer.state.attempts:
            await writer.append(decide(afresh, writer.state))
            await self._hand_over(writer)
            return Handled(history=writer.history, is_replay=True)
        try:
            events = decide(afresh, writer.state)
        except Refused:
            await self._hand_over(writer)
            raise
        return await self._pay(body, writer, events, since_ms)

    def _command(self, body: PaymentBody, key: str, attributes: Mapping[str, str]) -> RequestPayment:
        payment_id, facts = self._clock.payment_id(), self._facts.facts()
        return RequestPayment(
            payment_id=payment_id,
            customer=customer_token(payment_id),
            order=Order(
                merchant_id=body.merchant_id,
                customer_id=body.customer_id,
                amount_minor=body.amount_minor,
                currency=body.currency,
                payment_method=body.payment_method,
                instrument=masked(body.instrument),
                attributes=listed(attributes, facts),
            ),
            key_hash=key_hash(key),
            fingerprint=self._fingerprints.of(key, body),
            policy=self._facts.retry_policy(body.merchant_id),
            gateways=self._facts.gateways(),
            schedule=self._facts.schedule(body.payment_method),
            epoch=1,
            at=self._clock.now(),
            facts=facts,
            draw=self._clock.draw(),
        )

    async def _probing(self, command: RequestPayment) -> RequestPayment:
        """With the leave to test a gateway, if there is one to be had; nobody is asked unless a circuit is half open.

        Only for a payment that will be made: what repeats a key must not use up a lease.
        """
        method = command.order.payment_method
        for gateway in testable(command.order, command.gateways, command.facts):
            lease = await self._probes.take(gateway, method, command.facts.circuit(gateway, method))
            if lease is not None:
                return msgspec.structs.replace(command, probe=Probe(gateway=gateway, lease=lease))
        return command

    def _wish(self, command: RequestPayment) -> Reservation:
        window_ms = command.policy.latency_budget_ms + self._gateway_timeout_ms + WINDOW_MARGIN_MS
        assert window_ms <= LONGEST_WINDOW_MS
        return Reservation(
            merchant_id=command.order.merchant_id,
            key_hash=command.key_hash,
            fingerprint=command.fingerprint,
            payment_id=command.payment_id,
            window_ms=window_ms,
            customer_id=command.order.customer_id,
            customer=command.customer,
        )


def _owner(payment_id: PaymentId, epoch: int, window: Window, since_ms: float, window_ms: int) -> Owner:
    return Owner(payment_id=payment_id, epoch=epoch, window=window, until_ms=since_ms + window_ms)


def _charge(body: PaymentBody, attempt: AttemptStarted, left_ms: int) -> Charge:
    return Charge(
        attempt_id=attempt.attempt_id,
        gateway=attempt.gateway,
        amount_minor=attempt.amount_minor,
        currency=attempt.currency,
        payment_method=attempt.payment_method,
        instrument=body.instrument,
        timeout_ms=min(attempt.timeout_ms, max(left_ms, LEAST_TIMEOUT_MS)),
    )


def _may_be_told(state: PaymentState, held: Held) -> bool:
    """Whether nobody may still start an attempt, and something of the payment is worth telling.

    Not without its request: the log could then not rebuild the reservation of a key whose payment we told.
    """
    match state:
        case Open(requested=None) | Settled(requested=None):
            return False
        case Settled():
            return True
        case Open(attempts=attempts, owner=owner):
            return bool(attempts) and (owner != "payment_service" or not held.is_owned)
        case _:
            return False


def _in_progress() -> Refused:
    return Refused(Refusal.PAYMENT_IN_PROGRESS, "this payment is being made; ask again", retry_after_s=1)
