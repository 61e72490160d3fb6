"""A secret key goes into one header and nowhere else; nor does what a customer pays with."""

import logging
from collections.abc import AsyncIterator, Iterator

import msgspec
import pytest
import pytest_asyncio
import structlog

from infra.gateways.registry import GatewayRegistry, registry
from infra.gateways.simulator.app import Simulator
from infra.gateways.simulator.profile import Fault, FaultKind, Latency, Profile
from infra.settings import Settings
from infra.telemetry import configure_logging
from schemas.charge import Reference
from schemas.ids import GatewayId
from schemas.instrument import Card
from tests.infra.gateways.serving import serving
from tests.infra.gateways.stripe.intents import a_charge

pytestmark = pytest.mark.time_jumps

KEY = "sk_live_51SecretOfThisTest"
TOKEN = "pm_1SecretOfTheCustomer"
FAULTS: list[FaultKind] = [
    "effect_then_500",
    "effect_then_timeout",
    "effect_then_reset",
    "garbage_body",
    "truncated_body",
    "rate_limited_429",
]


@pytest.fixture
def logged(capfd: pytest.CaptureFixture[str]) -> Iterator[pytest.CaptureFixture[str]]:
    """What is logged as in production, and more of it."""
    handlers = logging.getLogger().handlers[:]
    configure_logging(Settings(app_env="production", log_level="DEBUG"))
    yield capfd
    logging.getLogger().handlers = handlers
    structlog.reset_defaults()


class Stripe:
    def __init__(self, simulator: Simulator, url: str) -> None:
        environment = {"STRIPE_SECRET_KEY": KEY, "STRIPE_BASE_URL": f"{url}/stripe", "LOG_LEVEL": "DEBUG"}
        self.settings = Settings.from_environment(environment)
        self.simulator = simulator
        self.registry: GatewayRegistry = registry(self.settings)

    def behaves(self, *faults: FaultKind, credentials: str = KEY) -> None:
        self.simulator.profiles["stripe"] = Profile(
            gateway="stripe",
            wire="stripe",
            credentials=credentials,
            latency=Latency(fixed_ms=0),
            faults=tuple(Fault(kind=kind) for kind in faults),
        )


@pytest_asyncio.fixture
async def stripe() -> AsyncIterator[Stripe]:
    simulator = Simulator([])
    async with serving(simulator) as url:
        stripe = Stripe(simulator, url)
        stripe.behaves()
        yield stripe
        await stripe.registry.close()


async def everything_asked(stripe: Stripe) -> list[object]:
    gateway = stripe.registry[GatewayId("stripe")]
    instrument = Card(token=TOKEN, bin="424242", last4="4242")
    charge = a_charge(instrument)
    reference = Reference(
        attempt_id=charge.attempt_id, amount_minor=charge.amount_minor, currency=charge.currency
    )
    return [
        await gateway.charge(charge, lambda: True),
        await gateway.look_up(charge.attempt_id),
        await gateway.capture(charge.attempt_id),
        await gateway.give_back(charge.attempt_id),
        await gateway.burn(reference),
    ]


@pytest.mark.parametrize("fault", FAULTS)
async def test_no_secret_is_answered_or_logged_whatever_goes_wrong(
    stripe: Stripe, logged: pytest.CaptureFixture[str], fault: FaultKind
) -> None:
    stripe.behaves(fault)
    nothing_is_told(await everything_asked(stripe), logged)


async def test_no_secret_is_answered_or_logged_when_all_goes_well(
    stripe: Stripe, logged: pytest.CaptureFixture[str]
) -> None:
    nothing_is_told(await everything_asked(stripe), logged)


async def test_no_secret_is_answered_or_logged_when_it_is_the_wrong_one(
    stripe: Stripe, logged: pytest.CaptureFixture[str]
) -> None:
    stripe.behaves(credentials="sk_live_another")
    nothing_is_told(await everything_asked(stripe), logged)


def nothing_is_told(answers: list[object], logged: pytest.CaptureFixture[str]) -> None:
    said = logged.readouterr()
    for text in (msgspec.json.encode(answers).decode(), repr(answers), said.out, said.err):
        assert KEY not in text
        assert TOKEN not in text


async def test_no_secret_is_logged_when_our_own_code_fails(
    stripe: Stripe, logged: pytest.CaptureFixture[str]
) -> None:
    gateway = stripe.registry[GatewayId("stripe")]
    charge = a_charge(Card(token=TOKEN, bin="424242", last4="4242"))
    await gateway.charge(charge, lambda: bool(1 / 0))

    said = logged.readouterr().err
    assert "ZeroDivisionError" in said
    assert KEY not in said
    assert TOKEN not in said


async def test_nothing_shows_its_secrets(stripe: Stripe) -> None:
    for thing in (
        stripe.registry,
        stripe.registry.gateways(),
        stripe.settings,
        stripe.registry[GatewayId("stripe")],
    ):
        assert KEY not in repr(thing)
