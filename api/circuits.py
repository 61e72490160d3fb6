"""`/circuit-breaker`: which gateways are avoided for which payment methods, and an operator's word about it.

A circuit's one writer obeys; here the command is put on its way, and answered when this process has heard of it: from
then on its own payments obey as well, and those of all others within half a second.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Literal, get_args

import msgspec
import structlog
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.admin import Admin, Endpoint, signed
from api.answers import json_response
from api.body import BodyLimits, invalid, optional_json_body
from api.errors import Fault, Rejected
from api.ports import CircuitFacts, CircuitMessages, Tail
from commands.ports import Clock
from schemas.base import Value
from schemas.circuit import (
    CircuitKey,
    CircuitStatus,
    CircuitView,
    ForceClose,
    ForceOpen,
    KnownCircuit,
    OpeningReason,
    OrderBody,
    Release,
)
from schemas.gateway import GatewayConfiguration
from schemas.http import faults_of_text
from schemas.ids import GatewayId
from schemas.instrument import PAYMENT_METHODS, PaymentMethod

log = structlog.get_logger(__name__)

OBEYED_WITHIN_S = 2.0
Order = Literal["force-open", "force-close", "release"]
_COMMANDS: dict[Order, type[ForceOpen | ForceClose | Release]] = {
    "force-open": ForceOpen,
    "force-close": ForceClose,
    "release": Release,
}
_FORCED = {"force-open": "FORCED_OPEN", "force-close": "FORCED_CLOSED"}
_UNHEARD_OF = KnownCircuit(view=CircuitView(), sequence=0)
_DECODER = msgspec.json.Decoder(OrderBody)


class CircuitAnswer(Value, frozen=True, kw_only=True):
    gateway: GatewayId
    payment_method: PaymentMethod
    status: CircuitStatus
    since: datetime | None
    until: datetime | None
    reason: OpeningReason | None
    opening: int
    by: str | None
    note: str | None
    version: int
    """Counts the circuit's events; 0 of one that has had none, and is closed."""


class CircuitsAnswer(Value, frozen=True, kw_only=True):
    circuits: tuple[CircuitAnswer, ...]
    version: int
    """The offset of the last event that this process knows; -1 for none."""
    current: bool
    """Whether it is known that there are no others."""


class Circuits:
    """What this process knows of circuits, and how it has an operator obeyed."""

    def __init__(
        self,
        facts: CircuitFacts,
        tail: Tail,
        messages: CircuitMessages,
        gateways: Callable[[], Sequence[GatewayConfiguration]],
        clock: Clock,
        obeyed_within_s: float = OBEYED_WITHIN_S,
    ) -> None:
        self._facts = facts
        self._tail = tail
        self._messages = messages
        self._gateways = gateways
        self._clock = clock
        self._obeyed_within_s = obeyed_within_s

    @property
    def version(self) -> int:
        """The offset of the last event that this process knows; -1 for none."""
        return self._facts.version

    def answer(self, gateway: str | None, method: str | None) -> CircuitsAnswer:
        return CircuitsAnswer(
            circuits=tuple(
                _answer(key, self._circuit(key))
                for key in sorted(self._keys())
                if gateway in (None, key[0]) and method in (None, key[1])
            ),
            version=self._facts.version,
            current=self._tail.is_current,
        )

    def key(self, gateway: str, method: str) -> CircuitKey:
        """Raises Rejected for a circuit that cannot be."""
        for key in self._keys():
            if key == (gateway, method):
                return key
        raise Rejected(Fault.CIRCUIT_NOT_FOUND, "No gateway of this name takes this payment method.")

    async def obey(self, order: Order, key: CircuitKey, body: OrderBody, request_id: str) -> CircuitAnswer:
        """Raises Rejected when it is not seen in time, LogUnavailable, AppendAmbiguous."""
        if self._tail.is_current and self._is_obeyed(order, key):
            return _answer(key, self._circuit(key))
        command = _COMMANDS[order](
            gateway=key[0],
            payment_method=key[1],
            at=self._clock.now(),
            by=body.by,
            note=body.note,
            request_id="ord_" + self._clock.event_id().removeprefix("evt_"),
        )
        with self._facts.expecting(command.request_id) as seen:
            await self._messages.publish([command], request_id)
            log.info("an order to a circuit", order=order, gateway=key[0], method=key[1], by=body.by)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._obeyed_within_s):
                    return _answer(key, await seen)
        if self._tail.is_current and self._is_obeyed(order, key):  # by another's command, a moment before
            return _answer(key, self._circuit(key))
        raise Rejected(
            Fault.CIRCUIT_NOT_CONFIRMED,
            "It takes effect as soon as the writer of circuits has read it; ask for the status then.",
        )

    def _keys(self) -> set[CircuitKey]:
        """Those that gateways are configured for, and those that were ever heard of."""
        configured = {
            (gateway.id, method) for gateway in self._gateways() for method in gateway.payment_methods
        }
        return configured | self._facts.known.keys()

    def _circuit(self, key: CircuitKey) -> KnownCircuit:
        return self._facts.known.get(key, _UNHEARD_OF)

    def _is_obeyed(self, order: Order, key: CircuitKey) -> bool:
        status = self._circuit(key).view.status
        return status == _FORCED[order] if order in _FORCED else status not in _FORCED.values()


class CircuitRoutes:
    def __init__(self, admin: Admin, circuits: Circuits, limits: BodyLimits) -> None:
        self._admin = admin
        self._circuits = circuits
        self._limits = limits

    def routes(self) -> list[Route]:
        return [
            Route("/circuit-breaker/status", self.status, methods=["GET"]),
            *(
                Route(
                    f"/circuit-breaker/{order}/{{gateway}}/{{method}}",
                    self._admin.only(self._obeying(order), "circuits"),
                    methods=["POST"],
                )
                for order in get_args(Order)
            ),
        ]

    async def status(self, request: Request) -> Response:
        gateway, method = request.query_params.get("gateway"), request.query_params.get("method")
        if method is not None and method not in PAYMENT_METHODS:
            raise Rejected(Fault.MALFORMED_QUERY, f"method is one of {', '.join(PAYMENT_METHODS)}.")
        answer = self._circuits.answer(gateway, method)
        return json_response(answer if self._admin.may_read(request) else _without_words(answer))

    def _obeying(self, order: Order) -> Endpoint:
        async def obey(request: Request) -> Response:
            key = self._circuits.key(request.path_params["gateway"], request.path_params["method"])
            body = await optional_json_body(request, _DECODER, self._limits, OrderBody())
            if faults := [*faults_of_text("note", body.note), *faults_of_text("by", body.by)]:
                raise invalid(*faults)
            body = replace(body, by=signed(request, body.by))
            return json_response(await self._circuits.obey(order, key, body, request.state.request_id))

        return obey


def _without_words(answer: CircuitsAnswer) -> CircuitsAnswer:
    """What operators have written is for operators."""
    return replace(answer, circuits=tuple(replace(one, by=None, note=None) for one in answer.circuits))


def _answer(key: CircuitKey, circuit: KnownCircuit) -> CircuitAnswer:
    view = circuit.view
    return CircuitAnswer(
        gateway=key[0],
        payment_method=key[1],
        status=view.status,
        since=view.since,
        until=view.until,
        reason=view.reason,
        opening=view.opening,
        by=view.by,
        note=view.note,
        version=circuit.sequence,
    )
