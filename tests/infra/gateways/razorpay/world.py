"""The Razorpay adapter before a simulator that speaks Razorpay's wire, and a hand that may meddle with single calls."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from infra.clock import SystemClock
from infra.gateways.http import GatewayHttp
from infra.gateways.razorpay.adapter import RazorpayGateway
from infra.gateways.razorpay.api import RazorpayApi
from infra.gateways.razorpay.requests import Account
from infra.gateways.simulator import faults
from infra.gateways.simulator.app import Simulator
from infra.gateways.simulator.profile import Latency, Profile, WeightedDecline
from infra.gateways.simulator.wire import Receive, Scope, Send, answer, read_body
from schemas import ids
from schemas.charge import Charge, Reference
from schemas.ids import GatewayId
from schemas.instrument import Card, Instrument, Upi, method_of
from schemas.outcome import Outcome
from tests.infra.gateways.serving import serving
from tests.jumping import elapsed_ms

KEY_ID, KEY_SECRET = "rzp_test_4Xyz", "do-not-tell-anybody"
ACCOUNT = Account(key_id=KEY_ID, key_secret=KEY_SECRET, email="a@example.com", contact="+919999999999")
VPA = "test.user@okhdfcbank"
CARD = Card(token="token_4Xyz", bin="411111", last4="1111")
UPI = Upi(vpa=VPA)
NO_FUNDS = WeightedDecline(code="BAD_REQUEST_ERROR", source="customer", reason="insufficient_funds")

clock = SystemClock()


class Meddled(Simulator):
    """By its method and the end of its path: `answers` replaces what is said to a call (None for silence), and `before`
    happens before it. `seen` are the calls that came, with their bodies."""

    def __init__(self) -> None:
        super().__init__([])
        self.answers: dict[tuple[str, str], tuple[int, object] | None] = {}
        self.before: dict[tuple[str, str], Callable[[], Awaitable[None]]] = {}
        self.seen: list[tuple[str, str, bytes]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(receive)
        method, path = scope["method"], scope["path"]
        self.seen.append((method, path, body))
        for (its_method, end), happens in list(self.before.items()):
            if method == its_method and path.endswith(end):
                await happens()
        for (its_method, end), said in self.answers.items():
            if method == its_method and path.endswith(end):
                if said is None:
                    await faults.stay_silent(scope, receive)
                else:
                    await answer(send, *said)
                return
        await super().__call__(scope, _again(body, receive), send)


def _again(body: bytes, receive: Receive) -> Receive:
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> Any:
        return messages.pop() if messages else await receive()

    return received


class World:
    def __init__(self, simulator: Meddled, gateway: RazorpayGateway, api: RazorpayApi) -> None:
        self.simulator = simulator
        self.gateway = gateway
        self.api = api
        self.behave()

    def behave(self, **profile: Any) -> None:
        usual: dict[str, Any] = {
            "gateway": "alpha",
            "wire": "razorpay",
            "credentials": f"{KEY_ID}:{KEY_SECRET}",
            "latency": Latency(fixed_ms=0),
            "success_rate": 1.0,
            "declines": (NO_FUNDS,),
        }
        self.simulator.profiles["alpha"] = Profile(**(usual | profile))

    def meddle(self, method: str, end: str, status: int, content: object) -> None:
        self.simulator.answers[method, end] = (status, content)

    def silence(self, method: str, end: str) -> None:
        self.simulator.answers[method, end] = None

    def stop_meddling(self) -> None:
        self.simulator.answers.clear()

    def asked(self, end: str) -> int:
        return sum(path.endswith(end) for _, path, _ in self.simulator.seen)

    async def pay(self, charge: Charge, may_send: Callable[[], bool] = lambda: True) -> Outcome:
        return await self.gateway.charge(charge, may_send)

    def charges(self) -> list[str]:
        """How every charge stands, in truth."""
        return [charge.status for charge in self.simulator.ledger.after(0)]


@asynccontextmanager
async def a_world(account: Account = ACCOUNT) -> AsyncIterator[World]:
    simulator = Meddled()
    async with serving(simulator) as url:
        http = GatewayHttp(f"{url}/alpha", max_concurrent_calls=100)
        gateway = RazorpayGateway(http, account, elapsed_ms)
        yield World(simulator, gateway, RazorpayApi(http, account))
        await http.close()


def a_charge(instrument: Instrument = CARD, timeout_ms: int = 2_000) -> Charge:
    return Charge(
        attempt_id=ids.attempt_id(clock.payment_id(), 1, 1),
        gateway=GatewayId("alpha"),
        amount_minor=129_900,
        currency="INR",
        payment_method=method_of(instrument),
        instrument=instrument,
        timeout_ms=timeout_ms,
        client_ip="203.0.113.9",
        user_agent="a browser",
    )


def the_reference(charge: Charge) -> Reference:
    return Reference(attempt_id=charge.attempt_id, amount_minor=charge.amount_minor, currency=charge.currency)
