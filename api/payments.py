"""`/payments`: create one, and read it as it stands, as it was tried, routed and verified, and as it happened."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api import headers
from api.answers import (
    STATUS_OF_POST,
    attempts_answer,
    decisions_answer,
    etag,
    events_answer,
    folded,
    json_response,
    payment_answer,
    token_after,
)
from api.body import BodyLimits, invalid, json_body
from api.client_address import network_of
from api.customers import payment_answers
from api.merchant_keys import MerchantKeys, require_own
from api.ports import Customers, Handler, Histories, Reader
from api.rate_limits import MerchantLimit
from commands.handler import Handled
from infra.kafka.partition import partition_for
from projections.verifications import verification_status
from schemas.envelope import Recorded
from schemas.errors import Refusal, Refused
from schemas.http import PaymentAnswer, PaymentBody, faults_in
from schemas.ids import CustomerToken, PaymentId, is_payment_id
from schemas.payment import CLIENT_NETWORK, PaymentEvent
from schemas.views import PaymentHistory, PaymentView

_DECODER = msgspec.json.Decoder(PaymentBody)


class PaymentRoutes:
    def __init__(
        self,
        handler: Handler,
        reader: Reader,
        histories: Histories,
        customers: Customers,
        knows_how_to_route: Callable[[], bool],
        draining: asyncio.Event,
        limits: BodyLimits,
        merchant_keys: MerchantKeys,
        merchant_limit: MerchantLimit,
    ) -> None:
        self._handler = handler
        self._reader = reader
        self._histories = histories
        self._customers = customers
        self._knows_how_to_route = knows_how_to_route
        self._draining = draining
        self._limits = limits
        self._merchant_keys = merchant_keys
        self._merchant_limit = merchant_limit

    def routes(self) -> list[Route]:
        one = "/payments/{payment_id}"
        return [
            Route("/payments", self.create, methods=["POST"]),
            Route(one, self.show, methods=["GET"]),
            Route(f"{one}/attempts", self.attempts, methods=["GET"]),
            Route(f"{one}/routing-decision", self.routing_decision, methods=["GET"]),
            Route(f"{one}/events", self.events, methods=["GET"]),
            Route(f"{one}/status-verification", self.status_verification, methods=["GET"]),
        ]

    async def create(self, request: Request) -> Response:
        merchant = self._merchant_keys.admit(request)
        key = headers.idempotency_key(request.scope)
        attributes = _attributes(request)
        body = await json_body(request, _DECODER, self._limits)
        if faults := faults_in(body):
            raise invalid(*faults)
        require_own(merchant, body.merchant_id)
        await self._merchant_limit.admit(request, body.merchant_id)
        if self._draining.is_set():
            raise Refused(
                Refusal.NOT_ADMITTING, "This process is going away; ask again with the same Idempotency-Key."
            )
        if not self._knows_how_to_route():
            raise Refused(Refusal.NOT_ADMITTING, "This process has yet to learn how payments are routed.")
        handled = await self._handler.request_payment(body, key, request.state.request_id, attributes)
        return _created(handled, body.customer_id)

    async def show(self, request: Request) -> Response:
        return await self._read(request, self._shown)

    async def attempts(self, request: Request) -> Response:
        return await self._read(request, _plainly(attempts_answer))

    async def routing_decision(self, request: Request) -> Response:
        return await self._read(request, _plainly(decisions_answer))

    async def events(self, request: Request) -> Response:
        return await self._from_log(request, events_answer)

    async def status_verification(self, request: Request) -> Response:
        return await self._from_log(request, lambda _, records: verification_status(records))

    async def _from_log(
        self, request: Request, answer: Callable[[PaymentId, Sequence[Recorded[PaymentEvent]]], object]
    ) -> Response:
        merchant, payment_id = self._merchant_keys.admit_reader(request), payment_id_of(request)
        records = await self._histories.at_head(payment_id)
        shown = answer(payment_id, records) if records else None
        if shown is None or not (merchant is None or _is_of(merchant, folded(records).payment)):
            raise no_such_payment()
        token = headers.consistency_token(records[-1].position)
        return json_response(shown, 200, {"Consistency-Token": token, "X-Read-Source": "log"})

    async def _shown(self, history: PaymentHistory) -> PaymentAnswer:
        (answer,) = await payment_answers(self._customers, [history.payment])
        return answer

    async def _read(
        self, request: Request, answer: Callable[[PaymentHistory], Awaitable[object]]
    ) -> Response:
        merchant, payment_id = self._merchant_keys.admit_reader(request), payment_id_of(request)
        at_least, wait_s = headers.at_least(request), headers.wait_s(request)
        reading = await self._reader.read(
            payment_id, at_least, headers.DEFAULT_WAIT_S if wait_s is None else wait_s
        )
        if reading.history is None:
            raise no_such_payment()
        payment = reading.history.payment
        if not (merchant is None or _is_of(merchant, payment)):
            raise no_such_payment()
        answered = {
            "ETag": etag(payment),
            "Consistency-Token": token_after(payment, partition_for(payment_id), reading.next_offset),
            "X-Read-Source": reading.source,
        }
        if wait_s is not None:
            answered["Preference-Applied"] = f"wait={wait_s}"
        if headers.is_known(request, answered["ETag"]):
            return Response(None, 304, answered)
        return json_response(await answer(reading.history), 200, answered)


def _plainly(answer: Callable[[PaymentHistory], object]) -> Callable[[PaymentHistory], Awaitable[object]]:
    """What nobody has to be asked for."""

    async def answered(history: PaymentHistory) -> object:
        return answer(history)

    return answered


def _is_of(merchant: str, payment: PaymentView) -> bool:
    """To the holder of a merchant's key the payments of others do not exist."""
    return payment.order is not None and payment.order.merchant_id == merchant


def _attributes(request: Request) -> dict[str, str]:
    """What rules may name beside the order; a client cannot say himself in which network he is."""
    attributes = headers.attributes(request.scope)
    client = request.state.client
    return attributes | {CLIENT_NETWORK: network_of(client) if client else "unknown"}


def _created(handled: Handled, customer_id: str) -> Response:
    """The customer is who the body says, by whatever token he goes."""
    payment = folded(handled.history).payment
    ids = {CustomerToken(payment.order.customer_id): customer_id} if payment.order else {}
    answered = {
        "Location": f"/payments/{payment.payment_id}",
        "ETag": etag(payment),
        "Consistency-Token": headers.consistency_token(handled.history[-1].position),
    }
    if handled.is_replay:
        answered["Idempotent-Replayed"] = "true"
    return json_response(payment_answer(payment, ids), STATUS_OF_POST[payment.status], answered)


def payment_id_of(request: Request) -> PaymentId:
    text: str = request.path_params["payment_id"]
    if not is_payment_id(text):
        raise no_such_payment()
    return PaymentId(text)


def no_such_payment() -> Refused:
    return Refused(Refusal.PAYMENT_NOT_FOUND, "No payment has this id.")
