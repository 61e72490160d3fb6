"""Whether a Postgres is believed: the adopted one at once, any other only when no forgotten owner can write."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from infra.local.stack import Stack
from infra.postgres.admission import Admission, StoreIdentity
from infra.postgres.database import Database
from infra.postgres.migrate import migrate
from infra.postgres.replays import take
from schemas.codec import PAYMENTS_TOPIC
from schemas.errors import StoreUnavailable
from schemas.views import Watermark
from tests.waiting import HANGS_AFTER_S, until

pytestmark = pytest.mark.integration
WINDOW_MS = 300
GUARD_MS = 2_000
WAIT_S = (WINDOW_MS + GUARD_MS) / 1000


class Adoptions:
    def __init__(self, *adopted: StoreIdentity) -> None:
        self.adopted = list(adopted)

    async def newest(self) -> StoreIdentity | None:
        return self.adopted[-1] if self.adopted else None

    async def append(self, identity: StoreIdentity) -> None:
        self.adopted.append(identity)


@pytest.fixture
async def database(stack: Stack) -> AsyncIterator[Database]:
    await migrate(stack.env["DATABASE_URL"])
    database = await Database.connect(stack.env["DATABASE_URL"])
    yield database
    await database.close()


class Gate:
    """An admission over one partition of a pretended log."""

    def __init__(self, database: Database, adoptions: Adoptions, end: int = 0, projected: int = 0) -> None:
        self.end, self.projected = end, projected
        self.admission = Admission(
            database, adoptions, self._ends, self._watermarks, guard_ms=GUARD_MS, longest_window_ms=WINDOW_MS
        )

    async def _ends(self) -> dict[int, int]:
        return {0: self.end}

    async def _watermarks(self) -> dict[tuple[str, int], Watermark]:
        return {(PAYMENTS_TOPIC, 0): Watermark(next_offset=self.projected, last_stamp_ms=0)}

    async def opens_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                while not self.admission.is_open:  # noqa: ASYNC110  # it has no event
                    await asyncio.sleep(0.02)
        except TimeoutError:
            return False
        return True

    async def says(self, text: str) -> None:
        async def is_so() -> bool:
            return text in self.admission.detail

        await until(is_so)


async def test_the_first_postgres_of_an_empty_log_is_adopted_at_once_and_recorded(database: Database) -> None:
    adoptions = Adoptions()
    gate = Gate(database, adoptions)
    gate.admission.start()
    assert await gate.opens_within(HANGS_AFTER_S)
    assert len(adoptions.adopted) == 1
    again = Gate(database, adoptions, end=5, projected=5)
    again.admission.start()
    assert await again.opens_within(HANGS_AFTER_S)
    assert len(adoptions.adopted) == 1


@pytest.mark.safety
@pytest.mark.parametrize("known, end", [((), 5), (("other",), 5), (("other",), 0)])
async def test_an_unknown_postgres_is_adopted_only_when_no_forgotten_owner_can_write(
    database: Database, known: tuple[str, ...], end: int
) -> None:
    others = [StoreIdentity(system_identifier=name, timeline=1, database=1) for name in known]
    adoptions = Adoptions(*others)
    gate = Gate(database, adoptions, end=end, projected=end)
    gate.admission.start()
    assert not await gate.opens_within(WAIT_S - 0.3)
    assert await gate.opens_within(HANGS_AFTER_S)
    assert adoptions.adopted[-1] not in others


async def behind(database: Database, adoptions: Adoptions) -> Gate:
    """Of a Postgres that is known, which waits for the projection to come from offset 3 to 9."""
    first = Gate(database, adoptions)
    first.admission.start()
    assert await first.opens_within(HANGS_AFTER_S)
    gate = Gate(database, adoptions, end=9, projected=3)
    gate.admission.start()
    await gate.says("6 records")
    return gate


async def test_nothing_is_admitted_before_the_projection_has_reached_the_end_of_the_log(
    database: Database,
) -> None:
    gate = await behind(database, Adoptions())
    assert not await gate.opens_within(0.4)
    gate.projected = 9
    assert await gate.opens_within(HANGS_AFTER_S)


@pytest.mark.safety
async def test_a_connection_is_refused_until_admission_is_open_and_when_it_leads_elsewhere(
    stack: Stack, database: Database
) -> None:
    adoptions = Adoptions()
    gate = Gate(database, adoptions)
    reservations = await Database.connect(
        stack.env["DATABASE_URL"], min_size=0, max_size=1, on_connect=gate.admission.verify
    )
    with pytest.raises(StoreUnavailable):
        await reservations.fetch("SELECT 1")
    gate.admission.start()
    assert await gate.opens_within(HANGS_AFTER_S)
    await reservations.fetch("SELECT 1")
    await reservations.close()

    gate.admission._adopted = StoreIdentity(system_identifier="other", timeline=1, database=1)
    elsewhere = await Database.connect(
        stack.env["DATABASE_URL"], min_size=0, max_size=1, on_connect=gate.admission.verify
    )
    with pytest.raises(StoreUnavailable):
        await elsewhere.fetch("SELECT 1")
    await elsewhere.close()
    await gate.admission.stop()


async def test_one_that_may_forget_what_it_has_committed_is_not_believed(stack: Stack) -> None:
    url = urlsplit(stack.env["DATABASE_URL"])
    forgetful = str(url._replace(query="options=-csynchronous_commit%3Doff").geturl())
    await migrate(stack.env["DATABASE_URL"])
    database = await Database.connect(forgetful)
    gate = Gate(database, Adoptions())
    gate.admission.start()

    await gate.says("may forget")
    assert not await gate.opens_within(0.3)
    await gate.admission.stop()
    await database.close()


async def test_one_that_a_replay_filled_is_never_adopted_and_that_is_said_at_once(url: str) -> None:
    database, adoptions = await Database.connect(url), Adoptions()
    assert await take(database)
    gate = Gate(database, adoptions, end=9, projected=3)
    gate.admission.start()

    await gate.says("filled by a replay")
    assert not await gate.opens_within(0.3)
    assert not adoptions.adopted
    await gate.admission.stop()
    await database.close()


async def test_a_replay_is_not_taken_for_the_projection_that_is_waited_for(url: str) -> None:
    database, adoptions = await Database.connect(url), Adoptions()
    gate = await behind(database, adoptions)

    assert await take(database)
    gate.projected = 9
    await gate.says("filled by a replay")
    assert not gate.admission.is_open
    await gate.admission.stop()
    await database.close()
