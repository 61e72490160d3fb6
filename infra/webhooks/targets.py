"""Where a webhook may go: to an https address of the public network, whoever named it and whatever it resolves to.

https://cheatsheetseries.owasp.org/cheatsheets/Server_Side_Request_Forgery_Prevention_Cheat_Sheet.html
"""

import asyncio
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any
from urllib.parse import SplitResult, urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult

Address = IPv4Address | IPv6Address

RESOLVED_WITHIN_S = 3.0
_NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
_LOOKUPS_AT_ONCE = 32
"""Threads: a name that does not resolve holds one of them, and nothing else."""
_GLOBAL_UNICAST = ip_network("2000::/3")
"""All of IPv6 that anybody is given: NAT64 and the compatible form, which hold an IPv4 address, lie outside."""
_REFUSED = tuple(
    ip_network(network)
    for network in (
        "192.0.0.0/24",  # protocol assignments; Oracle's metadata
        "192.88.99.0/24",  # 6to4 relays
        "168.63.129.16/32",  # Azure's host
        "2001::/32",  # Teredo, and 6to4: they hold an IPv4 address
        "2002::/16",
        "3fff::/20",  # documentation (RFC 9637)
    )
)
"""What the standard library of some version takes for global and nobody's receiver is."""


class TargetRefused(OSError):
    """It is not for us to call. Says why in words that may be shown."""


class Targets:
    """`allowed` are networks of a development machine: plain http may go there, and nowhere else."""

    def __init__(self, allowed: Sequence[str] = ()) -> None:
        self._allowed = [ip_network(text) for text in allowed]

    def judge(self, address: str, *, is_https: bool) -> None:
        """Raises TargetRefused for an address that may not be connected to."""
        found = ip_address(address.partition("%")[0])
        if any(found in network for network in self._allowed):
            return
        if not is_https:
            raise TargetRefused("must be https")
        if not is_public(found):
            raise TargetRefused("is not an address of the public network")

    def socket_for(self, information: Any, *, is_https: bool) -> socket.socket:
        """The socket for one address, at the moment it is connected to: nothing can change in between."""
        family, kind, protocol, _, where = information
        self.judge(str(where[0]), is_https=is_https)
        return socket.socket(family, kind, protocol)

    async def check(self, url: str, resolver: AbstractResolver) -> None:
        """What can be told before anything is sent: raises TargetRefused. The connection is judged again by itself."""
        parts = parsed(url)
        assert parts.hostname is not None
        try:
            async with asyncio.timeout(RESOLVED_WITHIN_S):
                found = await resolver.resolve(parts.hostname, parts.port or 443)
        except (OSError, TimeoutError, UnicodeError):
            raise TargetRefused("has a name that does not resolve") from None
        for one in found:
            self.judge(one["host"], is_https=parts.scheme == "https")


def parsed(url: str) -> SplitResult:
    """Raises TargetRefused for anything but a plain http or https URL of a host."""
    if not url.isascii() or not url.isprintable() or any(letter in url for letter in ' "<>\\^`{|}#'):
        raise TargetRefused("is not a URL in plain ASCII without a fragment")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise TargetRefused("is not a URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise TargetRefused("must be https")
    if parts.username is not None or parts.password is not None:
        raise TargetRefused("must not hold a name or a password")
    if port == 0:
        raise TargetRefused("has a port that nothing listens on")
    return parts


def is_public(address: Address) -> bool:
    """Of the public network and for one receiver, in whatever form it is written."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address not in _GLOBAL_UNICAST:
            return False
    is_refused = any(address in network for network in _REFUSED)
    return address.is_global and not address.is_multicast and not address.is_reserved and not is_refused


class ThreadedResolver(AbstractResolver):
    """The system's resolver in threads of its own: the loop's are few, and others need them."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_LOOKUPS_AT_ONCE, thread_name_prefix="resolver")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
        )
        return [
            ResolveResult(
                hostname=host, host=str(where[0]), port=port, family=kind, proto=protocol, flags=_NUMERIC
            )
            for kind, _, protocol, _, where in found
        ]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
