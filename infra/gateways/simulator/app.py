"""The simulator as an ASGI application, and as a server: one process, several gateways, named in the path."""

from collections.abc import Iterable
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from infra.gateways.simulator.charges import Charges
from infra.gateways.simulator.control import Control
from infra.gateways.simulator.faults import TRANSPORT
from infra.gateways.simulator.ledger import Ledger
from infra.gateways.simulator.profile import Profile
from infra.gateways.simulator.wire import Receive, Refused, Scope, Send, answer

KEEP_ALIVE_S = 75


class Simulator:
    def __init__(self, profiles: Iterable[Profile]) -> None:
        self.profiles = {profile.gateway: profile for profile in profiles}
        self.ledger = Ledger()
        self._charges = Charges(self.ledger)
        self._control = Control(self.profiles, self.ledger)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._serve(scope, receive, send)
        except Refused as refusal:
            await answer(send, refusal.status, refusal.problem)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        _, first, *rest = scope["path"].split("/")
        if first == "control":
            await self._control.serve(rest, scope, receive, send)
            return
        profile = self.profiles.get(first)
        if profile is None:
            raise Refused(404, "unknown_gateway", f"there is no gateway {first}")
        match (scope["method"], *rest):
            case ("POST", "charges"):
                await self._charges.create(profile, scope, receive, send)
            case ("GET", "charges", reference):
                await self._charges.look_up(profile, reference, send)
            case ("POST", "charges", reference, "burn"):
                await self._charges.burn(profile, reference, send)
            case ("POST", "charges", reference, "give-back"):
                await self._charges.give_back(profile, reference, send)
            case _:
                raise Refused(404, "not_found", "a gateway has no such resource")


class BreakableProtocol(HttpToolsProtocol):
    """Hands the application its connection, so that a gateway may hang up in the middle of a word."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {TRANSPORT: self.transport}  # type: ignore[dict-item]


def server(simulator: Simulator, **settings: Any) -> uvicorn.Server:
    """`settings` are uvicorn's, above all `host` and `port`."""
    return uvicorn.Server(
        uvicorn.Config(
            simulator,
            http=BreakableProtocol,
            loop="uvloop",
            lifespan="off",
            ws="none",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            log_level="warning",
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=1,
            **settings,
        )
    )
