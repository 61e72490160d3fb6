"""What is asked for becomes exact offsets, or is refused."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from schemas.errors import LogBroken, NoSuchTopic
from streams.replay.plan import Asked, Part, Plan, resolve

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Topic:
    """Partitions of records that were stamped a second apart from noon on, the first `gone` of which have left."""

    def __init__(self, *lengths: int, gone: int = 0) -> None:
        self._lengths = lengths
        self._gone = gone

    async def beginning_offset(self, topic: str, partition: int) -> int:
        return self._gone

    async def end_offsets(self, topic: str) -> dict[int, int]:
        return dict(enumerate(self._lengths))

    async def offset_at(self, topic: str, partition: int, stamp_ms: int) -> int:
        seconds = -(-(stamp_ms - round(NOON.timestamp() * 1000)) // 1000)
        return min(max(seconds, self._gone), self._lengths[partition])


async def ranges(log: Topic, asked: Asked) -> Sequence[tuple[int, int, int]]:
    return [(part.partition, part.start, part.stop) for part in (await resolve(asked, log)).parts]


async def test_everything_is_everything_that_is_there_when_it_is_asked_for() -> None:
    assert await resolve(Asked(topic="t"), Topic(3, 0)) == Plan(
        topic="t",
        parts=(Part(partition=0, start=0, stop=3), Part(partition=1, start=0, stop=0)),
    )


async def test_moments_become_the_offsets_that_were_stamped_between_them() -> None:
    asked = Asked(topic="t", since=NOON + timedelta(seconds=2), until=NOON + timedelta(seconds=5))
    assert await ranges(Topic(9, 4, 1), asked) == [(0, 2, 5), (1, 2, 4), (2, 1, 1)]


async def test_offsets_are_those_of_each_partition_that_is_asked_for() -> None:
    asked = Asked(topic="t", since=1, until=3, partitions=frozenset({2, 0}))
    assert await ranges(Topic(5, 5, 5), asked) == [(0, 1, 3), (2, 1, 3)]


async def test_a_beginning_that_has_left_the_log_is_refused_by_its_offset() -> None:
    with pytest.raises(LogBroken, match="t-0 begins at offset 2 by now, and 1 was asked for"):
        await resolve(Asked(topic="t", since=1), Topic(5, gone=2))
    assert await ranges(Topic(5, gone=2), Asked(topic="t", since=2)) == [(0, 2, 5)]


async def test_a_moment_that_may_have_left_the_log_is_refused() -> None:
    log = Topic(9, gone=3)
    with pytest.raises(LogBroken, match="begins at offset 3"):
        await resolve(Asked(topic="t", since=NOON + timedelta(seconds=3)), log)
    assert await ranges(log, Asked(topic="t", since=NOON + timedelta(seconds=4))) == [(0, 4, 9)]


async def test_whoever_asks_for_what_is_left_gets_it() -> None:
    assert await ranges(Topic(9, gone=3), Asked(topic="t", since="earliest")) == [(0, 3, 9)]


@pytest.mark.parametrize("asked", [Asked(topic="t", until=6), Asked(topic="t", since=6)])
async def test_an_offset_that_is_not_there_yet_is_refused(asked: Asked) -> None:
    with pytest.raises(LogBroken, match="t-0 ends at offset 5, and 6 was asked for"):
        await resolve(asked, Topic(5))


async def test_a_partition_that_there_is_not_is_refused() -> None:
    with pytest.raises(NoSuchTopic, match="no 3"):
        await resolve(Asked(topic="t", partitions=frozenset({3})), Topic(5, 5))


async def test_an_end_before_the_beginning_reads_nothing() -> None:
    asked = Asked(topic="t", since=NOON + timedelta(seconds=4), until=NOON)
    assert (await resolve(asked, Topic(9))).records == 0
