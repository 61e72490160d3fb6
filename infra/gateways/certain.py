"""The last line of every adapter: what goes wrong in our own code after a call began is *in doubt*, not an error."""

from collections.abc import Callable

import structlog

from infra.gateways.simulated import SimulatedGateway
from infra.metrics import GATEWAY_CALLS, GATEWAY_SECONDS
from schemas.charge import Charge, Compensation, LookUp
from schemas.ids import AttemptId
from schemas.outcome import InDoubt, Outcome

log = structlog.get_logger(__name__)


class CertainGateway:
    """Never raises for a charge, and counts its outcome."""

    def __init__(self, gateway: SimulatedGateway, elapsed_ms: Callable[[], float]) -> None:
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
        return outcome

    async def look_up(self, reference: AttemptId) -> LookUp:
        return await self._gateway.look_up(reference)

    async def cancel(self, reference: AttemptId) -> Compensation:
        return await self._gateway.cancel(reference)

    async def refund(self, reference: AttemptId) -> Compensation:
        return await self._gateway.refund(reference)
