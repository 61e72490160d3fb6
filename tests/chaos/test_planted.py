"""Nothing personal and no secret stays anywhere but in the vault, and from there it goes when somebody is forgotten.

Payments of every kind come to every end, with planted texts in all that a client, a gateway or an operator may send;
then everything that the product leaves behind is searched.
"""

import asyncio
import hashlib
import hmac
import json
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import aiohttp
import asyncpg
import pytest
from aiohttp import web
from msgspec.structs import replace

from infra.gateways.local import RAZORPAY_WEBHOOK_SECRET
from infra.gateways.simulator.defaults import DEFAULT_PROFILES
from infra.gateways.simulator.profile import Fault
from infra.kafka.producer import Publisher
from infra.local.ports import free_ports
from infra.redis.connection import connect
from schemas.access import AdminKey, digest
from schemas.ids import PaymentId, attempt_id
from tests.chaos.scan import VAULT, Hit, scan
from tests.product import BODY, Product, own_servers, plain, running
from tests.waiting import ACKNOWLEDGED_WITHIN_MS

pytestmark = [pytest.mark.chaos, pytest.mark.safety]

WITHIN_S = 40
METHODS: Mapping[str, Mapping[str, str]] = {
    "cust-planted-collect": {"type": "UPI", "vpa": "planted.vpa@okhdfcbank"},
    "cust-planted-phone": {"type": "UPI", "vpa": "9876501234@paytm"},
    "cust-planted-intent": {"type": "UPI"},
    "919876505678": {"type": "CARD", "token": "pm_card_planted", "bin": "411111", "last4": "1111"},
    "cust-planted-bank": {"type": "NETBANKING", "bank_code": "HDFC"},
    "cust-planted-wallet": {"type": "WALLET", "wallet": "paytm"},
}
"""By customer."""
CARD_NUMBER, CVV = "4539578763621486", "cvv-planted-3x7"
TEXTS = {
    **{f"the customer {customer}": customer for customer in METHODS},
    "a VPA": "planted.vpa",
    "a VPA that is a phone number": "9876501234",
    "a card's token": "pm_card_planted",
    "a card number": CARD_NUMBER,
    "a grouped card number": "4539 5787 6362 1486",
    "a CVV": CVV,
    "an e-mail address": "asha.planted@example.com",
    "a phone number": "+919876509999",
    "a user agent": "PlantedAgent/7",
    "a client's address": "198.51.100.77",
    "the name of a header": "planted-name",
    "a key of a client": "idempotency-planted",
    "credentials": "bearer-planted",
    "a malformed body": "malformed-planted",
    "a path": "path-planted",
    "a query": "query-planted",
    "an operator's key": "pgk_of-planted-operator",
    "the shared key": "internal-planted-key",
    "a wrong key": "wrong-planted-key",
    "a gateway's word": "gateway-planted-word",
}
OF_CUSTOMERS = {name for name in TEXTS if name.startswith("the customer ")}
BESIDE = {
    "User-Agent": "PlantedAgent/7",
    "X-Forwarded-For": "198.51.100.77",
    "X-Context-Email": "asha.planted@example.com",
    "X-Context-Phone": "+919876509999",
    "X-Context-Channel": "app",
    "X-Context-Planted-Name": "1",
    "Authorization": "Bearer bearer-planted",
    "Cookie": "session=bearer-planted",
    "Referer": "https://shop.example/query-planted",
}
DESIGN = {
    "name": "payu first",
    "variants": [
        {"name": "control", "weight": 5_000},
        {"name": "payu-first", "weight": 5_000, "override": {"order": ["payu"]}},
    ],
    "filter": {"attributes": {"channel": ["app"]}},
    "planned_customers": 1_000,
    "planned_days": 7,
    "by": "asha",
}
OPERATOR = {"X-Internal-Api-Key": TEXTS["an operator's key"]}


@pytest.fixture(scope="module")
def product() -> Iterator[Product]:
    """Every process, as talkative as can be, on servers of its own."""
    with own_servers("planted") as stack:
        folder = stack.folder / "product"
        folder.mkdir(parents=True, exist_ok=True)
        asha = AdminKey(
            name="asha",
            sha256=digest(TEXTS["an operator's key"].encode()),
            scopes=("read", "experiments", "webhooks", "data", "configuration"),
        )
        keys = folder / "operators.json"
        keys.write_text(json.dumps([plain(asha)]))
        product = Product(
            stack,
            folder,
            apis=2,
            verifiers=1,
            circuit_writers=1,
            metrics_workers=1,
            experiment_analyzers=1,
            webhook_dispatchers=1,
            env={
                "GATEWAYS_FILE": "",
                "SIMULATOR_PROFILES": "",
                "RAZORPAY_UPI_COLLECT": "true",
                "LOG_LEVEL": "DEBUG",
                # Who has asked stays in Redis for a second for each time.
                "RATE_LIMIT_PER_SECOND": "1",
                "RATE_LIMIT_BURST": "10000",
                "ADMIN_KEYS_FILE": str(keys),
                "INTERNAL_API_KEY": TEXTS["the shared key"],
                "WEBHOOK_ALLOWED_TARGETS": "127.0.0.0/8",
                **{
                    f"VERIFICATION_SCHEDULE_{name}": "1,2" for name in ("UPI", "CARD", "NETBANKING", "WALLET")
                },
            },
        )
        for file in folder.glob("*.log*"):
            file.unlink()
        with running(product):
            asyncio.run(Traffic(product).run())
            yield product


class Traffic:
    def __init__(self, product: Product) -> None:
        self._product = product
        self._told: list[dict[str, Any]] = []

    async def run(self) -> None:
        async with aiohttp.ClientSession() as self._http, self._receiver():
            await self._configure()
            paid = [await self._pay_everything("usual", success_rate=1.0)]
            paid += [await self._pay_everything("declining", success_rate=0.0)]
            fault = Fault(kind="effect_then_timeout")
            paid += [await self._pay_everything("silent", success_rate=1.0, faults=(fault,))]
            await self._gateways(success_rate=1.0)
            await self._refused()
            await self._notified(paid[0])
            await self._settled([payment for payments in paid for payment in payments])
            await self._killed_and_back()

    async def _configure(self) -> None:
        url = f"http://127.0.0.1:{self._port}/hook"
        rule = {"id": "app", "then": {"type": "prefer", "gateways": ["razorpay"]}}
        rule["when"] = {"attributes": {"channel": ["app"]}, "payment_methods": ["UPI"]}
        asked: Sequence[tuple[str, str, dict[str, Any]]] = [
            (
                "POST",
                "/webhooks/subscriptions",
                {"url": url, "event_types": ["payment.*", "circuit.*"], "by": "asha"},
            ),
            ("POST", "/experiments", DESIGN),
            ("PUT", "/routing-rules", {"rules": [rule], "by": "asha"}),
        ]
        for method, path, document in asked:
            async with self._http.request(
                method,
                self._product.api.url + path,
                json=document,
                headers={**OPERATOR, "If-Match": '"0"'},
            ) as answer:
                assert answer.status in (200, 201), await answer.text()
        await asyncio.sleep(1)

    async def _gateways(self, **changes: Any) -> None:
        for profile in DEFAULT_PROFILES:
            url = f"{self._product.simulator.url}/control/gateways/{profile.gateway}"
            async with self._http.put(url, json=plain(replace(profile, **changes))) as answer:
                assert answer.status in (200, 201), await answer.text()

    async def _pay_everything(self, name: str, **behaviour: Any) -> list[str]:
        await self._gateways(**behaviour)
        posts = (self._pay(f"{name}-{number}", customer) for number, customer in enumerate(METHODS))
        return [payment for payment in await asyncio.gather(*posts) if payment]

    async def _pay(self, name: str, customer: str) -> str:
        body = BODY | {
            "customer_id": customer,
            "instrument": METHODS[customer],
            "payment_method": METHODS[customer]["type"],
        }
        headers = {**BESIDE, "Idempotency-Key": f"idempotency-planted-{name}-{uuid.uuid4()}"}
        url = f"{self._product.apis[len(name) % 2].url}/payments"
        async with self._http.post(url, json=body, headers=headers) as answer:
            document = await answer.json(content_type=None)
            assert document.get("customer_id", customer) == customer
            return str(document.get("payment_id", ""))

    async def _refused(self) -> None:
        number = {"type": "CARD", "number": CARD_NUMBER, "cvv": CVV, "exp_month": 1, "exp_year": 2030}
        grouped = {"type": "CARD", "token": "4539 5787 6362 1486", "bin": "453957", "last4": "1486"}
        bodies: list[bytes] = [
            *(json.dumps(BODY | {"instrument": one}).encode() for one in (number, grouped)),
            json.dumps(BODY | {"customer_id": CARD_NUMBER}).encode(),
            json.dumps(BODY | {"instrument": {"type": "UPI", "vpa": "asha.planted@example.com"}}).encode(),
            json.dumps(BODY | {"malformed-planted": "asha.planted@example.com"}).encode(),
            b'{"malformed-planted": ',
            b"malformed-planted \xff\xfe",
            b'{"amount_minor": "malformed-planted"}',
        ]
        sent: list[tuple[str, str, bytes, Mapping[str, str]]] = [
            ("POST", "/payments", body, {"Idempotency-Key": "idempotency-planted"}) for body in bodies
        ]
        sent += [
            ("POST", "/payments", bodies[0], {"Idempotency-Key": f'"{CARD_NUMBER}'}),
            ("POST", "/payments", bodies[0], {"X-Context-Card": CARD_NUMBER}),
            ("POST", "/payments", bodies[0], {"Content-Type": "text/malformed-planted"}),
            ("GET", "/path-planted/asha.planted@example.com?q=query-planted", b"", {}),
            ("GET", "/payments/path-planted", b"", {"Consistency-Token": "query-planted"}),
            ("GET", "/audit?by=query-planted", b"", {"X-Internal-Api-Key": "wrong-planted-key"}),
            ("GET", "/audit?by=query-planted", b"", OPERATOR),
            ("DELETE", "/customers/path-planted/data", b"", OPERATOR),
            ("DELETE", f"/customers/{CARD_NUMBER}/data?merchant_id=m_001", b"", OPERATOR),
            ("DELETE", "/customers/path-planted/data?merchant_id=query-planted", b"", OPERATOR),
        ]
        for method, path, content, headers in sent:
            usual = {**BESIDE, "Content-Type": "application/json"}
            async with self._http.request(
                method, self._product.api.url + path, data=content, headers={**usual, **headers}
            ) as answer:
                assert answer.status < 500, await answer.text()

    async def _notified(self, payments: Sequence[str]) -> None:
        """As Razorpay notifies, with all that it knows of a customer, well signed and badly."""
        for signed_with in (RAZORPAY_WEBHOOK_SECRET, "another"):
            for status in ("captured", "failed", "gateway-planted-word"):
                entity = {
                    "id": "pay_planted",
                    "entity": "payment",
                    "amount": 1000,
                    "currency": "INR",
                    "status": status,
                    "vpa": "planted.vpa@okhdfcbank",
                    "email": "asha.planted@example.com",
                    "contact": "+919876509999",
                    "card": {"name": "gateway-planted-word", "last4": "1486", "number": CARD_NUMBER},
                    "error_description": "asha.planted@example.com has no funds",
                    "error_reason": "insufficient funds of asha.planted@example.com",
                    "notes": {"attempt_id": attempt_id(PaymentId(payments[0]), 1, 1)},
                }
                event = {"event": f"payment.{status}", "payload": {"payment": {"entity": entity}}}
                content = json.dumps(event | {"created_at": 1_772_323_200}).encode()
                signature = hmac.new(signed_with.encode(), content, hashlib.sha256).hexdigest()
                url = f"{self._product.api.url}/gateway-notifications/razorpay"
                headers = {**BESIDE, "X-Razorpay-Signature": signature}
                async with self._http.post(url, data=content, headers=headers) as answer:
                    assert answer.status < 500

    async def _settled(self, payments: Sequence[str]) -> None:
        """As far as they get within the time; each is read as a merchant would, and the webhooks have come."""
        for payment in payments:
            await until(partial(self._is_settled, payment))
        await until(self._everybody_was_told_of)

    async def _everybody_was_told_of(self) -> bool:
        return {one["data"].get("customer_id") for one in self._told} >= set(METHODS)

    async def _is_settled(self, payment: str) -> bool:
        shown = {
            path: await self._show(f"/payments/{payment}{path}")
            for path in ("", "/events", "/attempts", "/routing-decision", "/status-verification")
        }
        assert shown[""]["customer_id"] in METHODS
        return bool(shown[""]["status"] != "PENDING_VERIFICATION")

    async def _show(self, path: str) -> dict[str, Any]:
        async with self._http.get(self._product.apis[1].url + path, headers=BESIDE) as answer:
            document: dict[str, Any] = await answer.json()
            return document

    async def _killed_and_back(self) -> None:
        """A process that dies in the middle of payments says what it says, and others end them."""
        posts = [asyncio.ensure_future(self._pay("killed", customer)) for customer in METHODS]
        await asyncio.sleep(0.05)
        self._product.apis[0].kill()
        await asyncio.gather(*posts, return_exceptions=True)
        await self._product.apis[0].start()
        await self._product.apis[0].wait_ready()
        await asyncio.sleep(1)

    def _receiver(self) -> "_Receiver":
        self._port = free_ports(1)[0]
        return _Receiver(self._port, self._told)


class _Receiver:
    """A subscriber, who is told of customers by their merchants' own ids."""

    def __init__(self, port: int, told: list[dict[str, Any]]) -> None:
        self._port = port
        self._told = told

    async def __aenter__(self) -> None:
        app = web.Application()
        app.router.add_post("/hook", self._receive)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _receive(self, request: web.Request) -> web.Response:
        self._told.append(await request.json())
        return web.Response(status=204)


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while True:
            if await is_so():
                return
            await asyncio.sleep(0.2)


async def test_the_scan_finds_what_is_put_anywhere(product: Product) -> None:
    """Or it would prove nothing."""
    text = f"control-{uuid.uuid4()}"
    publisher = Publisher(product.env["KAFKA_BOOTSTRAP_SERVERS"], ACKNOWLEDGED_WITHIN_MS)
    await publisher.start()
    for key, value, header in ((text, "", ""), ("", text, ""), ("", "", text)):
        message = (key.encode(), value.encode(), [("planted", header.encode())])
        await publisher.publish("dead-letters.v1", 0, [message])
    await publisher.stop()
    redis = connect(product.env["REDIS_URL"])
    await redis.set("control", text)
    await redis.hset("control-hash", text, "1")
    await redis.aclose()
    connection = await asyncpg.connect(product.env["DATABASE_URL"])
    await connection.execute("CREATE TABLE control AS SELECT $1::text AS text", text)
    await connection.close()
    (product.folder / "control.log").write_text(f"... {text.upper()} ...")
    found = await scan(product, {"it": text})
    wheres = {hit.where for hit in found}
    assert {"topic dead-letters.v1", "redis", "table public.control", "log control.log"} <= wheres


async def test_nothing_personal_and_no_secret_stands_anywhere_but_in_the_vault(product: Product) -> None:
    redis = connect(product.env["REDIS_URL"])
    assert [key async for key in redis.scan_iter("limit:client:*")], "who has asked is counted still"
    await redis.aclose()
    found = await scan(product, TEXTS)
    assert found == {Hit(name, f"table {VAULT}.customers") for name in OF_CUSTOMERS}


async def test_who_is_forgotten_is_in_the_vault_no_more_and_no_backup_brings_him_back(
    product: Product,
) -> None:
    connection = await asyncpg.connect(product.env["DATABASE_URL"])
    backup = await connection.fetch(f"SELECT * FROM {VAULT}.customers")
    assert {row["customer_id"] for row in backup} == set(METHODS)
    async with aiohttp.ClientSession(headers=OPERATOR) as http:
        for customer in METHODS:
            url = f"{product.api.url}/customers/{customer}/data?merchant_id=m_001"
            async with http.delete(url, headers=OPERATOR) as answer:
                assert answer.status == 204, await answer.text()

        async def is_audited() -> bool:
            async with http.get(f"{product.api.url}/audit?limit=100") as answer:
                told = [one["what"] for one in (await answer.json())["entries"]]
            return told.count("CustomerForgotten") == len(METHODS)

        await until(is_audited)
    assert await scan(product, TEXTS) == set()

    await connection.executemany(
        f"INSERT INTO {VAULT}.customers VALUES ($1, $2, $3)",
        [tuple(row) for row in backup],
    )
    product.worker.kill()
    await product.worker.start()

    async def is_empty() -> bool:
        return not await connection.fetchval(f"SELECT count(*) FROM {VAULT}.customers")

    await until(is_empty)
    await connection.close()
