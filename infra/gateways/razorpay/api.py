"""Razorpay's calls with our key, each of them bounded, and none of them tried twice."""

from collections.abc import Callable, Mapping

import msgspec

from infra.gateways.http import NO_HEADERS, Answer, GatewayHttp
from infra.gateways.razorpay.answers import (
    Order,
    Payment,
    orders_decoder,
    payment_decoder,
    payments_decoder,
    read,
    refund_decoder,
    refunds_decoder,
)
from infra.gateways.razorpay.requests import Account
from infra.gateways.razorpay.verdict import missing_of
from schemas.base import Value
from schemas.charge import Capture, Captured, Unreachable
from schemas.ids import AttemptId
from schemas.outcome import InDoubt, NotSent

Reply = Answer | NotSent | InDoubt

QUESTION_TIMEOUT_MS = 2_000
MOST_ORDERS = 5
"""To one receipt. There can be only one, unless the account does not insist on unique receipts."""
_encoder = msgspec.json.Encoder()


class Standing(Value, frozen=True, kw_only=True):
    """All that Razorpay has under a reference of ours."""

    orders: tuple[Order, ...]
    payments: tuple[Payment, ...]

    @property
    def is_burned(self) -> bool:
        return any(order.is_burned for order in self.orders)

    def having(self, *statuses: str) -> list[Payment]:
        return [payment for payment in self.payments if payment.status in statuses]


class RazorpayApi:
    def __init__(self, http: GatewayHttp, account: Account) -> None:
        self._http = http
        self._headers = {"authorization": account.authorization}

    async def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None,
        timeout_ms: int,
        may_send: Callable[[], bool] = lambda: True,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> Reply:
        return await self._http.call(
            method,
            f"/v1{path}",
            body=None if body is None else _encoder.encode(body),
            headers={**self._headers, **headers},
            timeout_ms=timeout_ms,
            may_send=may_send,
        )

    async def standing(
        self, reference: AttemptId, timeout_ms: int = QUESTION_TIMEOUT_MS
    ) -> Standing | Unreachable:
        answer = await self.call("GET", f"/orders?receipt={reference}&count=100", None, timeout_ms)
        found = read(orders_decoder, answer)
        if found is None:
            return unreachable(answer)
        orders = tuple(order for order in found.items if order.receipt == reference)
        if len(orders) > MOST_ORDERS:
            return Unreachable(reason="too many orders")
        payments: list[Payment] = []
        for order in orders:
            answer = await self.call("GET", f"/orders/{order.id}/payments?count=100", None, timeout_ms)
            tried = read(payments_decoder, answer)
            if tried is None:
                return unreachable(answer)
            payments += tried.items
        return Standing(orders=orders, payments=tuple(payments))

    async def capture(self, payment: Payment) -> Capture:
        body = {"amount": payment.amount, "currency": payment.currency}
        answer = await self.call("POST", f"/payments/{payment.id}/capture", body, QUESTION_TIMEOUT_MS)
        captured = read(payment_decoder, answer)
        is_captured = captured is not None and (captured.id, captured.status) == (payment.id, "captured")
        return Captured() if is_captured else unreachable(answer)

    async def refund(self, payment: Payment, reference: AttemptId) -> Unreachable | None:
        """None once it is processed. Asked for again, the same refund is answered, perhaps as it was at first."""
        if payment.status == "refunded":
            return await self._refunded(payment)
        if payment.status == "authorized":
            capture = await self.capture(payment)
            if isinstance(capture, Unreachable):
                return capture
        once = {"x-refund-idempotency": f"{reference}-{payment.id}"}
        path = f"/payments/{payment.id}/refund"
        answer = await self.call("POST", path, {}, QUESTION_TIMEOUT_MS, headers=once)
        refund = read(refund_decoder, answer)
        if refund is None or refund.payment_id != payment.id:
            return unreachable(answer)
        return None if refund.status == "processed" else await self._refunded(payment)

    async def _refunded(self, payment: Payment) -> Unreachable | None:
        """A payment counts as refunded while its refund is pending, which may still fail."""
        answer = await self.call(
            "GET", f"/payments/{payment.id}/refunds?count=100", None, QUESTION_TIMEOUT_MS
        )
        found = read(refunds_decoder, answer)
        return unreachable(answer) if found is None else missing_of(payment, found.items)


def unreachable(answer: Reply) -> Unreachable:
    return Unreachable(reason=f"status {answer.status}" if isinstance(answer, Answer) else answer.reason)
