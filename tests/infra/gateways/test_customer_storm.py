"""Ten thousand customers without money say nothing about a gateway: no fault of its own is counted."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import cycle

import msgspec
import pytest
from prometheus_client import REGISTRY

from infra.clock import SystemClock
from infra.gateways.certain import CertainGateway, Gateway
from infra.gateways.classification import ANYTHING, Classification, Row, classification
from infra.gateways.http import Answer, GatewayHttp
from infra.gateways.razorpay import verdict as razorpay
from infra.gateways.razorpay.adapter import RazorpayGateway
from infra.gateways.razorpay.requests import Account
from infra.gateways.simulated import SimulatedGateway
from infra.gateways.simulator.app import Simulator
from infra.gateways.simulator.defaults import CANCELLED, NO_FUNDS, WRONG_PIN
from infra.gateways.simulator.profile import Latency, Profile, Wire
from infra.gateways.stripe import verdict as stripe
from infra.gateways.stripe.adapter import StripeGateway
from infra.memory.clock import MemoryClock
from infra.memory.gateways import Ledger, MemoryGateway
from schemas import ids
from schemas.charge import Charge
from schemas.ids import GatewayId
from schemas.instrument import Card
from schemas.outcome import Decline, Declined, InDoubt, Outcome
from tests.infra.gateways.serving import serving
from tests.jumping import elapsed_ms

pytestmark = pytest.mark.time_jumps

STORM = 10_000
AT_ONCE = 50
ACCOUNT = Account(key_id="rzp_test", key_secret="secret", email="a@example.com", contact="+919999999999")
_clock = SystemClock()


def faults(gateway: str) -> float:
    return REGISTRY.get_sample_value("payments_gateway_gateway_faults_total", {"gateway": gateway}) or 0.0


def a_charge(gateway: str) -> Charge:
    return Charge(
        attempt_id=ids.attempt_id(_clock.payment_id(), 1, 1),
        gateway=GatewayId(gateway),
        amount_minor=129_900,
        currency="INR",
        payment_method="CARD",
        instrument=Card(token="token_4Xyz", bin="411111", last4="1111"),
        timeout_ms=10_000,
    )


async def charged(gateway: Gateway, name: str) -> Outcome:
    return await gateway.charge(a_charge(name), lambda: True)


# Through the tables of both adapters


def of_razorpay(said: dict[str, str]) -> Outcome:
    error = {"code": "BAD_REQUEST_ERROR", **said}
    return razorpay.refused(Answer(status=400, body=msgspec.json.encode({"error": error})))


def of_stripe(said: dict[str, str]) -> Outcome:
    intent = {"id": "pi_1", "status": "requires_payment_method", "amount": 129_900, "currency": "inr"}
    error = {
        "type": said.get("type", "card_error"),
        "code": said.get("error_code"),
        "decline_code": said.get("decline_code"),
        "payment_intent": intent,
    }
    return stripe.charged(Answer(status=402, body=msgspec.json.encode({"error": error})), a_charge("stripe"))


def what_customers_do_wrong(table: Classification) -> Iterator[dict[str, str]]:
    """Over and over, in the words of every row that blames a customer; a detail that fits anything is left out."""
    return cycle(_said(table, row) for row in table.rows if row.meaning.blame == "customer")


def _said(table: Classification, row: Row) -> dict[str, str]:
    return {column: word for column, word in zip(table.columns, row.said, strict=True) if word != ANYTHING}


@pytest.mark.parametrize(("name", "outcome_of"), [("razorpay", of_razorpay), ("stripe", of_stripe)])
async def test_no_row_that_blames_customers_moves_the_counter(
    name: str, outcome_of: Callable[[dict[str, str]], Outcome]
) -> None:
    storm = what_customers_do_wrong(classification(name))
    ledger = Ledger(MemoryClock(), lambda _: outcome_of(next(storm)))
    gateway = CertainGateway(MemoryGateway(ledger, MemoryClock()), elapsed_ms)
    before, came_to = faults(f"{name}-table"), Counter[str]()
    for _ in range(STORM):
        outcome = await charged(gateway, f"{name}-table")
        came_to[outcome.decline.blame if isinstance(outcome, Declined) else type(outcome).__name__] += 1
    assert set(came_to) <= {"customer", InDoubt.__name__}
    assert came_to["customer"] > STORM * 0.8
    assert faults(f"{name}-table") == before


# Through every wire of the simulator


@asynccontextmanager
async def a_gateway(wire: Wire) -> AsyncIterator[tuple[CertainGateway, Simulator]]:
    simulator = Simulator([])
    async with serving(simulator) as url:
        http = GatewayHttp(f"{url}/{wire}", max_concurrent_calls=AT_ONCE)
        adapters: dict[Wire, Callable[[], Gateway]] = {
            "simulator": lambda: SimulatedGateway(http),
            "razorpay": lambda: RazorpayGateway(http, ACCOUNT, elapsed_ms),
            "stripe": lambda: StripeGateway(
                http, secret_key="sk_test", return_url="https://shop.example/paid"
            ),
        }
        simulator.profiles[wire] = Profile(
            gateway=wire,
            wire=wire,
            latency=Latency(fixed_ms=0),
            success_rate=0,
            declines=(NO_FUNDS, CANCELLED, WRONG_PIN),
        )
        yield CertainGateway(adapters[wire](), elapsed_ms), simulator
        await http.close()


async def storm(wire: Wire, size: int) -> None:
    before = faults(wire)
    came_to = Counter[str]()
    async with a_gateway(wire) as (gateway, _):

        async def customers(number: int) -> None:
            for _ in range(number):
                outcome = await charged(gateway, wire)
                assert isinstance(outcome, Declined)
                came_to[outcome.decline.blame] += 1

        async with asyncio.TaskGroup() as crowd:
            for _ in range(AT_ONCE):
                crowd.create_task(customers(size // AT_ONCE))
    assert came_to == {"customer": size}
    assert faults(wire) == before


@pytest.mark.parametrize("wire", ["simulator", "razorpay", "stripe"])
async def test_no_customers_decline_on_any_wire_moves_the_counter(wire: Wire) -> None:
    await storm(wire, 500)


@pytest.mark.deep
@pytest.mark.parametrize("wire", ["simulator", "razorpay", "stripe"])
async def test_nor_do_ten_thousand(wire: Wire) -> None:
    await storm(wire, STORM)


# And what does move it


async def test_a_gateway_that_breaks_down_is_seen_at_once_beside_the_storm() -> None:
    broken = Declined(decline=Decline(code="gateway_error", blame="gateway", retryable=True))
    ledger = Ledger(MemoryClock(), lambda _: broken)
    gateway = CertainGateway(MemoryGateway(ledger, MemoryClock()), elapsed_ms)
    before = faults("broken")
    await charged(gateway, "broken")
    assert faults("broken") == before + 1


async def test_our_own_limit_of_calls_is_not_the_gateways_fault() -> None:
    async with a_gateway("simulator") as (gateway, _):
        before = faults("simulator")
        async with asyncio.TaskGroup() as crowd:
            tasks = [crowd.create_task(charged(gateway, "simulator")) for _ in range(4 * AT_ONCE)]
        reasons = {getattr(task.result(), "reason", None) for task in tasks}
        assert "too_busy" in reasons
        assert faults("simulator") == before
