"""Weak points in control that a payment router is known to have, and where each is proven not to be ours.

What is asked over HTTP
1. Every failure has another shape, some without a media type. Below.
2. A path that does not exist is answered 401. Below.
3. A failure tells of the inside: SQL, constraints, addresses. Below.
4. An empty Idempotency-Key is a key. Below.
5. A body that makes no sense is taken: no merchant, another instrument than the method, any amount, a NUL. Below.
6. A strange character in a card number drops the connection. Below.
7. Whatever became of a payment, it is answered 200. Below.
8. What does not exist is answered 200: attempts of no payment, a gateway, a winner, a stop. Below.
9. Some of what changes the system needs no key. Below, for every operation that there is.
10. A window that does not exist is silently another one. Each answer has all four: below.
11. What is shown for debugging is not what payments are scored by. Below.
12. Circuits are told to be closed while nobody knows. Below.
13. An override of a circuit that does not exist is taken, and none can ever be lifted. Below.
14. Attempts and latency budgets below zero are taken, and so is a policy of somebody else than the path says. Below.
15. Shares below nought or above all, gateways and days that cannot be: any experiment is started. Below.
16. Readiness says that a worker lives because a SELECT works. Each has its own, and `/ops/lag` is of them all: below.

Circuits
17. One failure of an idle gateway opens its circuit. Below.
18. All payments at once are the probes of a circuit that may be tried again.
    `tests/contract/test_probes.py`, and with payments `test_circuits.test_a_gateway_that_breaks_is_avoided_...`
19. A gateway that is skipped uses up an attempt. Below.
20. Successes at once are lost in a race, and each racing writer tells of it. One writer:
    `tests/streams/test_circuit_writer.py`, `test_after_kills_in_the_middle_the_events_are_those_of_a_fold_...`

Experiments
21. The treatment's share is not looked at. `tests/commands/test_assignment.py`, and below.
22. A variant that changes nothing is an exposure, and a fall-back's outcome is lost or another variant's.
    `test_experiments.test_a_payment_that_no_variant_routes_otherwise_...`, `tests/projections/test_experiments.py`
23. A payment that failed everywhere is in no arm. `tests/projections/test_experiments.py`, `..._comes_to_the_same_sums`
24. Every look is another chance to be wrong.
    `tests/projections/statistics/test_sequential.py`, `..._however_often_looked_at`
25. A treatment is paused though control has no figures to speak of. `tests/projections/statistics/test_judge.py`
26. What pauses an experiment sends a webhook from where it stands. It is an event (`test_experiment_guardrails`).

Limits, keys and webhooks
27. A client takes another limit with each address that he invents, and leaves a key of each in Redis. Below.
28. Who is limited is told neither when to come again nor in a form that can be read, and probes are limited too. Below.
29. Without Redis there is no limit. Below.
30. The key is compared letter by letter, and production starts with the one that everybody knows. Digests are compared,
    in constant time (`api/admin.py`); below.
31. Webhooks carry the secret itself, and neither id nor time. Below.
32. Webhooks are sent inside the payment, which waits for its receivers. Below.
33. What a receiver did not take is forgotten. Below.
34. Who is told is a matter of SQL. `tests/api/test_webhooks.py`, and all of these below.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web
from standardwebhooks import Webhook

from infra.local import ROOT
from infra.local.stack import Stack
from infra.redis.connection import connect
from infra.settings import DEFAULT_ADMIN_KEY
from tests.chaos.test_one_key import new_key
from tests.product import BODY, Answer, Client, Product, own_servers, running
from tests.waiting import until

pytestmark = pytest.mark.chaos

GATEWAYS = ("razorpay", "stripe", "payu", "cashfree")
UNKNOWN = "pay_01jd8x5w3r0000000000000000"
PROBLEM = {"type", "title", "status", "detail", "errors"}
OF_THE_INSIDE = (
    "asyncpg",
    "select ",
    "errno",
    "connection refused",
    "traceback",
    "127.0.0.1",
    "reservations",
)
SHARE = 200
"""Customers, of whom a tenth are to be treated."""


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Servers of their own: what figures and circuits learn here would lead the payments of other tests elsewhere."""
    with own_servers("control") as stack:
        yield stack


@pytest.fixture(scope="module")
def product(stack: Stack) -> Iterator[Product]:
    product = Product(
        stack,
        stack.folder / "control",
        apis=2,
        circuit_writers=1,
        metrics_workers=1,
        webhook_dispatchers=1,
        env={"WEBHOOK_ALLOWED_TARGETS": "127.0.0.0/8"},
    )
    with running(product):
        yield product


@pytest.fixture(scope="module")
def strict(stack: Stack, product: Product) -> Iterator[Product]:
    """An API process that trusts no proxy and has a small limit."""
    limits = {"RATE_LIMIT_PER_SECOND": "1", "RATE_LIMIT_BURST": "20", "TRUSTED_PROXIES": ""}
    strict = Product(stack, stack.folder / "strict", workers=0, env=limits)
    with running(strict):
        yield strict


@pytest.fixture
async def client(product: Product) -> AsyncIterator[Client]:
    client = Client(product)
    for gateway in GATEWAYS:
        await client.set_profile(gateway, seed=7, success_rate=1.0, latency={"fixed_ms": 5})
    yield client
    await client.close()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as http:
        yield http


class Asked:
    """A service, asked in whatever way."""

    def __init__(self, product: Product, http: aiohttp.ClientSession) -> None:
        self._product = product
        self._http = http

    async def __call__(
        self, method: str, path: str, *, api: int = 0, json: Any = None, data: Any = None, **headers: str
    ) -> Answer:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        url = self._product.apis[api].url + path
        async with self._http.request(method, url, json=json, data=data, headers=sent) as answer:
            return Answer(answer.status, await answer.json(content_type=None), answer.headers)

    async def by_an_operator(self, method: str, path: str, **options: Any) -> Answer:
        return await self(method, path, X_Internal_Api_Key=DEFAULT_ADMIN_KEY, **options)


@pytest.fixture
def ask(product: Product, http: aiohttp.ClientSession) -> Asked:
    return Asked(product, http)


def assert_problem(answer: Answer, status: int, name: str) -> None:
    assert answer.status == status, answer
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.body["type"] == f"/problems/{name}"
    assert set(answer.body) <= PROBLEM


# What is asked over HTTP


async def test_1_every_failure_has_one_shape_and_a_media_type(ask: Asked) -> None:
    pay: Mapping[str, Any] = {"Idempotency_Key": new_key(), "Content_Type": "application/json"}
    assert_problem(await ask("POST", "/payments", data=b"{", **pay), 400, "malformed-body")
    assert_problem(await ask("POST", "/payments", json={}, **pay), 422, "invalid-body")
    assert_problem(
        await ask("POST", "/payments", data=b"x", Idempotency_Key="k", Content_Type="text/plain"),
        415,
        "unsupported-media-type",
    )
    assert_problem(await ask("POST", "/payments", json=BODY), 400, "idempotency-key-missing")
    assert_problem(await ask("DELETE", "/payments"), 405, "method-not-allowed")
    assert_problem(await ask("GET", f"/payments/{UNKNOWN}"), 404, "payment-not-found")
    assert_problem(await ask("GET", "/audit"), 401, "unauthorized")


@pytest.mark.parametrize(
    "path", ["/", "/payment", "/health", "/payments/a/b/c", "/admin", "/experiments/a/b"]
)
async def test_2_a_path_that_does_not_exist_is_404_with_a_key_and_without(ask: Asked, path: str) -> None:
    assert_problem(await ask("GET", path), 404, "path-not-found")
    for key in (DEFAULT_ADMIN_KEY, "a guess"):
        assert_problem(await ask("GET", path, X_Internal_Api_Key=key), 404, "path-not-found")


@pytest.mark.safety
async def test_3_a_failure_tells_nothing_of_the_inside(product: Product, client: Client) -> None:
    product.stack.postgres.pause()
    try:
        refused = await client.pay(new_key())
        unread = await client.get("/audit?limit=1", X_Internal_Api_Key=DEFAULT_ADMIN_KEY)
    finally:
        product.stack.postgres.resume()
    for answer in (refused, unread):
        assert_problem(answer, 503, "store-unavailable")
        text = msgspec.json.encode(answer.body).decode().lower()
        assert not [word for word in OF_THE_INSIDE if word in text], text

    async def pays_again() -> bool:
        return (await client.pay(new_key())).status == 201

    await until(pays_again)


@pytest.mark.parametrize("key", ["", " ", "\t"])
async def test_4_an_empty_key_is_none(ask: Asked, key: str) -> None:
    assert_problem(
        await ask("POST", "/payments", json=BODY, Idempotency_Key=key), 400, "idempotency-key-missing"
    )


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"merchant_id": ""}, "/merchant_id"),
        ({"customer_id": "a\0b"}, "/customer_id"),
        ({"merchant_id": "m\0"}, "/merchant_id"),
        ({"amount_minor": 0}, "/amount_minor"),
        ({"amount_minor": 2**63 - 1}, "/amount_minor"),
        ({"payment_method": "CARD"}, "/instrument/type"),
        ({"currency": "XXX"}, "/currency"),
        ({"colour": "red"}, "/colour"),
    ],
)
async def test_5_a_body_that_makes_no_sense_is_refused_by_name(
    client: Client, changes: Mapping[str, Any], pointer: str
) -> None:
    refused = await client.pay(new_key(), **changes)
    assert_problem(refused, 422, "invalid-body")
    assert [error["pointer"] for error in refused.body["errors"]] == [pointer]


@pytest.mark.safety
@pytest.mark.parametrize("number", ["41111é1111111111", "4111111111111111", "💳" * 16])
async def test_6_whatever_stands_for_a_card_number_is_answered_and_not_repeated(
    client: Client, number: str
) -> None:
    card = {"type": "CARD", "number": number, "exp_month": 1, "exp_year": 2030, "cvv": "123", "name": "A"}
    refused = await client.pay(new_key(), payment_method="CARD", instrument=card)
    assert_problem(refused, 422, "invalid-body")
    assert number not in msgspec.json.encode(refused.body).decode()


async def test_7_the_status_tells_what_became_of_a_payment(client: Client) -> None:
    assert (await client.pay(new_key())).status == 201
    for gateway in GATEWAYS:
        await client.set_profile(gateway, seed=7, success_rate=0.0, latency={"fixed_ms": 5})
    assert (await client.pay(new_key())).status == 402
    for gateway in GATEWAYS:
        await client.set_profile(gateway, seed=7, success_rate=1.0, faults=[{"kind": "effect_then_timeout"}])
    assert (await client.pay(new_key())).status == 202


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(
            ("GET", f"/payments/{UNKNOWN}{part}")
            for part in ("", "/attempts", "/routing-decision", "/events")
        ),
        ("GET", f"/payments/{UNKNOWN}/status-verification"),
        ("PATCH", "/gateways/moon"),
        ("GET", "/metrics/gateways/moon"),
        ("POST", "/circuit-breaker/force-open/moon/UPI"),
        ("POST", "/circuit-breaker/force-close/payu/CASH"),
        *(("GET", f"/experiments/exp_1{part}") for part in ("", "/results", "/winner")),
        *(("POST", f"/experiments/exp_1{part}") for part in ("/stop", "/pause", "/resume")),
        ("POST", "/bandit/policy/CASH/enable"),
        ("POST", f"/reviews/{UNKNOWN}/settle"),
        ("DELETE", "/webhooks/subscriptions/whs_1"),
        ("POST", "/webhooks/deliveries/dlv_1/replay"),
    ],
)
async def test_8_what_does_not_exist_is_404(ask: Asked, method: str, path: str) -> None:
    bodies = {
        "PATCH": {"fee_bps": 1, "by": "asha", "note": "n"},
        "settle": {"attempt_id": "att_1", "verdict": "declined", "note": "n", "settled_by": "asha"},
    }
    body = bodies.get(method) or bodies.get(path.rpartition("/")[2])
    answer = await ask.by_an_operator(method, path, json=body, If_Match='"0"')
    assert answer.status == 404, answer
    assert answer.headers["Content-Type"] == "application/problem+json"


async def test_9_nothing_is_changed_without_a_key(ask: Asked) -> None:
    document = (await ask("GET", "/openapi.json")).body
    changing = [
        (method.upper(), path)
        for path, methods in document["paths"].items()
        for method in methods
        if method != "get" and not path.startswith(("/payments", "/gateway-notifications"))
    ]
    assert len(changing) > 15
    for method, path in changing:
        body: dict[str, Any] = {"data": b"{}", "Content_Type": "application/json"}
        assert_problem(await ask(method, path, **body), 401, "unauthorized")
        for key in ("", "a guess"):
            answer = await ask(method, path, X_Internal_Api_Key=key, **body)
            assert_problem(answer, 401, "unauthorized")


async def test_10_every_window_is_told_by_its_own_name(client: Client, ask: Asked) -> None:
    await client.pay(new_key())

    async def is_published() -> bool:
        return (await ask("GET", "/metrics/gateways/razorpay")).status == 200

    await until(is_published)
    figures = (await ask("GET", "/metrics/gateways/razorpay?window=7m")).body
    assert set(figures["total"]) == {"1m", "5m", "15m", "60m"}


async def test_11_what_is_shown_for_debugging_is_what_payments_are_scored_by(
    client: Client, ask: Asked
) -> None:
    """Where both were made from the same configuration, circuits and figures."""
    context = "payment_method=UPI&amount_minor=1000&merchant_id=m_001&issuer=okhdfcbank"

    async def is_the_same() -> bool:
        shown = (await ask.by_an_operator("GET", f"/scoring/debug?{context}")).body
        paid = await client.pay(new_key())
        events = (await client.get(f"/payments/{paid.payment_id}/events")).body["events"]
        (routed,) = (one["event"] for one in events if one["event"]["type"] == "PaymentRouted")
        if shown["versions"] != routed["decision"]["versions"]:
            return False
        assert shown["candidates"] == routed["candidates"]
        assert shown["weights"] == routed["decision"]["weights"]
        return True

    await until(is_the_same)


async def test_12_circuits_are_told_as_they_are_while_redis_stands_still(
    product: Product, ask: Asked
) -> None:
    assert (await ask.by_an_operator("POST", "/circuit-breaker/force-open/payu/WALLET")).status == 200
    product.stack.redis.pause()
    try:
        for api in (0, 1):
            told = await ask("GET", "/circuit-breaker/status?gateway=payu&method=WALLET", api=api)
            assert [one["status"] for one in told.body["circuits"]] == ["FORCED_OPEN"]
    finally:
        product.stack.redis.resume()
        await ask.by_an_operator("POST", "/circuit-breaker/release/payu/WALLET")


@pytest.mark.parametrize("order", ["force-open", "force-close"])
async def test_13_an_override_is_lifted_and_the_circuit_works_by_itself_again(ask: Asked, order: str) -> None:
    forced = await ask.by_an_operator("POST", f"/circuit-breaker/{order}/payu/WALLET")
    assert forced.body["status"] == f"FORCED_{'OPEN' if order == 'force-open' else 'CLOSED'}"
    released = await ask.by_an_operator("POST", "/circuit-breaker/release/payu/WALLET", api=1)
    assert (released.status, released.body["status"]) == (200, "CLOSED")


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"max_attempts": -3}, "/max_attempts"),
        ({"max_attempts": 11}, "/max_attempts"),
        ({"latency_budget_ms": -1}, "/latency_budget_ms"),
        ({"merchant_id": "somebody-else"}, "/merchant_id"),
    ],
)
async def test_14_a_retry_policy_that_cannot_be_is_refused(
    ask: Asked, changes: Mapping[str, Any], pointer: str
) -> None:
    policy = {"max_attempts": 2, "by": "asha", "note": "n", **changes}
    refused = await ask.by_an_operator("PUT", "/retry-policy/m_control", json=policy, If_Match='"0"')
    assert_problem(refused, 422, "invalid-body")
    assert [error["pointer"] for error in refused.body["errors"]] == [pointer]
    assert (await ask.by_an_operator("GET", "/retry-policy/m_control")).headers["ETag"] == '"0"'


def experiment(**changes: Any) -> dict[str, Any]:
    return {
        "name": f"weaknesses {new_key()}",
        "variants": [
            {"name": "control", "weight": 9_000},
            {"name": "payu-first", "weight": 1_000, "override": {"order": ["payu"]}},
        ],
        "filter": {"merchant_ids": ["m_tried"]},
        "planned_customers": 1_000,
        "planned_days": 1,
        "by": "asha",
        **changes,
    }


def variants(weight: int = 100, gateway: str = "payu") -> list[dict[str, Any]]:
    treatment = {"name": "treated", "weight": weight, "override": {"order": [gateway]}}
    return [{"name": "control", "weight": 100}, treatment]


@pytest.mark.parametrize(
    "changes",
    [
        {"variants": variants(weight=-50)},
        {"variants": variants(weight=100_000)},
        {"variants": variants(gateway="moon")},
        {"planned_days": -1},
        {"planned_customers": 0},
        {"filter": {"minimum_amount_minor": 10, "maximum_amount_minor": 1}},
    ],
)
async def test_15_an_experiment_that_cannot_be_is_not_started(ask: Asked, changes: Mapping[str, Any]) -> None:
    refused = await ask.by_an_operator("POST", "/experiments", json=experiment(**changes))
    assert_problem(refused, 422, "invalid-body")
    assert refused.body["errors"]


async def test_16_a_consumer_that_stands_still_is_told_though_its_store_answers(
    product: Product, client: Client, ask: Asked
) -> None:
    async def lag() -> int:
        told = (await ask("GET", "/ops/lag")).body["partitions"]
        return sum(one["lag"] or 0 for one in told if one["group"] == "projections-v1")

    async def is_behind() -> bool:
        return await lag() > 0

    async def has_caught_up() -> bool:
        return await lag() == 0

    await until(has_caught_up)
    product.worker.pause()
    try:
        await client.pay(new_key())
        await until(is_behind)
    finally:
        product.worker.resume()
    await until(has_caught_up)


# Circuits


async def test_17_one_failure_of_an_idle_gateway_opens_nothing(client: Client, ask: Asked) -> None:
    netbanking: dict[str, Any] = {
        "payment_method": "NETBANKING",
        "instrument": {"type": "NETBANKING", "bank_code": "HDFC"},
    }
    faults = [{"kind": "error_500_before_effect"}]
    await client.set_profile("razorpay", seed=7, success_rate=1.0, faults=faults)
    assert (await client.pay(new_key(), **netbanking)).body["gateway"] == "razorpay"

    async def writers_have_it() -> bool:
        told = (await ask("GET", "/ops/lag")).body["partitions"]
        return all(one["lag"] == 0 for one in told if one["group"] == "circuits-v1")

    await until(writers_have_it)
    told = await ask("GET", "/circuit-breaker/status?gateway=razorpay&method=NETBANKING")
    assert [one["status"] for one in told.body["circuits"]] == ["CLOSED"]


async def test_19_a_gateway_that_is_skipped_uses_up_no_attempt(client: Client, ask: Asked) -> None:
    skipped, tried = GATEWAYS[:2], GATEWAYS[2:]
    policy = {"max_attempts": 2, "by": "asha", "note": "two tries"}
    shown = await ask.by_an_operator("GET", "/retry-policy/m_two")
    await ask.by_an_operator("PUT", "/retry-policy/m_two", json=policy, If_Match=shown.headers["ETag"])
    for gateway in skipped:
        assert (await ask.by_an_operator("POST", f"/circuit-breaker/force-open/{gateway}/UPI")).status == 200
    try:
        first = (await client.pay(new_key(), merchant_id="m_two")).body["gateway"]
        await client.set_profile(first, seed=7, capacity=0, latency={"fixed_ms": 5})
        paid = await client.pay(new_key(), merchant_id="m_two")
    finally:
        for gateway in skipped:
            await ask.by_an_operator("POST", f"/circuit-breaker/release/{gateway}/UPI")
    (second,) = set(tried) - {first}
    assert (paid.status, paid.body["gateway"], paid.body["attempts"]) == (201, second, 2)


# Experiments


async def test_21_a_tenth_of_the_customers_is_a_tenth_and_the_filter_is_told(
    client: Client, ask: Asked
) -> None:
    started = await ask.by_an_operator("POST", "/experiments", json=experiment())
    assert (started.status, started.body["shares"]) == (201, {"control": 0.9, "payu-first": 0.1})
    assert started.body["design"]["filter"]["merchant_ids"] == ["m_tried"]
    try:
        answers = [
            await client.pay(new_key(), merchant_id="m_tried", customer_id=f"cust_{n}") for n in range(SHARE)
        ]
    finally:
        await ask.by_an_operator("POST", f"/experiments/{started.body['experiment_id']}/stop")
    treated = sum(answer.body["routing"]["variant"] == "payu-first" for answer in answers)
    exposed = sum(answer.body["routing"]["experiment"] is not None for answer in answers)
    assert exposed >= SHARE / 2  # others would have gone to the same gateway in either variant
    assert exposed * 0.02 < treated < exposed * 0.25


# Limits, keys and webhooks


async def flood(strict: Product, http: aiohttp.ClientSession, asked: int = 60) -> list[Answer]:
    """Each time as another client, as far as words go."""
    ask = Asked(strict, http)
    return [
        await ask(
            "GET", f"/payments/{UNKNOWN}", X_Forwarded_For=f"203.0.113.{n}", Forwarded=f"for=203.0.113.{n}"
        )
        for n in range(asked)
    ]


async def test_27_invented_addresses_are_one_client_with_one_key_in_redis(
    stack: Stack, strict: Product, http: aiohttp.ClientSession
) -> None:
    refused = [answer for answer in await flood(strict, http) if answer.status == 429]
    redis = connect(stack.env["REDIS_URL"])
    keys = [key async for key in redis.scan_iter(match="*203.0.113.*")]
    await redis.aclose()
    assert len(refused) >= 30
    assert keys == []


async def test_28_who_is_limited_is_told_when_to_come_again_and_probes_are_not_limited(
    strict: Product, http: aiohttp.ClientSession
) -> None:
    refused = (await flood(strict, http))[-1]
    assert_problem(refused, 429, "rate-limited")
    assert int(refused.headers["Retry-After"]) >= 1
    for probe in ("/ops/liveness", "/ops/readiness"):
        assert (await Asked(strict, http)("GET", probe)).status == 200


async def test_29_without_redis_there_is_a_limit(
    product: Product, strict: Product, http: aiohttp.ClientSession
) -> None:
    product.stack.redis.pause()
    try:
        answers = await flood(strict, http)
    finally:
        product.stack.redis.resume()
    assert [answer.status for answer in answers].count(429) >= 30


@pytest.mark.safety
def test_30_production_does_not_start_with_the_key_that_everybody_knows(product: Product) -> None:
    environment = {**os.environ, **product.env, "APP_ENV": "production"}
    environment.pop("INTERNAL_API_KEY", None)
    command = [sys.executable, "-m", "api"]
    started = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, timeout=150, check=False
    )
    assert started.returncode == 1
    assert b"INTERNAL_API_KEY" in started.stderr
    assert DEFAULT_ADMIN_KEY.encode() not in started.stderr


class Receiver:
    """Of webhooks; answers with `status` once it is `open`."""

    def __init__(self) -> None:
        self.received: list[tuple[Mapping[str, str], bytes]] = []
        self.status = 204
        self.open = asyncio.Event()
        self.open.set()

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.received]

    async def receive(self, request: web.Request) -> web.Response:
        self.received.append((dict(request.headers), await request.read()))
        await self.open.wait()
        return web.Response(status=self.status)

    async def has(self, how_many: int) -> None:
        async def is_so() -> bool:
            return len(self.received) >= how_many

        await until(is_so)


@pytest.fixture
async def receiver() -> AsyncIterator[tuple[Receiver, str]]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/hook", receiver.receive)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield receiver, f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    receiver.open.set()
    await runner.cleanup()


@pytest.fixture
async def told(ask: Asked, receiver: tuple[Receiver, str]) -> AsyncIterator[tuple[Receiver, str, str]]:
    """A receiver of what becomes of a merchant's payments, its subscription and its secret."""
    body = {
        "url": receiver[1],
        "event_types": ["payment.succeeded"],
        "merchant_ids": ["m_told"],
        "by": "asha",
    }
    answer = await ask.by_an_operator("POST", "/webhooks/subscriptions", json=body)
    assert answer.status == 201, answer
    subscription = answer.body["subscription"]["subscription_id"]
    yield receiver[0], subscription, answer.body["secret"]
    assert (await ask.by_an_operator("DELETE", f"/webhooks/subscriptions/{subscription}")).status == 204


@pytest.mark.safety
async def test_31_a_webhook_has_an_id_a_time_and_a_signature_and_not_the_secret(
    client: Client, told: tuple[Receiver, str, str]
) -> None:
    receiver, _, secret = told
    paid = await client.pay(new_key(), merchant_id="m_told")
    await receiver.has(1)
    headers, body = receiver.received[0]
    assert Webhook(secret).verify(body, dict(headers))["data"]["payment_id"] == paid.payment_id
    assert {"webhook-id", "webhook-timestamp", "webhook-signature"} <= {name.lower() for name in headers}
    everything = b"".join([*(f"{name}: {value}\n".encode() for name, value in headers.items()), body])
    assert secret.encode() not in everything
    assert secret.removeprefix("whsec_").encode() not in everything


async def test_32_a_payment_waits_for_no_receiver(client: Client, told: tuple[Receiver, str, str]) -> None:
    """The second one is answered while the receiver has not yet answered what it was told of the first."""
    receiver, _, _ = told
    receiver.open.clear()
    assert (await client.pay(new_key(), merchant_id="m_told")).status == 201
    await receiver.has(1)
    assert (await client.pay(new_key(), merchant_id="m_told")).status == 201
    assert not receiver.open.is_set()
    receiver.open.set()
    await receiver.has(2)


async def test_33_what_a_receiver_did_not_take_is_kept_and_told_again_under_its_id(
    client: Client, ask: Asked, told: tuple[Receiver, str, str]
) -> None:
    receiver, subscription, _ = told
    receiver.status = 500
    await client.pay(new_key(), merchant_id="m_told")
    await receiver.has(1)
    path = f"/webhooks/deliveries?subscription_id={subscription}"

    async def has_failed() -> bool:
        page = (await ask.by_an_operator("GET", path)).body["deliveries"]
        return len(page) == 1 and page[0]["attempts"] == 1

    await until(has_failed)
    (kept,) = (await ask.by_an_operator("GET", path)).body["deliveries"]
    receiver.status = 204
    replayed = await ask.by_an_operator("POST", f"/webhooks/deliveries/{kept['delivery_id']}/replay")
    assert replayed.status == 202
    await receiver.has(2)
    assert set(receiver.ids) == {kept["delivery_id"]}
