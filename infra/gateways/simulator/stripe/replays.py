"""Idempotency keys: the first answer is kept and given again, to the same request only, and to one at a time."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
from msgspec import Struct

from infra.gateways.simulator.ledger import MOST_REFERENCES
from infra.gateways.simulator.stripe.bodies import Rejected
from infra.gateways.simulator.wire import Refused, encode


class Stored(Struct, kw_only=True):
    """Without an answer for as long as nothing came of the request: that may be asked as if for the first time."""

    request: bytes
    status: int = 0
    content: msgspec.Raw | None = None

    def once(self, effect: Callable[[], object]) -> msgspec.Raw:
        return self.keep(200, effect()) if self.content is None else self.content

    def keep(self, status: int, content: object) -> msgspec.Raw:
        self.status, self.content = status, msgspec.Raw(encode(content))
        return self.content


class Replays:
    def __init__(self) -> None:
        self._stored: dict[tuple[str, str], Stored] = {}
        self._in_use: set[tuple[str, str]] = set()

    @contextmanager
    def holding(self, gateway: str, key: str, request: bytes) -> Iterator[Stored]:
        digest = hashlib.blake2b(request, digest_size=16).digest()
        stored = self._stored.get((gateway, key))
        if stored is not None and stored.request != digest:
            raise Rejected(400, "idempotency_error")
        if stored is not None:
            yield stored
            return
        if (gateway, key) in self._in_use:
            raise Rejected(409, "idempotency_error", "idempotency_key_in_use")
        if len(self._stored) >= MOST_REFERENCES:
            raise Refused(507, "ledger_full", f"{MOST_REFERENCES} keys are kept; DELETE /control/ledger")
        first = Stored(request=digest)
        self._in_use.add((gateway, key))
        try:
            yield first
        finally:
            self._in_use.discard((gateway, key))
            if first.content is not None:
                self._stored[gateway, key] = first

    def clear(self) -> None:
        self._stored.clear()
