"""`/reviews`: the payments that verification could not settle, and a person's word about them.

The verifier alone makes events of such a word, and judges it again by the log; here it is put on its way.
"""

import asyncio

import msgspec
import structlog
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api import headers, paging
from api.admin import Admin, signed
from api.answers import etag, json_response
from api.body import BodyLimits, invalid, json_body
from api.customers import payment_answers
from api.payments import no_such_payment, payment_id_of
from api.ports import Customers, Messages, Reader, Reviews
from commands.ports import Clock
from schemas.base import Value
from schemas.errors import Refusal, Refused, Unavailable
from schemas.http import PaymentAnswer
from schemas.ids import AttemptId, PaymentId
from schemas.notification import ReviewDecided
from schemas.review import SettleBody, faults_in
from schemas.views import AttemptView, PaymentHistory

log = structlog.get_logger(__name__)

POLL_S = 0.1
_CERTAIN = ("SUCCEEDED", "DECLINED", "NOT_SENT")
_DECODER = msgspec.json.Decoder(SettleBody)


class ReviewAnswer(Value, frozen=True, kw_only=True):
    """A payment and those of its attempts that wait for somebody to decide."""

    payment: PaymentAnswer
    unsettled: tuple[AttemptView, ...]


class ReviewsAnswer(Value, frozen=True, kw_only=True):
    """`next` is the `after` of the next page; None at the end."""

    reviews: tuple[ReviewAnswer, ...]
    next: PaymentId | None


class ReviewRoutes:
    def __init__(
        self,
        admin: Admin,
        reviews: Reviews,
        reader: Reader,
        customers: Customers,
        messages: Messages,
        clock: Clock,
        limits: BodyLimits,
    ) -> None:
        self._admin = admin
        self._reviews = reviews
        self._reader = reader
        self._customers = customers
        self._messages = messages
        self._clock = clock
        self._limits = limits

    def routes(self) -> list[Route]:
        return [
            Route("/reviews", self._admin.only(self.page, "reviews"), methods=["GET"]),
            Route("/reviews/{payment_id}/settle", self._admin.only(self.settle, "reviews"), methods=["POST"]),
        ]

    async def page(self, request: Request) -> Response:
        limit = paging.limit(request)
        found = await self._reviews.reviews(paging.after(request), limit + 1)
        shown = found[:limit]
        payments = await payment_answers(self._customers, [history.payment for history in shown])
        return json_response(
            ReviewsAnswer(
                reviews=tuple(_review(*one) for one in zip(payments, shown, strict=True)),
                next=shown[-1].payment.payment_id if len(found) > limit else None,
            )
        )

    async def settle(self, request: Request) -> Response:
        payment_id, wait_s = payment_id_of(request), headers.wait_s(request)
        body = await json_body(request, _DECODER, self._limits)
        if faults := faults_in(body):
            raise invalid(*faults)
        body = replace(body, settled_by=signed(request, body.settled_by, "settled_by"))
        attempt_id = AttemptId(body.attempt_id)
        history = await self._read(payment_id, headers.DEFAULT_WAIT_S)
        if not _is_in_review(history, attempt_id):
            raise Refused(Refusal.NOT_IN_REVIEW, "Only an attempt in review can be settled by hand.")
        await self._decide(body, payment_id, request.state.request_id)
        settled = await self._settled(payment_id, attempt_id, wait_s or 0)
        answered = {"ETag": etag((settled or history).payment), "Location": f"/payments/{payment_id}"}
        if wait_s is not None:
            answered["Preference-Applied"] = f"wait={wait_s}"
        (payment,) = await payment_answers(self._customers, [(settled or history).payment])
        return json_response(payment, 200 if settled else 202, answered)

    async def _decide(self, body: SettleBody, payment_id: PaymentId, request_id: str) -> None:
        decided = ReviewDecided(
            decision_id="dec_" + self._clock.event_id().removeprefix("evt_"),
            attempt_id=AttemptId(body.attempt_id),
            verdict=body.verdict,
            settled_by=body.settled_by,
            note=body.note,
            gateway_reference=body.gateway_reference,
        )
        await self._messages.publish(decided, payment_id, request_id)
        log.info(
            "a review was decided",
            decision_id=decided.decision_id,
            payment_id=payment_id,
            attempt_id=decided.attempt_id,
            verdict=decided.verdict,
            settled_by=decided.settled_by,
        )

    async def _settled(
        self, payment_id: PaymentId, attempt_id: AttemptId, wait_s: float
    ) -> PaymentHistory | None:
        """The payment as it is then; None if that cannot be seen within the wait."""
        try:
            async with asyncio.timeout(wait_s):
                while True:
                    await asyncio.sleep(POLL_S)
                    history = await self._read(payment_id, wait_s=0)
                    if _is_settled(history, attempt_id):
                        return history
        except (TimeoutError, Unavailable):  # it is decided all the same
            return None

    async def _read(self, payment_id: PaymentId, wait_s: float) -> PaymentHistory:
        history = (await self._reader.read(payment_id, None, wait_s)).history
        if history is None:
            raise no_such_payment()
        return history


def _review(payment: PaymentAnswer, history: PaymentHistory) -> ReviewAnswer:
    return ReviewAnswer(
        payment=payment,
        unsettled=tuple(attempt for attempt in history.attempts if attempt.in_review),
    )


def _is_in_review(history: PaymentHistory, attempt_id: AttemptId) -> bool:
    return any(one.attempt_id == attempt_id and one.in_review for one in history.attempts)


def _is_settled(history: PaymentHistory, attempt_id: AttemptId) -> bool:
    """With the payment's end, unless another attempt is open: it is a record of its own, and may be seen later."""
    is_open = any(one.status not in _CERTAIN for one in history.attempts)
    return not _is_in_review(history, attempt_id) and (is_open or history.payment.status != "NEEDS_REVIEW")
