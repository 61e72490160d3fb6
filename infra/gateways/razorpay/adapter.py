"""The adapter for Razorpay: an order per attempt, with our reference as its receipt, and one payment on it.

The order is harmless: only the payment can take money, so all that fails before it *certainly charged nobody*. Razorpay
takes no idempotency key for either, but a receipt only once: it is how we find what became of an answer that was lost.
So a payment that is `known` is asked for by its receipt all the same: another may stand beside it.
A burned reference is an order that says so in its notes: whoever finds its receipt taken sees that. A sender that had
the order before is stopped by the last look at its window alone, since nothing of Razorpay's closes an order.
"""

from collections.abc import Callable

from infra.gateways.http import Answer, GatewayHttp
from infra.gateways.razorpay.answers import (
    Created,
    Order,
    created_decoder,
    order_decoder,
    payment_decoder,
    read,
)
from infra.gateways.razorpay.api import QUESTION_TIMEOUT_MS, RazorpayApi, unreachable
from infra.gateways.razorpay.requests import (
    Account,
    burned_notes,
    burned_order,
    order_request,
    payment_request,
)
from infra.gateways.razorpay.verdict import (
    BROKEN,
    BUSY,
    MISCONFIGURED,
    REJECTED,
    next_action,
    outcome_of,
    refused,
    verdict,
)
from schemas.charge import (
    Burned,
    Burning,
    Capture,
    Captured,
    Charge,
    Found,
    GivenBack,
    GivingBack,
    InUse,
    LookUp,
    Reference,
    Unreachable,
)
from schemas.ids import AttemptId
from schemas.outcome import AwaitingCustomer, Declined, InDoubt, NotSent, Outcome

ORDER_SHARE = 0.4
"""Of the time for a charge. With the two questions that a lost order needs, at least a fifth is the payment's."""
QUESTION_SHARE = 0.2


class RazorpayGateway:
    def __init__(self, http: GatewayHttp, account: Account, elapsed_ms: Callable[[], float]) -> None:
        self._api = RazorpayApi(http, account)
        self._account = account
        self._elapsed_ms = elapsed_ms

    async def charge(self, charge: Charge, may_send: Callable[[], bool]) -> Outcome:
        patience = _Patience(charge.timeout_ms, self._elapsed_ms)
        order = await self._order_for(charge, may_send, patience)
        if not isinstance(order, Order):
            return order
        if (order.amount, order.currency) != (charge.amount_minor, charge.currency):
            return InDoubt(reason="mismatched_answer")
        request = payment_request(charge, order, self._account)
        answer = await self._api.call("POST", "/payments/create/json", request, patience.left_ms, may_send)
        if not isinstance(answer, Answer):
            return answer
        if answer.status != 200:
            return refused(answer)
        created = read(created_decoder, answer)
        if created is None:
            return InDoubt(reason="unreadable_answer", http_status=answer.status)
        action = next_action(created)
        if action is not None:
            return AwaitingCustomer(gateway_reference=created.razorpay_payment_id, next_action=action)
        return await self._ended_at_once(created, order, patience)

    async def look_up(self, reference: AttemptId, known: str | None = None) -> LookUp:
        standing = await self._api.standing(reference)
        if isinstance(standing, Unreachable):
            return standing
        return verdict(standing.orders, standing.payments)

    async def burn(self, reference: Reference) -> Burning:
        """An account that does not insist on unique receipts gives us an order of our own beside one that is paid."""
        answer = await self._api.call("POST", "/orders", burned_order(reference), QUESTION_TIMEOUT_MS)
        has_order = _is_for(reference.attempt_id, read(order_decoder, answer))
        standing = await self._api.standing(reference.attempt_id)
        if isinstance(standing, Unreachable):
            return standing
        if standing.payments:
            return InUse()
        if has_order or standing.is_burned:
            return Burned()
        if not standing.orders:
            return unreachable(answer)
        return await self._burn_there(reference.attempt_id, standing.orders)

    async def capture(self, reference: AttemptId, known: str | None = None) -> Capture:
        standing = await self._api.standing(reference)
        if isinstance(standing, Unreachable):
            return standing
        if standing.having("captured"):
            return Captured()
        authorized = standing.having("authorized")
        return await self._api.capture(authorized[0]) if authorized else Unreachable(reason="not authorized")

    async def give_back(self, reference: AttemptId, known: str | None = None) -> GivingBack:
        standing = await self._api.standing(reference)
        if isinstance(standing, Unreachable):
            return standing
        for payment in standing.having("captured", "authorized", "refunded"):
            problem = await self._api.refund(payment, reference)
            if problem is not None:
                return problem
        if standing.having("created"):
            return Unreachable(reason="the customer may still pay")  # nothing of Razorpay's cancels a payment
        if not standing.having("captured", "authorized", "refunded"):
            return Unreachable(reason="nothing to give back")
        return GivenBack(by="refund")

    async def _order_for(
        self, charge: Charge, may_send: Callable[[], bool], patience: "_Patience"
    ) -> Order | Outcome:
        request = order_request(charge)
        answer = await self._api.call("POST", "/orders", request, patience.share(ORDER_SHARE), may_send)
        match answer:
            case NotSent():
                return answer
            case Answer(status=401 | 403):
                return Declined(decline=MISCONFIGURED)
            case Answer(status=429):
                return Declined(decline=BUSY)
        order = read(order_decoder, answer)
        if order is not None and order.receipt == charge.attempt_id:
            return order
        return await self._order_there_was(charge, answer, patience)

    async def _order_there_was(
        self, charge: Charge, answer: Answer | InDoubt, patience: "_Patience"
    ) -> Order | Outcome:
        """The answer was lost, or the receipt is taken: by ourselves, or by whoever burned it."""
        standing = await self._api.standing(charge.attempt_id, patience.share(QUESTION_SHARE))
        if isinstance(standing, Unreachable) and isinstance(answer, Answer) and _is_rejected(answer):
            return InDoubt(reason="server_error", http_status=answer.status)
        if isinstance(standing, Unreachable) or not standing.orders:
            return _no_order(answer)
        known = verdict(standing.orders, standing.payments)
        if not isinstance(known, Found):
            return standing.orders[0]
        if (known.amount_minor, known.currency) != (charge.amount_minor, charge.currency):
            return InDoubt(reason="mismatched_answer")
        return InDoubt(reason="interrupted") if known.needs_capture else known.outcome

    async def _ended_at_once(self, created: Created, order: Order, patience: "_Patience") -> Outcome:
        """Nothing is left for the customer to do, so it has an end; the call does not say which."""
        payment_id = created.razorpay_payment_id
        answer = await self._api.call("GET", f"/payments/{payment_id}", None, patience.left_ms)
        if not isinstance(answer, Answer):
            reason = answer.reason if isinstance(answer, InDoubt) else "interrupted"
            return InDoubt(reason=reason, gateway_reference=payment_id)
        payment = read(payment_decoder, answer)
        if payment is None:
            return InDoubt(
                reason="unreadable_answer", gateway_reference=payment_id, http_status=answer.status
            )
        said = (payment.id, payment.order_id, payment.amount, payment.currency)
        if said != (payment_id, order.id, order.amount, order.currency):
            return InDoubt(reason="mismatched_answer", gateway_reference=payment_id)
        if payment.status in ("created", "authorized"):
            return InDoubt(reason="interrupted", gateway_reference=payment_id)
        return outcome_of(payment)

    async def _burn_there(self, reference: AttemptId, orders: tuple[Order, ...]) -> Burning:
        """A sender that asks for its order sees that it is burned; one that paid on it meanwhile is seen by us."""
        for order in orders:
            body = {"notes": burned_notes(reference)}
            answer = await self._api.call("PATCH", f"/orders/{order.id}", body, QUESTION_TIMEOUT_MS)
            if read(order_decoder, answer) is None:
                return unreachable(answer)
        standing = await self._api.standing(reference)
        if isinstance(standing, Unreachable):
            return standing
        return InUse() if standing.payments else Burned()


class _Patience:
    """How much of a charge's time is left."""

    def __init__(self, total_ms: int, elapsed_ms: Callable[[], float]) -> None:
        self._elapsed_ms = elapsed_ms
        self._total_ms = total_ms
        self._ends_ms = elapsed_ms() + total_ms

    @property
    def left_ms(self) -> int:
        return max(1, int(self._ends_ms - self._elapsed_ms()))

    def share(self, of_all: float) -> int:
        return min(self.left_ms, max(1, int(self._total_ms * of_all)))


def _is_for(reference: AttemptId, order: Order | None) -> bool:
    return order is not None and order.receipt == reference and order.is_burned


def _is_rejected(answer: Answer | InDoubt) -> bool:
    return isinstance(answer, Answer) and 400 <= answer.status < 500


def _no_order(answer: Answer | InDoubt) -> Outcome:
    """No payment was asked for, so whatever happened charged nobody."""
    if not isinstance(answer, Answer):
        return NotSent(reason="connect")
    return Declined(decline=REJECTED if _is_rejected(answer) else BROKEN)
