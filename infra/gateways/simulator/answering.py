"""How an answer is given under a fault: instead of the effect, after it, badly, or not at all."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from infra.gateways.simulator import faults
from infra.gateways.simulator.profile import FaultKind, Profile
from infra.gateways.simulator.wire import HTML, Receive, Refused, Scope, Send, answer, answer_bytes, encode

GARBAGE = b"<!doctype html><title>Welcome</title><h1>It works!</h1>"
BROKEN = Refused(500, "server_error", "the gateway is broken")


class InFlight:
    """How many charges each gateway is working on."""

    def __init__(self) -> None:
        self._charges: Counter[str] = Counter()

    @contextmanager
    def one_more(self, profile: Profile) -> Iterator[None]:
        if profile.capacity is not None and self._charges[profile.gateway] >= profile.capacity:
            raise Refused(429, "too_many_requests", f"{profile.capacity} charges are in flight")
        self._charges[profile.gateway] += 1
        try:
            yield
        finally:
            self._charges[profile.gateway] -= 1


class LookUps:
    """How many each gateway is answering; `most` is how many it ever was at once."""

    def __init__(self) -> None:
        self._now: Counter[str] = Counter()
        self.most: Counter[str] = Counter()

    @contextmanager
    def one_more(self, gateway: str) -> Iterator[None]:
        self._now[gateway] += 1
        self.most[gateway] = max(self.most[gateway], self._now[gateway])
        try:
            yield
        finally:
            self._now[gateway] -= 1


def refuse_at_once(fault: FaultKind | None) -> None:
    if fault == "rate_limited_429":
        raise Refused(429, "too_many_requests", "the gateway limits its callers")
    if fault == "unavailable_503_before_effect":
        raise Refused(503, "unavailable", "the gateway is away")


async def replaces_the_effect(fault: FaultKind | None, scope: Scope, receive: Receive) -> bool:
    """Awaits only when it does, so that a client that left changes nothing of what follows."""
    match fault:
        case "error_500_before_effect":
            raise BROKEN
        case "timeout_before_effect":
            await faults.stay_silent(scope, receive)
        case "reset_before_effect":
            await faults.reset(scope, receive)
        case _:
            return False
    return True


async def give(
    fault: FaultKind | None,
    content: object,
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    with_wrong_amount: object,
    status: int = 200,
) -> None:
    match fault:
        case "effect_then_500":
            raise BROKEN
        case "effect_then_timeout":
            await faults.stay_silent(scope, receive)
        case "effect_then_reset":
            await faults.reset(scope, receive)
        case "slow_drip":
            await faults.drip(scope, receive, send, encode(content))
        case "truncated_body":
            await faults.truncate(scope, receive, send, encode(content))
        case "garbage_body":
            await answer_bytes(send, 200, GARBAGE, HTML)
        case "empty_200":
            await answer(send, 200, {"status": "failed", "id": None})
        case "wrong_amount":
            await answer(send, status, with_wrong_amount)
        case _:
            await answer(send, status, content)
