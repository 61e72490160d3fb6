"""The audit: one entry for everything that somebody has changed, whatever stops its keeper, by the topics alone."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.memory.audit import MemoryAudit
from infra.memory.projections import MemoryDeadLetters, MemoryRecords
from schemas.audit import AuditEntry
from schemas.base import Event
from schemas.circuit import CircuitForcedOpen, CircuitOpened
from schemas.codec import (
    CIRCUITS_TOPIC,
    CONFIGURATION_TOPIC,
    EXPERIMENTS_TOPIC,
    NOTIFICATIONS_TOPIC,
    encode,
)
from schemas.configuration import (
    GatewaySet,
    KillSwitchTurnedOff,
    KillSwitchTurnedOn,
    ReservationStoreAdopted,
    RoutingSet,
    aggregate_of,
)
from schemas.envelope import Outgoing, unowned
from schemas.errors import StoreUnavailable, Unreadable
from schemas.gateway import GatewayTerms
from schemas.notification import GatewayNotified, ReviewDecided
from schemas.routing_configuration import MethodSwitch
from schemas.views import Watermark
from schemas.webhook import webhook_aggregate
from streams import audit_keeper
from streams.audit_keeper import AuditKeeper
from tests.builders import AT, PAYMENT, attempt
from tests.commands.rules import ALPHA
from tests.commands.test_experiment import ONE, paused, started
from tests.commands.test_webhook_subscription import (
    amended,
    replayed,
    rotated,
    subscribed,
    unsubscribed,
)

STAMP_MS = 1_700_000_000_000
UPI = MethodSwitch(name="UPI")
TOPICS = {CONFIGURATION_TOPIC: 1, EXPERIMENTS_TOPIC: 1, CIRCUITS_TOPIC: 1, NOTIFICATIONS_TOPIC: 3}


class Log(MemoryRecords):
    def __init__(self) -> None:
        super().__init__()
        self.told = 0

    async def end_offsets(self, topic: str) -> Mapping[int, int]:
        return {partition: await self.end_offset(topic, partition) for partition in range(TOPICS[topic])}

    def tell(
        self, topic: str, aggregate: str, event: Event, *, partition: int = 0, sequence: int = 1
    ) -> None:
        """By a request of its own."""
        self.told += 1
        envelope = unowned(
            f"evt_{self.told}", aggregate, AT, sequence=sequence, correlation_id=f"req_{self.told}"
        )
        value, headers = encode(Outgoing(envelope=envelope, event=event))
        self.append(topic, partition, STAMP_MS + self.told, aggregate.encode(), value, headers)

    def configure(self, *events: RoutingSet) -> None:
        for event in events:
            self.tell(CONFIGURATION_TOPIC, aggregate_of(event), event)


class Sink(MemoryAudit):
    """`refusals` more stores come to nothing, an entry of one of `unholdable` none ever holds, and a store fails of a
    `defect` once."""

    refusals = 0
    unholdable: Collection[str] = ()
    defect: Exception | None = None

    async def keep(
        self, topic: str, partition: int, first: int, entries: Sequence[AuditEntry], reached: Watermark
    ) -> bool:
        if self.refusals:
            self.refusals -= 1
            raise StoreUnavailable("away")
        if self.defect is not None:
            defect, self.defect = self.defect, None
            raise defect
        if any(entry.by in self.unholdable for entry in entries):
            raise Unreadable("no store can hold it")
        return await super().keep(topic, partition, first, entries, reached)


class World:
    def __init__(self) -> None:
        self.log, self.sink, self.letters = Log(), Sink(), MemoryDeadLetters()

    def keeper(self) -> AuditKeeper:
        return AuditKeeper(self.sink, self.log, self.letters)

    async def kept(self) -> list[AuditEntry]:
        """The oldest first."""
        return list(reversed(await self.sink.entries(None, None, None, 1_000)))


@pytest.fixture
def world() -> World:
    return World()


def turned_on(by: str = "asha", instead_of: int = 0) -> KillSwitchTurnedOn:
    return KillSwitchTurnedOn(switch=UPI, by=by, note="why", instead_of_version=instead_of)


def turned_off(instead_of: int, by: str = "ravi") -> KillSwitchTurnedOff:
    return KillSwitchTurnedOff(switch=UPI, by=by, note="", instead_of_version=instead_of)


def gateway_set(enabled: bool, instead_of: int = 0) -> GatewaySet:
    return GatewaySet(
        gateway=ALPHA,
        terms=GatewayTerms(enabled=enabled),
        by="asha",
        note="",
        instead_of_version=instead_of,
    )


def decided(verdict: str = "declined") -> ReviewDecided:
    return ReviewDecided(
        decision_id="dec_1",
        attempt_id=attempt(),
        verdict=verdict,  # type: ignore[arg-type]
        settled_by="asha",
        note="as the statement says",
    )


def forced() -> CircuitForcedOpen:
    return CircuitForcedOpen(
        gateway=ALPHA, payment_method="UPI", at=AT, by="asha", note="maintenance", request_id="ord_1"
    )


def opened() -> CircuitOpened:
    return CircuitOpened(
        gateway=ALPHA,
        payment_method="UPI",
        at=AT,
        until=AT,
        opening=1,
        reason="fast",
        statistic=9,
        threshold=8,
        baseline=0.9,
        calls=20,
        failures=9,
    )


async def test_a_change_is_kept_with_who_made_it_why_by_which_request_and_what_was_there_before(
    world: World,
) -> None:
    world.log.configure(turned_on(), gateway_set(False, instead_of=0), turned_off(1))
    await world.keeper().look()
    first, other, last = await world.kept()
    switch = {"kind": "method", "name": "UPI"}
    assert (first.what, first.aggregate, first.before) == (
        "KillSwitchTurnedOn",
        "kill-switch:method:UPI",
        None,
    )
    assert first.after == {"type": "KillSwitchTurnedOn", "switch": switch}
    assert (last.by, last.note, last.request_id, last.stamp_ms) == ("ravi", "", "req_3", STAMP_MS + 3)
    assert (last.before, last.after) == (first.after, {"type": "KillSwitchTurnedOff", "switch": switch})
    assert (other.aggregate, other.before) == ("gateway:alpha", None)
    assert other.after == {"type": "GatewaySet", "gateway": "alpha", "terms": {"enabled": False}}


async def test_a_webhook_subscription_is_on_it_from_its_beginning_to_its_end_without_a_void_act(
    world: World,
) -> None:
    for event in (subscribed(), rotated(1), unsubscribed(1), unsubscribed(2)):
        world.log.tell(CONFIGURATION_TOPIC, webhook_aggregate(event), event)
    await world.keeper().look()
    kept = await world.kept()
    assert [one.what for one in kept] == ["WebhookSubscribed", "WebhookSecretRotated", "WebhookUnsubscribed"]
    assert {one.aggregate for one in kept} == {f"webhook:{kept[0].after['subscription_id']}"}  # type: ignore[index]
    assert kept[1].before == kept[0].after


async def test_what_was_replayed_is_on_it_beside_its_subscription(world: World) -> None:
    for event in (subscribed(), replayed(), amended(1)):
        world.log.tell(CONFIGURATION_TOPIC, webhook_aggregate(event), event)
    await world.keeper().look()
    first, replay, change = await world.kept()
    assert (replay.what, replay.by, replay.note, replay.request_id) == (
        "WebhooksReplayed",
        "asha",
        "mended",
        "req_2",
    )
    assert replay.aggregate == first.aggregate.replace("webhook:", "webhook-replays:")
    assert change.before == first.after


async def test_what_is_void_is_not_kept_and_what_comes_before_is_not_it(world: World) -> None:
    world.log.configure(turned_on(), turned_on(by="too late"), turned_off(1))
    await world.keeper().look()
    assert [entry.by for entry in await world.kept()] == ["asha", "ravi"]


async def test_what_nobody_has_changed_is_not_kept(world: World) -> None:
    world.log.tell(
        CONFIGURATION_TOPIC, "reservations", ReservationStoreAdopted(system_identifier="1", timeline=1)
    )
    await world.keeper().look()
    assert not await world.kept()
    assert world.sink.marks[CONFIGURATION_TOPIC, 0].next_offset == 1


async def test_what_its_keeper_cannot_read_is_kept_as_far_as_it_can(world: World) -> None:
    unreadable = b'{"type":"MoonSet","moon":1,"by":"asha","note":"n","instead_of_version":0}'
    envelope = unowned("evt_1", "moon", AT, correlation_id="req_1")
    _, headers = encode(Outgoing(envelope=envelope, event=turned_on()))
    world.log.append(CONFIGURATION_TOPIC, 0, STAMP_MS, b"moon", unreadable, headers)
    await world.keeper().look()
    (entry,) = await world.kept()
    assert (entry.aggregate, entry.by, entry.request_id, entry.after) == ("moon", "asha", "req_1", None)


async def test_experiments_are_kept_whoever_leads_them(world: World) -> None:
    for event in (started(), started(), paused()):
        world.log.tell(EXPERIMENTS_TOPIC, ONE, event)
    await world.keeper().look()
    begun, stopped = await world.kept()
    assert (begun.what, begun.by, begun.before) == ("ExperimentStarted", "asha", None)
    assert (stopped.what, stopped.by, stopped.before) == ("ExperimentPaused", "analyzer", begun.after)


async def test_an_operators_word_about_a_circuit_is_kept_once_and_what_it_does_by_itself_is_not(
    world: World,
) -> None:
    for sequence, event in ((1, opened()), (2, forced()), (2, forced())):
        world.log.tell(CIRCUITS_TOPIC, "alpha:UPI", event, sequence=sequence)
    await world.keeper().look()
    (entry,) = await world.kept()
    assert (entry.what, entry.by, entry.note) == ("CircuitForcedOpen", "asha", "maintenance")
    assert entry.request_id == "req_2"
    assert entry.before is not None
    assert entry.before["type"] == "CircuitOpened"


async def test_a_persons_word_about_a_payment_is_kept_and_a_gateways_is_not(world: World) -> None:
    notified = GatewayNotified(
        gateway=ALPHA, event_id="e", kind="paid", attempt_id=attempt(), told="succeeded"
    )
    world.log.tell(NOTIFICATIONS_TOPIC, PAYMENT, notified, partition=2)
    world.log.tell(NOTIFICATIONS_TOPIC, PAYMENT, decided(), partition=2)
    await world.keeper().look()
    (entry,) = await world.kept()
    assert (entry.aggregate, entry.by, entry.note) == (PAYMENT, "asha", "as the statement says")
    assert (entry.position.partition, entry.position.offset) == (2, 1)
    assert entry.after is not None
    assert entry.after["verdict"] == "declined"


async def test_a_keeper_that_starts_again_knows_what_was_there_before(world: World) -> None:
    world.log.configure(turned_on())
    await world.keeper().look()
    world.log.configure(turned_off(1))
    await world.keeper().look()
    first, last = await world.kept()
    assert last.before == first.after


async def test_where_the_watermarks_are_taken_back_all_of_it_is_made_anew(world: World) -> None:
    keeper = world.keeper()
    world.log.configure(turned_on(), turned_off(1))
    world.log.tell(NOTIFICATIONS_TOPIC, PAYMENT, decided())
    await keeper.look()
    before = await world.kept()
    world.sink.kept.clear()
    world.sink.marks.clear()
    await keeper.look()
    assert await world.kept() == before


async def test_what_cannot_be_read_is_told_of_once_and_hides_nothing_behind_it(world: World) -> None:
    world.log.append(CONFIGURATION_TOPIC, 0, STAMP_MS, b"k", b"{", [])
    world.log.configure(turned_on())
    await world.keeper().look()
    await world.keeper().look()
    world.log.configure(turned_off(2))
    await world.keeper().look()
    assert [entry.by for entry in await world.kept()] == ["asha", "ravi"]
    assert [letter.position.offset for letter in world.letters.published] == [0]


@pytest.mark.parametrize("unholdable", [{"p0"}, {"p4"}, {"p1", "p2"}, {f"p{n}" for n in range(5)}])
async def test_what_the_store_cannot_hold_is_told_of_once_and_hides_nothing_beside_it(
    world: World, unholdable: set[str]
) -> None:
    world.sink.unholdable = unholdable
    for number in range(5):
        event = turned_off(number, f"p{number}") if number % 2 else turned_on(f"p{number}", number)
        world.log.configure(event)
    await world.keeper().look()
    await world.keeper().look()
    assert [entry.by for entry in await world.kept()] == sorted({f"p{n}" for n in range(5)} - unholdable)
    assert {f"p{letter.position.offset}" for letter in world.letters.published} == unholdable
    assert len(world.letters.published) == len(unholdable)
    assert world.sink.marks[CONFIGURATION_TOPIC, 0].next_offset == 5


async def test_a_defect_is_the_keepers_trouble_until_it_is_over_and_ends_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_keeper, "LOOK_EVERY_S", 0)
    world.sink.defect = RuntimeError("unheard of")
    world.log.configure(turned_on())
    keeper = world.keeper()
    running = asyncio.create_task(keeper.run())
    troubles: list[str | None] = []
    for _ in range(10):
        await asyncio.sleep(0)
        troubles.append(keeper.trouble)
    assert troubles[0] == "the audit is not kept: RuntimeError: unheard of"
    assert troubles[-1] is None
    assert [entry.by for entry in await world.kept()] == ["asha"]
    assert not running.done()
    running.cancel()


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["configuration", "experiment", "circuit", "review", "look", "restart"]),
            st.integers(0, 1),
            st.integers(0, 2),
        ),
        max_size=20,
    )
)
@settings(max_examples=100, deadline=None)
async def test_each_change_is_kept_once_whoever_looks_when_and_whatever_stops_them(
    story: list[tuple[str, int, int]],
) -> None:
    """Two keepers side by side, a store that goes away for some stores, and keepers that are started again."""
    world = World()
    keepers = [world.keeper(), world.keeper()]
    for number, (step, which, refusals) in enumerate(story, start=1):
        match step:
            case "configuration":
                world.log.configure(turned_on(instead_of=which), gateway_set(bool(which), refusals))
            case "experiment":
                world.log.tell(EXPERIMENTS_TOPIC, ONE, started() if which else paused())
            case "circuit":
                event = forced() if which else opened()
                world.log.tell(CIRCUITS_TOPIC, "alpha:UPI", event, sequence=number - refusals)
            case "review":
                world.log.tell(NOTIFICATIONS_TOPIC, PAYMENT, decided(), partition=refusals)
            case "restart":
                keepers[which] = world.keeper()
            case _:
                world.sink.refusals = refusals
                with suppress(StoreUnavailable):
                    await keepers[which].look()
    world.sink.refusals = 0
    await keepers[0].look()
    at_once = World()
    at_once.log = world.log
    await at_once.keeper().look()
    assert await world.kept() == await at_once.kept()
    assert world.sink.marks == at_once.sink.marks
