"""The simulator as an ASGI application, and as a server: one process, several gateways, named in the path."""

import asyncio
import socket
from collections.abc import Iterable
from typing import Any, Protocol

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from infra.gateways.simulator.answering import InFlight, LookUps
from infra.gateways.simulator.charges import Charges
from infra.gateways.simulator.control import Control
from infra.gateways.simulator.faults import TRANSPORT
from infra.gateways.simulator.ledger import Ledger
from infra.gateways.simulator.profile import Profile, Wire
from infra.gateways.simulator.razorpay.notification import RazorpayNotifications
from infra.gateways.simulator.razorpay.wire import RazorpayWire
from infra.gateways.simulator.stripe.notification import stripe_notification
from infra.gateways.simulator.stripe.wire import StripeWire
from infra.gateways.simulator.webhooks import Signed, Webhooks
from infra.gateways.simulator.wire import Receive, Refused, Scope, Send, answer

KEEP_ALIVE_S = 75


class WireServer(Protocol):
    """How a gateway is spoken to; `path` is what follows its name."""

    async def serve(
        self, profile: Profile, path: list[str], scope: Scope, receive: Receive, send: Send
    ) -> None: ...


class Simulator:
    def __init__(self, profiles: Iterable[Profile]) -> None:
        self.profiles = {profile.gateway: profile for profile in profiles}
        self.ledger = Ledger()
        in_flight = InFlight()
        self.razorpay = RazorpayWire(self.ledger, in_flight)
        self.stripe = StripeWire(self.ledger, in_flight)
        self._wires: dict[Wire, WireServer] = {
            "simulator": Charges(self.ledger, in_flight),
            "razorpay": self.razorpay,
            "stripe": self.stripe,
        }
        self._look_ups = LookUps()
        self._control = Control(self.profiles, self.ledger, self._look_ups, forget=self.forget)
        signed: dict[Wire, Signed] = {
            "razorpay": RazorpayNotifications(self.razorpay.book),
            "stripe": stripe_notification,
        }
        self._webhooks = Webhooks(self.profiles, self.ledger, signed)
        self.ledger.changed = self._webhooks.noticed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._serve(scope, receive, send)
        except Refused as refusal:
            await answer(send, refusal.status, refusal.problem)

    def forget(self) -> None:
        self.ledger.clear()
        self.razorpay.book.clear()
        self.stripe.clear()
        self._look_ups.most.clear()

    async def close(self) -> None:
        await self._webhooks.close()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        _, first, *rest = scope["path"].split("/")
        if first == "control":
            await self._control.serve(rest, scope, receive, send)
            return
        profile = self.profiles.get(first)
        if profile is None:
            raise Refused(404, "unknown_gateway", f"there is no gateway {first}")
        serve = self._wires[profile.wire].serve
        if scope["method"] != "GET":
            await serve(profile, rest, scope, receive, send)
            return
        with self._look_ups.one_more(profile.gateway):
            await asyncio.sleep(profile.lookup_ms / 1000)
            await serve(profile, rest, scope, receive, send)


class BreakableProtocol(HttpToolsProtocol):
    """Hands the application its connection, so that a gateway may hang up in the middle of a word."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {TRANSPORT: self.transport}  # type: ignore[dict-item]


class Server(uvicorn.Server):
    def __init__(self, simulator: Simulator, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._simulator = simulator

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        await self._simulator.close()


def server(simulator: Simulator, **settings: Any) -> uvicorn.Server:
    """`settings` are uvicorn's, above all `host` and `port`."""
    return Server(
        simulator,
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
        ),
    )
