"""Who asks too often is answered 429, before anything is read or done for him; everybody is told what he has left.

`RateLimit-Policy` and `RateLimit` are those of draft-ietf-httpapi-ratelimit-headers-10. Probes and metrics are free. A
gateway speaks for all its customers from a few addresses, so notifications are counted apart, and generously. An
operator is counted by his key, from wherever: no flood, not even from his own address, may keep him from a kill switch.
"""

from collections.abc import Sequence
from math import ceil

import msgspec
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.admin import Admin
from api.client_address import Address, TrustedProxies, one_client
from api.errors import Fault, Rejected, problem
from api.ports import RateLimits
from infra.metrics import RATE_LIMITED
from schemas.rate_limit import Allowance, RateLimit

FREE = frozenset({"/ops/liveness", "/ops/readiness", "/metrics"})
NOTIFICATIONS = "/gateway-notifications/"
NOTIFICATIONS_TIMES = 20
_DETAIL = "Ask again after the seconds that Retry-After tells; RateLimit-Policy tells what is allowed."


class RateLimited:
    """Leaves in the request's state the client's address, and how he stands: each limit is told in the answer."""

    def __init__(
        self, app: ASGIApp, limits: RateLimits, limit: RateLimit, proxies: TrustedProxies, admin: Admin
    ) -> None:
        self._app = app
        self._limits = limits
        self._limit = limit
        self._of_notifications = msgspec.structs.replace(
            limit,
            name="notifications",
            per_second=limit.per_second * NOTIFICATIONS_TIMES,
            burst=limit.burst * NOTIFICATIONS_TIMES,
        )
        self._of_operators = msgspec.structs.replace(limit, name="operator")
        self._proxies = proxies
        self._admin = admin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in FREE:
            await self._app(scope, receive, send)
            return
        client = self._proxies.client_of(scope)
        allowance = await self._limits.take(*self._counted(scope, client))
        allowances = [allowance]
        scope["state"].update(client=client, allowances=allowances)

        async def send_with_allowances(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] += _headers(allowances)
            await send(message)

        if allowance.is_allowed:
            await self._app(scope, receive, send_with_allowances)
        else:
            await problem(Fault.RATE_LIMITED, _DETAIL, headers=_refused(allowance))(
                scope, receive, send_with_allowances
            )

    def _counted(self, scope: Scope, client: Address | None) -> tuple[str, RateLimit]:
        """By whom and by which limit."""
        if scope["path"].startswith(NOTIFICATIONS):
            return one_client(client), self._of_notifications
        if (operator := self._admin.counted_as(scope)) is not None:
            return operator, self._of_operators
        return one_client(client), self._limit


class MerchantLimit:
    """What all clients of one merchant may ask for together, where that is limited."""

    def __init__(self, limits: RateLimits, limit: RateLimit | None) -> None:
        self._limits = limits
        self._limit = limit

    async def admit(self, request: Request, merchant_id: str) -> None:
        """Raises Rejected."""
        if self._limit is None:
            return
        allowance = await self._limits.take(merchant_id, self._limit)
        request.state.allowances.append(allowance)
        if not allowance.is_allowed:
            raise Rejected(Fault.RATE_LIMITED, _DETAIL, headers=_refused(allowance))


def _refused(allowance: Allowance) -> dict[str, str]:
    RATE_LIMITED.labels(allowance.limit.name).inc()
    return {"Retry-After": str(allowance.more_after_s)}


def _headers(allowances: Sequence[Allowance]) -> list[tuple[bytes, bytes]]:
    """The quota is the burst, and its window the time in which it grows back from nothing."""
    policies = ", ".join(
        f'"{one.limit.name}";q={one.limit.burst};w={_window_s(one.limit)}' for one in allowances
    )
    left = ", ".join(f'"{one.limit.name}";r={one.remaining};t={one.more_after_s}' for one in allowances)
    return [(b"ratelimit-policy", policies.encode()), (b"ratelimit", left.encode())]


def _window_s(limit: RateLimit) -> int:
    return ceil(limit.burst * limit.interval_us / 1_000_000)
