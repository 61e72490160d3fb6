"""How much verification may ask of each gateway: limited at once, and in the second."""

from collections import Counter, deque
from collections.abc import Iterable

from commands.ports import Clock
from schemas.gateway import GatewayConfiguration
from schemas.ids import GatewayId
from schemas.verification import NO_GATEWAY

WITHOUT_GATEWAY_AT_ONCE = 64


class CheckLimits:
    """How many payments of each gateway may be begun now."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._busy: Counter[GatewayId] = Counter()
        self._begun: dict[GatewayId, deque[float]] = {}

    def free(self, gateways: Iterable[GatewayConfiguration]) -> dict[GatewayId, int]:
        """Those of a gateway that is not configured are NO_GATEWAY's: nobody is asked for its payments."""
        slots = {gateway.id: self._of(gateway) for gateway in gateways}
        return slots | {NO_GATEWAY: max(0, WITHOUT_GATEWAY_AT_ONCE - self._busy[NO_GATEWAY])}

    def take(self, gateway: GatewayId) -> None:
        self._busy[self._booked(gateway)] += 1
        if gateway in self._begun:
            self._begun[gateway].append(self._clock.elapsed_ms())

    def give_up(self, gateway: GatewayId) -> None:
        self._busy[self._booked(gateway)] -= 1

    def _booked(self, gateway: GatewayId) -> GatewayId:
        return gateway if gateway in self._begun else NO_GATEWAY

    def _of(self, gateway: GatewayConfiguration) -> int:
        """Never more than a second's worth in any second: a token bucket would let twice as many through at first."""
        most = max(1, int(gateway.checks_per_second))
        over_ms = self._clock.elapsed_ms() - most / gateway.checks_per_second * 1000
        begun = self._begun.setdefault(gateway.id, deque())
        while begun and begun[0] <= over_ms:
            begun.popleft()
        return max(0, min(gateway.max_concurrent_checks - self._busy[gateway.id], most - len(begun)))
