"""The whole product on a stack of real servers, for tests that kill it and benchmarks that load it."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, cast

import aiohttp
import msgspec
from msgspec.structs import replace

from commands.handler import WINDOW_MARGIN_MS
from infra.gateways.simulator.defaults import DEFAULT_PROFILES
from infra.gateways.simulator.profile import Profile
from infra.kafka.reader import LogReader
from infra.local import LOCAL
from infra.local.ports import HOST, Ports, free_ports
from infra.local.processes import Service, finish
from infra.local.stack import Stack
from infra.settings import DEFAULT_ADMIN_KEY, Settings
from schemas.base import Event
from schemas.codec import PAYMENTS_TOPIC, decode
from schemas.envelope import Position, Recorded
from schemas.errors import Unreadable
from schemas.payment import PaymentEvent
from tests.waiting import until

BODY = {
    "amount_minor": 1000,
    "currency": "INR",
    "payment_method": "UPI",
    "merchant_id": "m_001",
    "customer_id": "cust_001",
    "instrument": {"type": "UPI", "vpa": "test@okhdfcbank"},
}


BUDGET_MS = 3_000
WINDOW_S = (BUDGET_MS + Settings().gateway_timeout_ms + WINDOW_MARGIN_MS) / 1000
"""For so long a payment belongs to the process that began it."""

NOTHING_BEFORE: Mapping[int, int] = {}

PLAIN_PROFILES = tuple(replace(profile, wire="simulator", credentials=None) for profile in DEFAULT_PROFILES)
"""All gateways on the simulator's own wire, where a charge ends at once."""
PLAIN_GATEWAYS: tuple[Mapping[str, object], ...] = tuple(
    {
        "id": profile.gateway,
        "name": profile.gateway.title(),
        "adapter": "simulator",
        "payment_methods": ["UPI", "CARD", "NETBANKING", "WALLET"],
        "currencies": ["INR", "USD", "EUR"],
        "priority": 10 * number,
        "fee_bps": profile.fee_bps,
    }
    for number, profile in enumerate(DEFAULT_PROFILES, start=1)
)


@contextmanager
def own_servers(name: str) -> Iterator[Stack]:
    """Real servers with empty stores, for who must not meet other tests; their logs stay in .local/name."""
    stack = Stack(LOCAL / name, Ports.free())
    try:
        asyncio.run(stack.start(empty=True))
        yield stack
    finally:
        for server in stack.servers:
            server.kill()  # what it stored is erased anyway, and a Postgres of many databases is long in shutting down
        asyncio.run(stack.stop())


@contextmanager
def running(product: "Product") -> Iterator["Product"]:
    try:
        asyncio.run(product.start())
        yield product
    finally:
        asyncio.run(product.stop())


class Product:
    """The simulator, so many API processes, workers and verifiers, each on ports of its own."""

    def __init__(
        self,
        stack: Stack,
        folder: Path,
        *,
        apis: int = 1,
        workers: int = 1,
        verifiers: int = 0,
        circuit_writers: int = 0,
        metrics_workers: int = 0,
        experiment_analyzers: int = 0,
        webhook_dispatchers: int = 0,
        profiles: Sequence[Profile] = PLAIN_PROFILES,
        gateways: Sequence[Mapping[str, object]] = PLAIN_GATEWAYS,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.stack = stack
        self.folder = folder
        ports = iter(free_ports(1 + apis))
        simulator = f"{HOST}:{next(ports)}"
        folder.mkdir(parents=True, exist_ok=True)
        # A window of 11.5 seconds instead of 18.5: a test that waits for one to end must not take long.
        self.env = {
            **stack.env,
            "SIMULATOR_BIND": simulator,
            "SIMULATOR_URL": f"http://{simulator}",
            "SIMULATOR_PROFILES": str(_file(folder / "profiles.json", profiles)),
            "GATEWAYS_FILE": str(_file(folder / "gateways.json", _at(f"http://{simulator}", gateways))),
            "RETRY_LATENCY_BUDGET_MS": str(BUDGET_MS),
            # Everything here asks from one address; who asks for many clients says so, as a proxy would.
            "RATE_LIMIT_PER_SECOND": "10000",
            "RATE_LIMIT_BURST": "10000",
            "TRUSTED_PROXIES": HOST,
            **(env or {}),
        }
        self.simulator = self._service(
            "simulator", ["infra.gateways.simulator"], simulator, "/control/health", {}
        )
        self.apis = [
            self._service(f"api-{n}", ["api"], bind, "/ops/readiness", {"BIND_ADDR": bind})
            for n, bind in enumerate(f"{HOST}:{next(ports)}" for _ in range(apis))
        ]
        self._worker_names = count()
        self.workers = [self.another_worker() for _ in range(workers)]
        self.verifiers = [self.another_verifier() for _ in range(verifiers)]
        self.circuit_writers = [self.another_circuit_writer() for _ in range(circuit_writers)]
        self.metrics_workers = [self.another_metrics_worker() for _ in range(metrics_workers)]
        self.experiment_analyzers = [self.another_analyzer() for _ in range(experiment_analyzers)]
        self.webhook_dispatchers = [self.another_dispatcher() for _ in range(webhook_dispatchers)]

    def another_worker(self) -> Service:
        return self._another("worker", "projection_worker", "PROJECTION_CONSUMER_NAME", "/ops/liveness")

    def another_verifier(self) -> Service:
        return self._another("verifier", "payment_verifier", "VERIFIER_CONSUMER_NAME", "/ops/liveness")

    def another_circuit_writer(self) -> Service:
        return self._another("circuit-writer", "circuit_writer", "CIRCUIT_CONSUMER_NAME", "/ops/readiness")

    def another_metrics_worker(self) -> Service:
        return self._another("metrics-worker", "metrics_worker", "METRICS_CONSUMER_NAME", "/ops/liveness")

    def another_analyzer(self) -> Service:
        return self._another("analyzer", "experiment_analyzer", "EXPERIMENT_CONSUMER_NAME", "/ops/readiness")

    def another_dispatcher(self) -> Service:
        return self._another("dispatcher", "webhook_dispatcher", "WEBHOOK_CONSUMER_NAME", "/ops/readiness")

    def _another(self, kind: str, program: str, membership: str, ready: str) -> Service:
        """Not started, and for its maker to stop."""
        name, bind = f"{kind}-{next(self._worker_names)}", f"{HOST}:{free_ports(1)[0]}"
        env = {f"{program.upper()}_WEB": bind, membership: name}
        return self._service(name, ["streams", program], bind, ready, env)

    @property
    def api(self) -> Service:
        return self.apis[0]

    @property
    def worker(self) -> Service:
        return self.workers[0]

    @property
    def services(self) -> list[Service]:
        return [
            self.simulator,
            *self.workers,
            *self.verifiers,
            *self.circuit_writers,
            *self.metrics_workers,
            *self.experiment_analyzers,
            *self.webhook_dispatchers,
            *self.apis,
        ]

    async def prepare(self) -> None:
        """Tables and topics, without which nothing starts."""
        await finish(["infra.postgres", "migrate"], env=self.env, log=self.folder / "migrate.log")
        await finish(["infra.kafka", "topics"], env=self.env, log=self.folder / "topics.log")

    async def start(self) -> None:
        await self.prepare()
        for service in self.services:
            await service.start()
        for service in self.services:
            await service.wait_ready()

    async def stop(self) -> None:
        for service in reversed(self.services):
            await service.stop()

    def _service(
        self, name: str, module: Sequence[str], bind: str, ready: str, env: Mapping[str, str]
    ) -> Service:
        return Service(name, module, self.folder, env={**self.env, **env}, url=f"http://{bind}", ready=ready)


def _file(file: Path, content: object) -> Path:
    file.write_bytes(msgspec.json.encode(content))
    return file


def _at(simulator: str, gateways: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    return [{**gateway, "base_url": f"{simulator}/{gateway['id']}"} for gateway in gateways]


class Client:
    """Posts and reads as a merchant would, and asks the simulator what is true."""

    def __init__(self, product: Product, timeout_s: float = 30) -> None:
        self._product = product
        self._http = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=timeout_s), connector=aiohttp.TCPConnector(limit=0)
        )

    async def close(self) -> None:
        await self._http.close()

    async def pay(
        self, key: str, *, api: int = 0, timeout_s: float | None = None, **changes: object
    ) -> "Answer":
        """Status 0 stands for a connection that gave no answer."""
        try:
            async with self._http.post(
                f"{self._product.apis[api].url}/payments",
                json=BODY | changes,
                headers={"Idempotency-Key": key},
                timeout=aiohttp.ClientTimeout(total=timeout_s) if timeout_s else None,
            ) as response:
                return Answer(response.status, await response.json(content_type=None), response.headers)
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            return Answer(0, {"error": type(error).__name__}, {})

    async def get(self, path: str, *, api: int = 0, **headers: str) -> "Answer":
        url = f"{self._product.apis[api].url}{path}"
        async with self._http.get(
            url, headers={n.replace("_", "-"): v for n, v in headers.items()}
        ) as response:
            return Answer(response.status, await response.json(content_type=None), response.headers)

    async def read(self, path: str, *, api: int = 0) -> "Answer":
        """An operator's GET."""
        return await self.get(path, api=api, X_Internal_Api_Key=DEFAULT_ADMIN_KEY)

    async def order(self, path: str, document: object = None, *, api: int = 0) -> "Answer":
        """An operator's POST, perhaps without a body."""
        async with self._http.post(
            f"{self._product.apis[api].url}{path}",
            json=document,
            headers={"X-Internal-Api-Key": DEFAULT_ADMIN_KEY},
        ) as response:
            return Answer(response.status, await response.json(content_type=None), response.headers)

    async def put(self, path: str, document: object, *, api: int = 0, **headers: str) -> "Answer":
        url = f"{self._product.apis[api].url}{path}"
        async with self._http.put(
            url, json=document, headers={n.replace("_", "-"): v for n, v in headers.items()}
        ) as response:
            return Answer(response.status, await response.json(content_type=None), response.headers)

    async def set_profile(self, gateway: str, **profile: object) -> None:
        url = f"{self._product.simulator.url}/control/gateways/{gateway}"
        async with self._http.put(url, json=profile) as response:
            assert response.status in (200, 201), await response.text()

    async def ledger(self) -> list[dict[str, Any]]:
        """Every charge the gateways made, in order."""
        charges: list[dict[str, Any]] = []
        after: int | None = 0
        while after is not None:
            query = {"limit": "1000", "after": str(after)}
            async with self._http.get(
                f"{self._product.simulator.url}/control/ledger", params=query
            ) as response:
                page = await response.json()
            charges += page["charges"]
            after = page["next"]
        return charges

    async def at_the_gateways(self, how_many: int) -> None:
        """Returns when so many requests have reached them, since they began."""

        async def are_there() -> bool:
            return bool((await self.ledger_summary())["requests"] >= how_many)

        await until(are_there)

    async def ledger_summary(self) -> dict[str, Any]:
        async with self._http.get(f"{self._product.simulator.url}/control/ledger/summary") as response:
            summary: dict[str, Any] = await response.json()
            return summary


class Answer:
    def __init__(self, status: int, body: dict[str, Any], headers: Mapping[str, str]) -> None:
        self.status = status
        self.body = body
        self.headers = headers

    @property
    def payment_id(self) -> str:
        return str(self.body["payment_id"])

    def __repr__(self) -> str:
        return f"{self.status} {json.dumps(self.body)[:300]}"


async def read_topic(
    stack: Stack, since: Mapping[int, int] = NOTHING_BEFORE
) -> dict[str, list[Recorded[PaymentEvent]]]:
    """Every record of the payments topic, void ones too, by payment in offset order."""
    payments: dict[str, list[Recorded[PaymentEvent]]] = defaultdict(list)
    for recorded in await read_records(stack, PAYMENTS_TOPIC, since):
        payments[recorded.envelope.aggregate_id].append(cast(Recorded[PaymentEvent], recorded))
    return payments


async def read_records(
    stack: Stack, topic: str, since: Mapping[int, int] = NOTHING_BEFORE
) -> list[Recorded[Event]]:
    """Every record of a topic that is one of our events, by partition in offset order; of each from an offset on."""
    reader = LogReader(stack.env["KAFKA_BOOTSTRAP_SERVERS"])
    records: list[Recorded[Event]] = []
    try:
        for partition, end in (await reader.end_offsets(topic, timeout_s=30)).items():
            for start in range(since.get(partition, 0), end, 20_000):
                for raw in await reader.read(topic, partition, start, min(start + 20_000, end), timeout_s=30):
                    position = Position(topic=topic, partition=partition, offset=raw.offset)
                    try:
                        records.append(decode(raw.value, raw.headers, position, raw.timestamp))
                    except Unreadable:
                        continue  # other tests put poison there
    finally:
        await reader.stop()
    return records


def plain(value: object) -> Any:
    """A struct as plain JSON types, to be compared with what came over HTTP."""
    return msgspec.to_builtins(value)
