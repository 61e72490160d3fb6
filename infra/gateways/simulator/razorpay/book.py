"""The orders of a gateway and the payments on them, beside the charges of the ledger, which say what became of each."""

import hashlib
from collections.abc import Iterable
from typing import Any

from msgspec import Struct, field

from infra.gateways.simulator.ledger import MOST_REFERENCES, Charge
from infra.gateways.simulator.now import now_ms
from infra.gateways.simulator.razorpay.bodies import Notes, OrderRequest, PaymentRequest, Rejected
from infra.gateways.simulator.wire import ChargeStatus, Refused

STATUS: dict[ChargeStatus, str] = {
    "pending": "created",
    "authorized": "authorized",
    "captured": "captured",
    "refunded": "refunded",
    "declined": "failed",
    "voided": "failed",
}
PAID = ("captured", "authorized", "refunded")


class Payment(Struct, kw_only=True):
    charge: Charge
    order_id: str
    method: str
    flow: str | None
    notes: Notes
    refunded_under: dict[str, bytes] = field(default_factory=dict)
    """The body by its idempotency key."""


class Order(Struct, kw_only=True):
    id: str
    gateway: str
    amount: int
    currency: str
    receipt: str
    notes: Notes
    created_at_ms: int
    asked: int = 1
    """How often somebody wanted to create it."""
    payments: list[Payment] = field(default_factory=list)

    def age_ms(self) -> int:
        return now_ms() - self.created_at_ms

    @property
    def status(self) -> str:
        if any(payment.charge.status in PAID for payment in self.payments):
            return "paid"
        return "attempted" if self.payments else "created"


class Book:
    def __init__(self) -> None:
        self._orders: dict[tuple[str, str], Order] = {}
        self._by_receipt: dict[tuple[str, str], Order] = {}
        self._payments: dict[tuple[str, str], Payment] = {}

    def open(self, gateway: str, request: OrderRequest) -> Order:
        """Raises Rejected for a receipt that has an order."""
        known = self.by_receipt(gateway, request.receipt)
        if known is not None:
            known.asked += 1
            raise Rejected("input_validation_failed")
        if len(self._orders) >= MOST_REFERENCES:
            raise Refused(507, "ledger_full", f"{MOST_REFERENCES} orders are kept; DELETE /control/ledger")
        order = Order(
            id=f"order_{hashlib.blake2b(f'{gateway}/{request.receipt}'.encode(), digest_size=7).hexdigest()}",
            gateway=gateway,
            amount=request.amount,
            currency=request.currency,
            receipt=request.receipt,
            notes=request.notes,
            created_at_ms=now_ms(),
        )
        self._orders[gateway, order.id] = order
        self._by_receipt[gateway, order.receipt] = order
        return order

    def by_receipt(self, gateway: str, receipt: str) -> Order | None:
        return self._by_receipt.get((gateway, receipt))

    def order(self, gateway: str, order_id: str) -> Order:
        order = self._orders.get((gateway, order_id))
        if order is None:
            raise Rejected("invalid_order_id")
        return order

    def pay(self, order: Order, request: PaymentRequest, charge: Charge) -> Payment:
        payment = Payment(
            charge=charge,
            order_id=order.id,
            method=request.method,
            flow=request.upi.flow if request.upi else None,
            notes=request.notes,
        )
        order.payments.append(payment)
        self._payments[order.gateway, charge.id] = payment
        return payment

    def payment(self, gateway: str, payment_id: str) -> Payment:
        payment = self._payments.get((gateway, payment_id))
        if payment is None:
            raise Rejected("invalid_payment_id")
        return payment

    def clear(self) -> None:
        for kept in (self._orders, self._by_receipt, self._payments):
            kept.clear()


def order_entity(order: Order) -> dict[str, Any]:
    paid = order.amount if order.status == "paid" else 0
    return {
        "id": order.id,
        "entity": "order",
        "amount": order.amount,
        "amount_paid": paid,
        "amount_due": order.amount - paid,
        "currency": order.currency,
        "receipt": order.receipt,
        "offer_id": None,
        "status": order.status,
        "attempts": len(order.payments),
        "notes": order.notes or [],
        "created_at": order.created_at_ms // 1000,
    }


def payment_entity(payment: Payment) -> dict[str, Any]:
    charge = payment.charge
    request, decline = charge.request, charge.decline
    is_refunded = charge.status == "refunded"
    return {
        "id": charge.id,
        "entity": "payment",
        "amount": request.amount_minor,
        "currency": request.currency,
        "status": STATUS[charge.status],
        "order_id": payment.order_id,
        "invoice_id": None,
        "international": False,
        "method": payment.method,
        "amount_refunded": request.amount_minor if is_refunded else 0,
        "refund_status": "full" if is_refunded else None,
        "captured": charge.status in ("captured", "refunded"),
        "notes": payment.notes or [],
        **({"upi": {"flow": payment.flow}} if payment.flow else {}),
        "error_code": decline.code if decline else None,
        "error_source": decline.source if decline else None,
        "error_step": "payment_authorization" if decline else None,
        "error_reason": decline.reason if decline else None,
        "acquirer_data": {},
        "created_at": charge.charged_at_ms // 1000,
    }


def refund_entity(charge: Charge, pending_ms: int = 0) -> dict[str, Any]:
    return {
        "id": f"rfnd_{charge.id.removeprefix('pay_')}",
        "entity": "refund",
        "amount": charge.request.amount_minor,
        "currency": charge.request.currency,
        "payment_id": charge.id,
        "status": "processed" if charge.is_settled_since(pending_ms) else "pending",
    }


def collection(items: Iterable[dict[str, Any]]) -> dict[str, Any]:
    listed = list(items)
    return {"entity": "collection", "count": len(listed), "items": listed}
