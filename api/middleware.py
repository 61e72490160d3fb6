"""What surrounds every request, as pure ASGI: its id, its measures, and an answer whatever goes wrong inside."""

import asyncio
import traceback
from collections.abc import Iterator

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import headers, metrics
from api.errors import going_away, internal_error
from commands.ports import Clock

log = structlog.get_logger(__name__)


class RequestId:
    """The client's X-Request-Id where it is sane, else a new one: in the logs, on the log and in every answer."""

    def __init__(self, app: ASGIApp, clock: Clock) -> None:
        self._app = app
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = headers.request_id(scope) or "req_" + self._clock.event_id().removeprefix("evt_")
        scope.setdefault("state", {})["request_id"] = request_id
        structlog.contextvars.bind_contextvars(request_id=request_id)
        echo = (b"x-request-id", request_id.encode())

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"].append(echo)
            await send(message)

        await self._app(scope, receive, send_with_id)


class Measured:
    def __init__(self, app: ASGIApp, clock: Clock) -> None:
        self._app = app
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = metrics.CLIENT_GONE
        since_ms = self._clock.elapsed_ms()

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        metrics.IN_FLIGHT.inc()
        try:
            await self._app(scope, receive, send_and_note)
        finally:
            metrics.IN_FLIGHT.dec()
            route = getattr(scope.get("route"), "path", "unmatched")
            problem = scope["state"].get("problem", "")
            metrics.observe(route, scope["method"], status, problem, self._clock.elapsed_ms() - since_ms)


class Guarded:
    """An exception that nobody expected becomes a 500 without any inner text, and a line in the log.

    The server cancels a request only when it stops and has waited long enough: that client hears of it too.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_started = False

        async def send_and_note(message: Message) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except asyncio.CancelledError:
            if scope["type"] != "http" or has_started:
                raise
            await going_away()(scope, receive, send)
        except Exception as error:
            if scope["type"] != "http" or has_started:
                raise
            log.error(
                "unexpected failure", path=_template(scope), errors=list(_kinds(error)), frames=_frames(error)
            )
            await internal_error()(scope, receive, send)


def _template(scope: Scope) -> str:
    return str(getattr(scope.get("route"), "path", "unmatched"))


def _kinds(error: BaseException) -> Iterator[str]:
    """The exception and its causes by kind: their texts may quote an instrument."""
    current: BaseException | None = error
    while current is not None:
        yield type(current).__name__
        current = current.__cause__


def _frames(error: BaseException) -> list[str]:
    """The last calls before the failure, as file, line and function, without any value."""
    calls = traceback.extract_tb(error.__traceback__)[-8:]
    return [f"{frame.name} ({frame.filename}:{frame.lineno})" for frame in calls]
