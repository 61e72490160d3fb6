"""`/gateway-notifications/{gateway}`: what a gateway tells us by itself, on the log before it is acknowledged.

A gateway sends again what was not answered 2xx, and may send twice what was. Whoever consumes the topic knows a
repetition by the gateway's own event id; the memory here only saves writing most of them.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.answers import json_response
from api.body import BodyLimits, read
from api.errors import Fault, Rejected
from api.ports import Messages
from commands.ports import Clock
from infra.gateways.notifications import NotificationReader
from infra.metrics import NOTIFICATIONS
from schemas.base import Value
from schemas.errors import BadSignature, Unreadable
from schemas.ids import payment_of
from schemas.notification import GatewayNotified, IgnoredNotification

LARGEST_BYTES = 262_144
"""A refused notification comes again for days, so there is room for everything that a gateway may attach."""
REMEMBERED = 4096
_CHALLENGE = {"WWW-Authenticate": "Signature"}


class NotificationAnswer(Value, frozen=True, kw_only=True):
    status: Literal["accepted", "ignored"]


class NotificationRoutes:
    def __init__(
        self,
        readers: Mapping[str, NotificationReader],
        messages: Messages,
        clock: Clock,
        limits: BodyLimits,
    ) -> None:
        self._readers = readers
        self._messages = messages
        self._clock = clock
        self._limits = replace(limits, max_bytes=LARGEST_BYTES)
        self._accepted: OrderedDict[GatewayNotified, None] = OrderedDict()

    def routes(self) -> list[Route]:
        return [Route("/gateway-notifications/{gateway}", self.receive, methods=["POST"])]

    async def receive(self, request: Request) -> Response:
        gateway: str = request.path_params["gateway"]
        reader = self._readers.get(gateway)
        if reader is None:
            raise Rejected(Fault.GATEWAY_NOT_FOUND, "No gateway of this name is known to send notifications.")
        body = await read(request, self._limits)
        told = self._read(gateway, reader, request.headers, body)
        if isinstance(told, IgnoredNotification):
            return _answered(gateway, "ignored")
        if told not in self._accepted:
            await self._messages.publish(told, payment_of(told.attempt_id), request.state.request_id)
            self._remember(told)
        return _answered(gateway, "accepted")

    def _read(
        self, gateway: str, reader: NotificationReader, headers: Mapping[str, str], body: bytes
    ) -> GatewayNotified | IgnoredNotification:
        try:
            return reader.read(headers, body, self._clock.now())
        except BadSignature:
            NOTIFICATIONS.labels(gateway, "bad_signature").inc()
            raise Rejected(
                Fault.BAD_SIGNATURE, "Nothing of the body was looked at.", headers=_CHALLENGE
            ) from None
        except Unreadable:
            NOTIFICATIONS.labels(gateway, "unreadable").inc()
            raise Rejected(
                Fault.UNREADABLE_NOTIFICATION, "It is well signed, and not what this gateway sends."
            ) from None

    def _remember(self, told: GatewayNotified) -> None:
        """The whole of it: a gateway's event id need not be part of what it signs."""
        self._accepted[told] = None
        if len(self._accepted) > REMEMBERED:
            self._accepted.popitem(last=False)


def _answered(gateway: str, result: Literal["accepted", "ignored"]) -> Response:
    NOTIFICATIONS.labels(gateway, result).inc()
    return json_response(NotificationAnswer(status=result))
