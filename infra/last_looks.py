"""How many slots a claim leaves to last looks, so that they get on behind whatever is more urgent."""

from collections import Counter
from collections.abc import Mapping

from schemas.ids import GatewayId

ONE_IN = 8


class LastLooks:
    """Every eighth slot of a gateway, counted over the claims: a gateway may never have eight at once."""

    def __init__(self) -> None:
        self._offered: Counter[GatewayId] = Counter()

    def share(self, slots: Mapping[GatewayId, int]) -> dict[GatewayId, int]:
        """In the order of `slots`."""
        before = self._offered.copy()
        self._offered.update(slots)
        return {gateway: self._offered[gateway] // ONE_IN - before[gateway] // ONE_IN for gateway in slots}
