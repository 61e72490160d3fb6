"""Razorpay's paths under `/<gateway>/v1`."""

import asyncio
from base64 import b64encode
from typing import Any
from urllib.parse import parse_qs

from msgspec.structs import replace

from infra.gateways.simulator.answering import BROKEN, InFlight, give, refuse_at_once, replaces_the_effect
from infra.gateways.simulator.ledger import Ledger
from infra.gateways.simulator.outcome import Latent, charge_fault, latent, lookup_fails
from infra.gateways.simulator.profile import Profile
from infra.gateways.simulator.razorpay.bodies import (
    CaptureRequest,
    OrderChange,
    OrderRequest,
    PaymentRequest,
    Rejected,
    decoded,
    problem,
)
from infra.gateways.simulator.razorpay.book import (
    Book,
    Order,
    Payment,
    collection,
    order_entity,
    payment_entity,
    refund_entity,
)
from infra.gateways.simulator.wire import (
    ChargeRequest,
    Receive,
    Scope,
    Send,
    answer,
    header,
    read_body,
)


class RazorpayWire:
    """Nobody's burning is enforced: a note on an order is a note, as it is at Razorpay."""

    def __init__(self, ledger: Ledger, in_flight: InFlight) -> None:
        self.book = Book()
        self._ledger = ledger
        self._in_flight = in_flight

    async def serve(
        self, profile: Profile, path: list[str], scope: Scope, receive: Receive, send: Send
    ) -> None:
        """`path` is what follows the name of the gateway."""
        _authenticate(profile, scope)
        gateway = profile.gateway
        match (scope["method"], *path):
            case ("POST", "v1", "orders"):
                await self._create_order(profile, scope, receive, send)
            case ("GET", "v1", "orders"):
                await answer(send, 200, self._orders(profile, scope))
            case ("PATCH", "v1", "orders", order_id):
                order = self.book.order(gateway, order_id)
                order.notes = decoded(OrderChange, await read_body(receive)).notes
                await answer(send, 200, order_entity(order))
            case ("GET", "v1", "orders", order_id, "payments"):
                await answer(send, 200, self._payments(profile, self.book.order(gateway, order_id)))
            case ("POST", "v1", "payments", "create", "json"):
                with self._in_flight.one_more(profile):
                    await self._create_payment(profile, scope, receive, send)
            case ("GET", "v1", "payments", payment_id):
                await answer(send, 200, self._payment(profile, self.book.payment(gateway, payment_id)))
            case ("POST", "v1", "payments", payment_id, "capture"):
                payment = self.book.payment(gateway, payment_id)
                body = decoded(CaptureRequest, await read_body(receive))
                await answer(send, 200, self._capture(payment, body))
            case ("POST", "v1", "payments", payment_id, "refund"):
                payment = self.book.payment(gateway, payment_id)
                key = header(scope, "x-refund-idempotency")
                await answer(send, 200, self._refund(profile, payment, key, await read_body(receive)))
            case ("GET", "v1", "payments", payment_id, "refunds"):
                charge = self.book.payment(gateway, payment_id).charge
                refunds = [refund_entity(charge, profile.refund_pending_ms)]
                await answer(send, 200, collection(refunds if charge.status == "refunded" else []))
            case _:
                raise Rejected("url_not_found", status=404)

    async def _create_order(self, profile: Profile, scope: Scope, receive: Receive, send: Send) -> None:
        request = decoded(OrderRequest, await read_body(receive))
        fault = charge_fault(profile, request.receipt, at="order")
        refuse_at_once(fault)
        if await replaces_the_effect(fault, scope, receive):
            return
        content = order_entity(self.book.open(profile.gateway, request))
        wrong = content | {"amount": content["amount"] + 100}
        await give(fault, content, scope, receive, send, with_wrong_amount=wrong)

    async def _create_payment(self, profile: Profile, scope: Scope, receive: Receive, send: Send) -> None:
        request = decoded(PaymentRequest, await read_body(receive))
        order = self._payable(profile, request)
        fault = charge_fault(profile, order.receipt)
        refuse_at_once(fault)
        fate = _fate(profile, order, request)
        await asyncio.sleep(fate.latency_ms / 1000)
        # From here on nothing awaits until the effect is in the ledger: a client that left changes nothing.
        if await replaces_the_effect(fault, scope, receive):
            return
        # Asked again, for others may have paid meanwhile: an order that is paid takes no more money.
        order = self._payable(profile, request)
        asked = self._ledger.receive(profile.gateway, _as_charge(order, request))
        payment = self.book.pay(order, request, self._ledger.add(asked, profile, fate))
        self._ledger.changed(payment.charge)
        status, content = _created(payment)
        await give(fault, content, scope, receive, send, with_wrong_amount=content, status=status)

    def _payable(self, profile: Profile, request: PaymentRequest) -> Order:
        order = self.book.order(profile.gateway, request.order_id)
        for payment in order.payments:
            self._ledger.refreshed(payment.charge)
        if order.status == "paid":
            raise Rejected("order_already_paid")
        if not request.is_complete or (request.amount, request.currency) != (order.amount, order.currency):
            raise Rejected("input_validation_failed")
        return order

    def _orders(self, profile: Profile, scope: Scope) -> dict[str, Any]:
        receipts = parse_qs(scope["query_string"].decode("latin-1")).get("receipt")
        if receipts is None:
            raise Rejected("input_validation_failed")
        if lookup_fails(profile, receipts[0]):
            raise BROKEN
        order = self.book.by_receipt(profile.gateway, receipts[0])
        is_known = order is not None and order.age_ms() >= profile.lookup_lag_ms
        return collection([order_entity(order)] if order is not None and is_known else [])

    def _payments(self, profile: Profile, order: Order) -> dict[str, Any]:
        charges = [(payment, self._ledger.refreshed(payment.charge)) for payment in order.payments]
        return collection(
            payment_entity(payment) for payment, charge in charges if charge.age_ms() >= profile.lookup_lag_ms
        )

    def _payment(self, profile: Profile, payment: Payment) -> dict[str, Any]:
        charge = self._ledger.refreshed(payment.charge)
        entity = payment_entity(payment)
        if charge_fault(profile, charge.request.reference) == "wrong_amount":
            return entity | {"amount": entity["amount"] + 100}
        return entity

    def _capture(self, payment: Payment, body: CaptureRequest) -> dict[str, Any]:
        charge = self._ledger.refreshed(payment.charge)
        if charge.status != "authorized":
            raise Rejected("payment_not_authorized", step="payment_capture")
        if (body.amount, body.currency) != (charge.request.amount_minor, charge.request.currency):
            raise Rejected("input_validation_failed", step="payment_capture")
        self._ledger.settle(charge, "captured")
        return payment_entity(payment)

    def _refund(self, profile: Profile, payment: Payment, key: str | None, body: bytes) -> dict[str, Any]:
        """Of all that was captured, once for each idempotency key, and not twice without one."""
        charge = self._ledger.refreshed(payment.charge)
        known = payment.refunded_under.get(key) if key else None
        if known not in (None, body):
            raise Rejected("idempotency_key_reused", step="refund_request")
        if known is None and charge.status != "captured":
            raise Rejected("payment_not_captured", step="refund_request")
        if known is None:
            self._ledger.settle(charge, "refunded")
        if key:
            payment.refunded_under[key] = body
        return refund_entity(charge, profile.refund_pending_ms)


def _authenticate(profile: Profile, scope: Scope) -> None:
    if profile.credentials is None:
        return
    expected = "Basic " + b64encode(profile.credentials.encode()).decode()
    if header(scope, "authorization") != expected:
        raise Rejected("authentication_invalid", status=401)


def _fate(profile: Profile, order: Order, request: PaymentRequest) -> Latent:
    """UPI always asks the customer. Another payment on the same order is another throw of the dice."""
    number = len(order.payments) + 1
    fate = latent(profile, order.receipt if number == 1 else f"{order.receipt}/{number}")
    return replace(
        fate,
        charge_id=f"pay_{fate.charge_id.removeprefix('ch_')[:14]}",
        awaits_customer=request.method == "upi" or fate.awaits_customer,
    )


def _as_charge(order: Order, request: PaymentRequest) -> ChargeRequest:
    return ChargeRequest(
        reference=order.receipt,
        amount_minor=order.amount,
        currency=order.currency,
        method=request.method.upper(),
        instrument={},
    )


def _created(payment: Payment) -> tuple[int, dict[str, Any]]:
    charge = payment.charge
    match charge.status:
        case "pending":
            return 200, {"razorpay_payment_id": charge.id, "next": _next(payment)}
        case "declined" if charge.decline is not None:
            names = {"payment_id": charge.id, "order_id": payment.order_id}
            return 400, problem(charge.decline, names, step="payment_authorization")
        case _:
            return 200, {"razorpay_payment_id": charge.id}


def _next(payment: Payment) -> list[dict[str, str]]:
    charge = payment.charge
    poll = {"action": "poll", "url": f"https://api.razorpay.com/v1/payments/{charge.id}"}
    match payment.method, payment.flow:
        case "upi", "collect":
            return [poll]
        case "upi", _:
            return [{"action": "intent", "url": f"upi://pay?pa=merchant@simulator&tr={charge.id}"}, poll]
        case _:
            return [{"action": "redirect", "url": f"https://bank.example/authenticate/{charge.id}"}]
