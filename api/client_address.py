"""Who asks: the address of a client, which only a proxy that we trust may name for somebody else.

`X-Forwarded-For` is read from its right end: each proxy adds there whom it was asked by. The first address that is no
trusted proxy's is the client; whatever stands left of it was written by somebody whom we do not know.
"""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from starlette.types import Scope

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_HOPS = 16
"""Proxies, one behind the other; more are not followed."""
LONGEST_ADDRESS = 64


class TrustedProxies:
    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = networks

    def client_of(self, scope: Scope) -> Address | None:
        """None for who came by no network: a socket in the file system, say."""
        address = _peer(scope)
        if address is None or not self._trusts(address):
            return address
        for text in reversed(_forwarded_for(scope)[-MAX_HOPS:]):
            named = _address(text)
            if named is None:
                return address
            address = named
            if not self._trusts(address):
                return address
        return address

    def direct_client(self, peer: tuple[str, int] | None) -> Address | None:
        """Who has connected; None for a trusted proxy, and for who came by no network."""
        address = _address(peer[0]) if peer else None
        return None if address is None or self._trusts(address) else address

    def are_reached_by_https(self, scope: Scope) -> bool:
        """Whether the client speaks TLS, with us or with the proxy that says so."""
        if scope["scheme"] == "https":
            return True
        said = [value for name, value in scope["headers"] if name == b"x-forwarded-proto"]
        address = _peer(scope) if said == [b"https"] else None
        return address is not None and self._trusts(address)

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def one_client(address: Address | None) -> str:
    """What counts as one client: an address, or the /64 of IPv6 that a subscriber has for himself."""
    if isinstance(address, IPv6Address):
        return str(IPv6Network((int(address) >> 64 << 64, 64)))
    return str(address or "unknown")


def network_of(address: Address) -> str:
    """As much of it as may be written down for ever: a /24, or a /48 of IPv6, is nobody's name."""
    kept = 24 if isinstance(address, IPv4Address) else 48
    return str(ip_network(f"{address}/{kept}", strict=False))


def _peer(scope: Scope) -> Address | None:
    peer = scope.get("client")
    return _address(peer[0]) if peer else None


def _forwarded_for(scope: Scope) -> list[str]:
    fields = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
    return ",".join(fields).split(",") if fields else []


def _address(text: str) -> Address | None:
    """Also with a port, as some proxies write it; None for what is no address."""
    return _parsed(text.strip()) if len(text) <= LONGEST_ADDRESS else None


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Address | None:
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
