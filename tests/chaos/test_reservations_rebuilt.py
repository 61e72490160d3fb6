"""The reservations dropped under load and rebuilt from the log: nobody is admitted meanwhile, and no key twice ever."""

import asyncio
import itertools
import sys
from collections import defaultdict
from collections.abc import Iterable
from hashlib import sha256

import asyncpg
import pytest

from infra.local import ROOT
from infra.local.processes import surroundings
from schemas.payment import AttemptStarted, PaymentRequested
from tests.chaos.load import ACKNOWLEDGED
from tests.chaos.test_one_key import ALMOST_TOO_LATE_MS, IN_TIME_MS, new_key
from tests.product import Answer, Client, Product, read_topic

pytestmark = [pytest.mark.chaos, pytest.mark.safety]

WINDOW_S = "30"
"""The longest of the product: a verifier's."""
PAUSE_S = 0.4


class Repeats:
    """Posts each of its keys at both processes, again and again; keeps every answer."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._repeating: list[asyncio.Task[None]] = []
        self.answers: dict[str, list[Answer]] = defaultdict(list)
        self.latest: dict[tuple[str, int], int] = {}

    def of(self, keys: Iterable[str]) -> None:
        for key, api in itertools.product(keys, (0, 1)):
            self._repeating.append(asyncio.create_task(self._repeat(key, api)))

    async def stop(self) -> None:
        for task in self._repeating:
            task.cancel()
        await asyncio.wait(self._repeating)

    async def _repeat(self, key: str, api: int) -> None:
        while True:
            answer = await self._client.pay(key, api=api)
            self.answers[key].append(answer)
            self.latest[key, api] = answer.status
            await asyncio.sleep(PAUSE_S)

    async def since_now(self, seconds: float) -> set[int]:
        """The statuses of those posts only that were made and answered within so many seconds."""
        await asyncio.sleep(3)  # longer than any call that is under way
        before = {key: len(answers) for key, answers in self.answers.items()}
        await asyncio.sleep(seconds)
        return {a.status for key, answers in self.answers.items() for a in answers[before.get(key, 0) :]}


async def rebuild(product: Product) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "streams.cli", "reservations", "rebuild", "--longest-window-s", WINDOW_S),
        cwd=ROOT,
        env=surroundings(product.env),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def said_by(process: asyncio.subprocess.Process) -> str:
    said, _ = await process.communicate()
    return said.decode()


async def fetch(product: Product, sql: str) -> list[tuple[object, ...]]:
    connection = await asyncpg.connect(product.env["DATABASE_URL"])
    try:
        return [tuple(row) for row in await connection.fetch(sql)]
    finally:
        await connection.close()


async def reservations(product: Product) -> dict[str, tuple[object, ...]]:
    """By the hash of the key; without what only the first writer of a row knows: its claim and the moment."""
    rows = await fetch(
        product,
        "SELECT key_hash, merchant_id, fingerprint, payment_id, epoch, owned_until_ms, handed_over FROM reservations",
    )
    return {str(row[0]): row for row in rows}


def hashed(keys: Iterable[str]) -> set[str]:
    return {sha256(key.encode()).hexdigest() for key in keys}


async def slow_down(client: Client, takes_ms: int) -> None:
    await client.set_profile("razorpay", seed=7, success_rate=1.0, latency={"fixed_ms": takes_ms})


async def killed_in_the_call(product: Product, client: Client, keys: Iterable[str]) -> None:
    """Each key's payment is started and charged, and nobody has heard of it."""
    await slow_down(client, ALMOST_TOO_LATE_MS)
    before = (await client.ledger_summary())["requests"]
    posts = [asyncio.create_task(client.pay(key, api=1)) for key in keys]
    await client.at_the_gateways(before + len(posts))
    product.apis[1].kill()
    assert {answer.status for answer in await asyncio.gather(*posts)} == {0}
    await product.apis[1].start()
    await product.apis[1].wait_ready()
    await slow_down(client, IN_TIME_MS)


async def test_no_key_is_paid_twice_when_the_table_is_dropped_under_load_and_rebuilt(
    product: Product, client: Client
) -> None:
    settled, forgotten, flying, fresh = ([new_key() for _ in range(n)] for n in (12, 4, 8, 8))
    paid = {key: await client.pay(key) for key in settled}
    await client.set_profile("razorpay", seed=7, faults=[{"kind": "effect_then_timeout"}])
    doubtful = {key: await client.pay(key) for key in (new_key(), new_key())}
    assert {answer.status for answer in doubtful.values()} == {202}
    await killed_in_the_call(product, client, forgotten)
    before = await reservations(product)
    worker = product.worker.pid

    repeats = Repeats(client)
    repeats.of([*settled, *doubtful, *forgotten, *flying])
    await asyncio.sleep(0.5)  # the flying ones are in the call
    await fetch(product, "DROP TABLE reservations")
    repeats.of(fresh)
    assert await repeats.since_now(2) == {503}
    assert (await client.get("/ops/readiness")).status == 503

    rebuilding = await rebuild(product)
    assert await repeats.since_now(5) == {503}
    said = await said_by(rebuilding)
    assert rebuilding.returncode == 0, said
    assert await repeats.since_now(3) <= {201, 202, 409}
    await repeats.stop()

    assert product.worker.pid == worker
    after = await reservations(product)
    for key_hash in hashed([*settled, *doubtful]):
        assert after[key_hash] == before[key_hash]
    await assert_each_key_is_one_payment(product, client, repeats)
    for key, answer in (paid | doubtful).items():
        again = await client.pay(key, api=1)
        assert (again.status, again.headers.get("Idempotent-Replayed")) == (answer.status, "true")
        assert again.payment_id == answer.payment_id
    for key in forgotten:
        again = await client.pay(key)
        assert (again.status, again.body["status"]) == (202, "PENDING_VERIFICATION")
    await product.api.wait_ready()


async def assert_each_key_is_one_payment(product: Product, client: Client, repeats: Repeats) -> None:
    topic, ledger = await read_topic(product.stack), await client.ledger()
    ours, payments = hashed(repeats.answers), defaultdict(set)
    for payment, records in topic.items():
        for record in records:
            if isinstance(record.event, PaymentRequested) and not record.is_void:
                payments[record.event.key_hash].add(payment)
    assert {len(payments[key_hash]) for key_hash in ours} == {1}
    told = {a.payment_id for answers in repeats.answers.values() for a in answers if a.status in ACKNOWLEDGED}
    assert told <= {payment for key_hash in ours for payment in payments[key_hash]}
    assert {a.status for answers in repeats.answers.values() for a in answers} <= {201, 202, 409, 503}
    assert (await client.ledger_summary())["charged_more_than_once"] == []
    for key_hash in ours:
        (payment,) = payments[key_hash]
        started = {r.event.attempt_id for r in topic[payment] if isinstance(r.event, AttemptStarted)}
        assert sum(charge["reference"] in started for charge in ledger) == 1


async def test_a_rebuild_that_is_killed_is_begun_anew_and_two_at_once_are_one(
    product: Product, client: Client
) -> None:
    key = new_key()
    first = await client.pay(key)
    killed = await rebuild(product)
    async with asyncio.timeout(60):
        while (await client.pay(new_key())).status != 503:  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.1)
    killed.kill()
    await killed.communicate()
    assert {(await client.pay(key, api=api)).status for api in (0, 1)} == {503}

    both = [await rebuild(product) for _ in range(2)]
    said = await asyncio.gather(*(said_by(process) for process in both))
    assert sorted(process.returncode or 0 for process in both) == [0, 3], said
    again = await client.pay(key, api=1)
    assert (again.status, again.payment_id) == (201, first.payment_id)
    assert (await client.pay(new_key())).status == 201
    await product.api.wait_ready()
