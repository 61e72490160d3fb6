"""The last line of every adapter: what goes wrong in our own code after a call began is *in doubt*, not an error."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import structlog

from infra.metrics import GATEWAY_CALLS, GATEWAY_FAULTS, GATEWAY_SECONDS
from schemas.charge import Burning, Capture, Charge, GivingBack, LookUp, Reference, Unreachable
from schemas.ids import AttemptId
from schemas.outcome import InDoubt, Outcome, is_gateways_fault

log = structlog.get_logger(__name__)

T = TypeVar("T")

OPERATION_TIMEOUT_S = 6.0
"""The most that a look, a burn, a capture or a giving back takes as a whole, however many calls it is made of.

What a lease has to hold for one attempt is twice this, a look and the burn or the capture that follows it, and then its
appends."""


class Gateway(Protocol):
    """What every adapter is; `commands/ports.py` says what each operation promises."""

    async def charge(self, charge: Charge, may_send: Callable[[], bool]) -> Outcome: ...

    async def look_up(self, reference: AttemptId, known: str | None = None) -> LookUp: ...

    async def burn(self, reference: Reference) -> Burning: ...

    async def capture(self, reference: AttemptId, known: str | None = None) -> Capture: ...

    async def give_back(self, reference: AttemptId, known: str | None = None) -> GivingBack: ...


class CertainGateway:
    """Never raises for what a gateway or an adapter does, counts what charges come to, and ends all else in time."""

    def __init__(self, gateway: Gateway, elapsed_ms: Callable[[], float]) -> None:
        self._gateway = gateway
        self._elapsed_ms = elapsed_ms

    async def charge(self, charge: Charge, may_send: Callable[[], bool]) -> Outcome:
        begun_ms = self._elapsed_ms()
        try:
            outcome = await self._gateway.charge(charge, may_send)
        except Exception:
            log.exception("an adapter failed in the middle of a charge", gateway=charge.gateway)
            outcome = InDoubt(reason="interrupted")
        GATEWAY_SECONDS.labels(charge.gateway).observe((self._elapsed_ms() - begun_ms) / 1000)
        GATEWAY_CALLS.labels(charge.gateway, type(outcome).__name__).inc()
        if is_gateways_fault(outcome):
            GATEWAY_FAULTS.labels(charge.gateway).inc()
        return outcome

    async def look_up(self, reference: AttemptId, known: str | None = None) -> LookUp:
        return await _certainly(self._gateway.look_up(reference, known))

    async def burn(self, reference: Reference) -> Burning:
        return await _certainly(self._gateway.burn(reference))

    async def capture(self, reference: AttemptId, known: str | None = None) -> Capture:
        return await _certainly(self._gateway.capture(reference, known))

    async def give_back(self, reference: AttemptId, known: str | None = None) -> GivingBack:
        return await _certainly(self._gateway.give_back(reference, known))


async def _certainly(answer: Awaitable[T]) -> T | Unreachable:
    try:
        async with asyncio.timeout(OPERATION_TIMEOUT_S):
            return await answer
    except TimeoutError:
        return Unreachable(reason="timeout")
    except Exception:
        log.exception("an adapter failed")
        return Unreachable(reason="interrupted")
