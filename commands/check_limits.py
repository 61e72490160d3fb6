"""How much verification may ask of each gateway: limited at once, and in the second."""

from collections import Counter
from collections.abc import Iterable

from commands.ports import Clock
from schemas.gateway import GatewayConfiguration
from schemas.ids import GatewayId
from schemas.verification import NO_GATEWAY

WITHOUT_GATEWAY_AT_ONCE = 16


class CheckLimits:
    """How many payments of each gateway may be begun now."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._busy: Counter[GatewayId] = Counter()
        self._spent: dict[GatewayId, tuple[float, float]] = {}

    def free(self, gateways: Iterable[GatewayConfiguration]) -> dict[GatewayId, int]:
        """Those of a gateway that is not configured are NO_GATEWAY's: nobody is asked for its payments."""
        slots = {gateway.id: self._of(gateway) for gateway in gateways}
        return slots | {NO_GATEWAY: max(0, WITHOUT_GATEWAY_AT_ONCE - self._busy[NO_GATEWAY])}

    def take(self, gateway: GatewayId) -> None:
        self._busy[self._booked(gateway)] += 1
        if gateway in self._spent:
            allowance, at_ms = self._spent[gateway]
            self._spent[gateway] = (allowance - 1, at_ms)

    def give_up(self, gateway: GatewayId) -> None:
        self._busy[self._booked(gateway)] -= 1

    def _booked(self, gateway: GatewayId) -> GatewayId:
        return gateway if gateway in self._spent else NO_GATEWAY

    def _of(self, gateway: GatewayConfiguration) -> int:
        """A token bucket that holds a second's worth."""
        now_ms, most = self._clock.elapsed_ms(), max(1.0, gateway.checks_per_second)
        allowance, at_ms = self._spent.get(gateway.id, (most, now_ms))
        allowance = min(most, allowance + (now_ms - at_ms) / 1000 * gateway.checks_per_second)
        self._spent[gateway.id] = (allowance, now_ms)
        return max(0, min(gateway.max_concurrent_checks - self._busy[gateway.id], int(allowance)))
