"""When a worker is taken to stand still."""

from collections.abc import Mapping

from schemas.errors import LogUnavailable
from schemas.views import Watermark
from streams.watchdog import GIVEN_UP_AFTER_MS, LOOK_EVERY_S, STALLED_AFTER_MS, Watchdog

TOPIC = "topic"


class World:
    """A log and its projection as they are, and time that passes only when told."""

    def __init__(self, *assigned: int) -> None:
        self.ends = {0: 10, 1: 10}
        self.reached = {0: 10, 1: 10}
        self.assigned = list(assigned)
        self.is_away = False
        self.is_idle = not assigned
        self.now_ms = 0.0
        self.watchdog = Watchdog(
            TOPIC, self, self, lambda: self.now_ms, lambda: self.assigned, lambda: self.is_idle
        )

    async def end_offsets(self, topic: str) -> dict[int, int]:
        if self.is_away:
            raise LogUnavailable("away")
        return self.ends

    async def watermarks(self) -> Mapping[tuple[str, int], Watermark]:
        return {(TOPIC, p): Watermark(next_offset=o, last_stamp_ms=0) for p, o in self.reached.items()}

    async def pass_by(self, ms: float) -> None:
        """A little more, looking as often as it does."""
        end_ms = self.now_ms + ms + 1
        await self.watchdog.look()
        while self.now_ms < end_ms:
            self.now_ms = min(self.now_ms + 1000 * LOOK_EVERY_S, end_ms)
            await self.watchdog.look()


async def test_what_does_not_move_while_its_log_grows_is_stalled() -> None:
    world = World(0, 1)
    world.ends[1] = 11
    await world.pass_by(STALLED_AFTER_MS)
    assert world.watchdog.stalled() == [1]
    assert world.watchdog.complaint == "stalled partitions: 1"

    world.reached[1] = 11
    await world.pass_by(0)
    assert world.watchdog.stalled() == []
    assert world.watchdog.complaint is None


async def test_what_moves_is_not_stalled_however_far_it_is_behind() -> None:
    world = World(0)
    world.ends[0] = 1_000
    for _ in range(3):
        world.reached[0] += 1
        await world.pass_by(STALLED_AFTER_MS - 2)
        assert world.watchdog.stalled() == []


async def test_what_others_have_is_not_ours_to_complain_of() -> None:
    world = World(0)
    world.ends[1] = 11
    await world.pass_by(GIVEN_UP_AFTER_MS)
    assert world.watchdog.stalled() == []
    assert world.watchdog.abandoned(GIVEN_UP_AFTER_MS) == []


async def test_who_has_nothing_while_the_projection_stands_still_is_abandoned() -> None:
    world = World()
    await world.pass_by(GIVEN_UP_AFTER_MS)
    assert world.watchdog.abandoned(GIVEN_UP_AFTER_MS) == []

    world.ends[1] = 11
    await world.pass_by(GIVEN_UP_AFTER_MS)
    assert world.watchdog.abandoned(GIVEN_UP_AFTER_MS) == [1]
    assert world.watchdog.complaint is None


async def test_who_has_nothing_of_this_topic_and_work_of_another_is_not_abandoned() -> None:
    world = World()
    world.ends[1] = 11
    world.is_idle = False
    await world.pass_by(GIVEN_UP_AFTER_MS)
    assert world.watchdog.abandoned(GIVEN_UP_AFTER_MS) == []


async def test_a_partition_that_has_just_come_has_time_to_move() -> None:
    world = World()
    world.ends[1] = 11
    await world.pass_by(GIVEN_UP_AFTER_MS)
    world.assigned, world.is_idle = [1], False
    await world.pass_by(0)
    assert world.watchdog.stalled() == []
    assert world.watchdog.abandoned(GIVEN_UP_AFTER_MS) == []


async def test_what_nobody_could_see_is_not_held_against_a_worker() -> None:
    """It takes seconds to have its partitions again when the log is back, and would begin anew for nothing."""
    world = World(0)
    world.ends[0] = 11
    await world.pass_by(1_000)
    world.is_away = True
    await world.pass_by(GIVEN_UP_AFTER_MS)
    world.is_away = False
    await world.pass_by(1_000)
    assert world.watchdog.stalled() == []

    world.now_ms += GIVEN_UP_AFTER_MS  # stopped, and continued
    assert world.watchdog.stalled() == []
    await world.pass_by(1_000)
    assert world.watchdog.stalled() == []

    await world.pass_by(STALLED_AFTER_MS)
    assert world.watchdog.stalled() == [0]


async def test_who_cannot_look_says_so() -> None:
    world = World(0)
    world.is_away = True
    await world.pass_by(STALLED_AFTER_MS)
    assert world.watchdog.complaint == "LogUnavailable: away"


async def test_a_log_that_is_shorter_than_what_was_projected_has_lost_records() -> None:
    world = World(0)
    world.ends[0] = 9
    await world.watchdog.look()
    assert world.watchdog.complaint is not None
    assert "records were lost" in world.watchdog.complaint
