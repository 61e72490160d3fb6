"""Customers as merchants know them: events have only tokens, and the vault knows whose they are until one is forgotten.

`DELETE /customers/{customer_id}/data?merchant_id=…` is on the log before it is done: whatever stops in between, and
whatever a backup brings back, the log is obeyed.
"""

import re
from collections.abc import Sequence
from typing import Protocol

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.admin import Admin, signed
from api.answers import payment_answer
from api.body import BodyLimits, invalid, optional_json_body
from api.errors import Fault, Rejected
from api.ports import Customers
from commands.ports import Clock
from schemas.customer import CustomerForgotten
from schemas.experiment_bodies import ReasonBody
from schemas.http import FieldError, PaymentAnswer, faults_of_text, is_party
from schemas.ids import CustomerToken, is_customer_token
from schemas.views import PaymentView

log = structlog.get_logger(__name__)

_REASON = msgspec.json.Decoder(ReasonBody)


class CustomerLog(Protocol):
    async def append(self, event: CustomerForgotten, event_id: str, caused_by: str, /) -> None:
        """Returns when it is acknowledged. Raises LogUnavailable, AppendAmbiguous."""


class CustomerRoutes:
    def __init__(
        self, admin: Admin, customers: Customers, topic: CustomerLog, clock: Clock, limits: BodyLimits
    ) -> None:
        self._admin = admin
        self._customers = customers
        self._topic = topic
        self._clock = clock
        self._limits = limits

    def routes(self) -> list[Route]:
        forget = self._admin.only(self.forget, "data")
        return [Route("/customers/{customer_id}/data", forget, methods=["DELETE"])]

    async def forget(self, request: Request) -> Response:
        """Nothing is written of a customer whom nobody knows: there is no token for him, and no id may be there."""
        merchant_id, customer_id = _merchant(request), _customer(request)
        body = await optional_json_body(request, _REASON, self._limits, ReasonBody())
        if faults := _faults_in(body, customer_id):
            raise invalid(*faults)
        token = await self._customers.token_of(merchant_id, customer_id)
        if token is not None:
            event = CustomerForgotten(
                customer=token, merchant_id=merchant_id, by=signed(request, body.by), note=body.note
            )
            await self._topic.append(event, self._clock.event_id(), request.state.request_id)
            await self._customers.forget([token])
            log.info("a customer is forgotten", customer=token, by=event.by)
        return Response(None, 204)


def _merchant(request: Request) -> str:
    """A customer's id is his merchant's: another's customer of the same id is somebody else."""
    given = request.query_params.getlist("merchant_id")
    if len(given) != 1 or not is_party(given[0]):
        raise Rejected(Fault.MALFORMED_QUERY, "merchant_id is the id of the merchant whose customer it is.")
    return given[0]


def _customer(request: Request) -> str:
    customer_id: str = request.path_params["customer_id"]
    if not is_party(customer_id):
        raise Rejected(Fault.NO_SUCH_CUSTOMER, "No payment can be of a customer of this id.")
    return customer_id


def _faults_in(body: ReasonBody, customer_id: str) -> list[FieldError]:
    """It is on the log for ever."""
    faults = [*faults_of_text("by", body.by), *faults_of_text("note", body.note)]
    if re.search(rf"(?<![A-Za-z0-9]){re.escape(customer_id)}(?![A-Za-z0-9])", body.note):
        faults.append(FieldError(pointer="/note", detail="must not name the customer"))
    return faults


async def payment_answers(customers: Customers, payments: Sequence[PaymentView]) -> list[PaymentAnswer]:
    """With the merchants' own ids. Raises StoreUnavailable."""
    named = {payment.order.customer_id for payment in payments if payment.order is not None}
    tokens = [CustomerToken(one) for one in named if is_customer_token(one)]
    ids = await customers.ids_of(tokens) if tokens else {}
    return [payment_answer(payment, ids) for payment in payments]
