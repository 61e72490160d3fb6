"""What every answer tells browsers and caches: to guess nothing, to keep nothing, and to run nothing.

A route that means otherwise sets the header itself. There is no CORS: pages of other origins may not read us.
"""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.client_address import TrustedProxies

ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_OVER_HTTPS = (b"strict-transport-security", b"max-age=31536000")


class SecurityHeaders:
    def __init__(self, app: ASGIApp, proxies: TrustedProxies) -> None:
        self._app = app
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name for name, _ in message["headers"]}
                message["headers"] += [header for header in ALWAYS if header[0] not in given]
                if self._proxies.are_reached_by_https(scope):
                    message["headers"].append(_OVER_HTTPS)
            await send(message)

        await self._app(scope, receive, send_secured)
