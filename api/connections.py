"""How many connections each client holds at this process: no address can have all that there are.

Who holds a connection is known by the network alone, before a byte is read. A trusted proxy has those of all its
clients, so that it is not counted: how many of them a client of its has is for the proxy to limit.
"""

from collections import Counter
from typing import Literal

from api.client_address import TrustedProxies, one_client

Place = Literal["taken", "over", "far_over"]


class Connections:
    """As many as `most_of_one` client are served, and as many again are answered that they are too many."""

    def __init__(self, proxies: TrustedProxies, most_of_one: int) -> None:
        self._proxies = proxies
        self._most_of_one = most_of_one
        self._open: Counter[str] = Counter()

    def open(self, peer: tuple[str, int] | None) -> Place:
        """To be followed by a `close` whatever is told."""
        if (client := self._counted_as(peer)) is None:
            return "taken"
        self._open[client] += 1
        if self._open[client] <= self._most_of_one:
            return "taken"
        return "over" if self._open[client] <= 2 * self._most_of_one else "far_over"

    def close(self, peer: tuple[str, int] | None) -> None:
        if (client := self._counted_as(peer)) is not None:
            self._open[client] -= 1
            if not self._open[client]:
                del self._open[client]

    def _counted_as(self, peer: tuple[str, int] | None) -> str | None:
        """None for a trusted proxy, and for who came by no network."""
        address = self._proxies.direct_client(peer)
        return None if address is None else one_client(address)
