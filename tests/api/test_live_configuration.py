"""What is configured, as processes hear it from the log they share, and who wins when two set it at once."""

import asyncio

import pytest
from msgspec.structs import replace

from api.live_configuration import LiveConfiguration
from commands.routing.configuration import INITIAL
from infra.memory.configuration import MemoryConfigurationTopic
from infra.memory.topic import MemoryTail
from projections.ports import Take
from schemas.configuration import RoutingSet, SetRoutingRules, SetSegmentation, UnreadSet
from schemas.errors import AppendAmbiguous, LogUnavailable, Refusal, Refused
from schemas.routing_configuration import RoutingRules, Segmentation
from tests.api.stand_ins import ManualClock
from tests.commands.rules import ALPHA, BETA, pin, rules

pytestmark = pytest.mark.time_jumps

TO_ALPHA, TO_BETA = rules(pin(to=ALPHA)), rules(pin(to=BETA))


class World:
    """A topic and processes that share it."""

    def __init__(self, topic: MemoryConfigurationTopic | None = None) -> None:
        self.topic = topic or MemoryConfigurationTopic()
        self.clock = ManualClock()
        self.tails: list[MemoryTail] = []

    async def process(self, *, started: bool = True) -> LiveConfiguration:
        def open_tail(take: Take) -> MemoryTail:
            self.tails.append(self.topic.tail(take))
            return self.tails[-1]

        process = LiveConfiguration(open_tail, self.topic, self.clock, confirmed_within_s=0.2)
        if started:
            await process.start()
        return process


def set_rules(given: RoutingRules, *, instead_of: int = 0) -> SetRoutingRules:
    return SetRoutingRules(rules=given, gateways=(), by="asha", note="", instead_of_version=instead_of)


async def refusal_of(process: LiveConfiguration, command: SetRoutingRules) -> Refusal:
    with pytest.raises(Refused) as refused:
        await process.set(command, "req_1")
    return refused.value.reason


async def test_what_one_process_sets_is_in_force_in_all_when_it_has_been_set() -> None:
    world = World()
    one, other = await world.process(), await world.process()
    configured = await one.set(set_rules(TO_ALPHA), "req_1")
    assert configured == one.current == other.current
    assert configured.routing.rules == TO_ALPHA
    assert configured.setting("routing-rules").version == 1


async def test_a_process_that_starts_later_comes_to_the_same() -> None:
    world = World()
    one = await world.process()
    await one.set(set_rules(TO_ALPHA), "req_1")
    await one.set(set_rules(TO_BETA, instead_of=1), "req_2")
    assert (await world.process()).current == one.current


async def test_of_two_who_write_at_once_the_second_is_told_and_nothing_is_lost() -> None:
    """The second one decides on what it has heard, which is not yet what the first has just written."""
    world = World()
    one, other = await world.process(), await world.process()
    world.tails[1].pause()
    await one.set(set_rules(TO_ALPHA), "req_1")
    late = asyncio.create_task(refusal_of(other, set_rules(TO_BETA)))
    await asyncio.sleep(0)
    world.tails[1].resume()
    assert await late == Refusal.STALE_VERSION
    assert len(world.topic.records) == 2
    assert one.current == other.current
    assert one.current.routing.rules == TO_ALPHA


async def test_two_who_set_different_things_at_once_both_do() -> None:
    world = World()
    one, other = await world.process(), await world.process()
    segmentation = Segmentation(dimensions=("currency",))
    by_currency = SetSegmentation(segmentation=segmentation, by="ravi", note="", instead_of_version=0)
    await asyncio.gather(one.set(set_rules(TO_ALPHA), "req_1"), other.set(by_currency, "req_2"))
    assert one.current == other.current
    assert one.current.routing.rules == TO_ALPHA
    assert one.current.routing.segmentation == segmentation


async def test_what_is_so_already_is_not_written_again() -> None:
    world = World()
    one = await world.process()
    before = await one.set(set_rules(TO_ALPHA), "req_1")
    assert await one.set(set_rules(TO_ALPHA, instead_of=1), "req_2") == before
    assert len(world.topic.records) == 1


async def test_who_does_not_hear_of_it_in_time_is_told_that_nobody_knows() -> None:
    world = World()
    one = await world.process()
    world.tails[0].pause()
    assert await refusal_of(one, set_rules(TO_ALPHA)) == Refusal.UNCONFIRMED
    world.tails[0].resume()
    assert one.current.routing.rules == TO_ALPHA


class Ambiguous(MemoryConfigurationTopic):
    """Appends, and its acknowledgement is lost; or the append is."""

    loses = False

    async def append(self, event: RoutingSet, event_id: str, request_id: str) -> None:
        if not self.loses:
            await super().append(event, event_id, request_id)
        raise AppendAmbiguous("not acknowledged")


async def test_an_append_without_an_acknowledgement_is_judged_by_whether_it_is_heard_of() -> None:
    topic = Ambiguous()
    one = await World(topic).process()
    assert (await one.set(set_rules(TO_ALPHA), "req_1")).routing.rules == TO_ALPHA
    topic.loses = True
    assert await refusal_of(one, set_rules(TO_BETA, instead_of=1)) == Refusal.UNCONFIRMED
    assert one.current.routing.rules == TO_ALPHA


async def test_where_no_log_answers_nothing_is_set_and_the_last_one_stays() -> None:
    world = World()
    one = await world.process()
    await one.set(set_rules(TO_ALPHA), "req_1")
    world.topic.is_available = False
    with pytest.raises(LogUnavailable):
        await one.set(set_rules(TO_BETA, instead_of=1), "req_2")
    assert one.current.routing.rules == TO_ALPHA


async def test_nothing_is_set_before_it_is_known_what_there_is() -> None:
    one = await World().process(started=False)
    assert not one.is_loaded
    with pytest.raises(LogUnavailable):
        await one.set(set_rules(TO_ALPHA), "req_1")
    assert one.current == INITIAL


async def test_readiness_says_what_is_loaded_and_when_it_is_stale() -> None:
    world = World()
    one = await world.process(started=False)
    assert (await one.check()).detail == "not loaded yet"
    await one.start()
    await one.set(set_rules(TO_ALPHA), "req_1")
    assert (await one.check()).ok
    assert (await one.check()).detail == "version 1"
    world.tails[0].pause()
    proof = await one.check()
    assert (proof.ok, proof.detail) == (False, "was current 60 s ago")


async def test_readiness_says_when_a_newer_version_has_set_what_cannot_be_read() -> None:
    world = World()
    one = await world.process()
    await one.set(set_rules(TO_ALPHA), "req_1")
    unread = UnreadSet(aggregate="routing-rules", by="a newer one", note="", instead_of_version=1)
    (record,) = world.topic.records
    world.tails[0].take(replace(record, event=unread, position=replace(record.position, offset=1)))
    proof = await one.check()
    assert not proof.ok
    assert proof.detail.endswith("routing-rules")
    assert one.current.routing.rules == TO_ALPHA


async def test_a_webhook_that_cannot_be_read_takes_no_process_out_of_service() -> None:
    world = World()
    one = await world.process()
    await one.set(set_rules(TO_ALPHA), "req_1")
    unread = UnreadSet(aggregate="webhook:whs_1", by="a newer one", note="", instead_of_version=0)
    (record,) = world.topic.records
    world.tails[0].take(replace(record, event=unread, position=replace(record.position, offset=1)))
    assert one.current.unread == {"webhook:whs_1": 2}
    assert (await one.check()).ok
