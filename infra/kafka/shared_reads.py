"""Reads of one partition that are wanted at the same time become one read, where they are neighbours.

A verifier takes over many payments at once. Each needs the end of its partition, and what fell into doubt together lies
together: read one by one they would queue for the few consumers until their time is up.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from infra.histories import NEIGHBOURS_WITHIN

Record = Any
MOST_TOGETHER = 5_000
"""Records of one read; what goes beyond is another."""


class Reader(Protocol):
    async def read(self, topic: str, partition: int, start: int, stop: int) -> Sequence[Record]: ...

    async def end_offset(self, topic: str, partition: int) -> int: ...


class _Wish(NamedTuple):
    start: int
    stop: int
    records: "asyncio.Future[Sequence[Record]]"


class SharedReads:
    """One partition is read by one at a time: who comes meanwhile shares the next read."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._wishes: defaultdict[tuple[str, int], list[_Wish]] = defaultdict(list)
        self._granting: dict[tuple[str, int], asyncio.Task[None]] = {}

    async def read(self, topic: str, partition: int, start: int, stop: int) -> Sequence[Record]:
        """The records of offsets [start, stop). Raises what the read raised that it was part of."""
        place = topic, partition
        wish = _Wish(start, stop, asyncio.get_running_loop().create_future())
        self._wishes[place].append(wish)
        if place not in self._granting:
            self._granting[place] = asyncio.create_task(self._grant(*place))
        return await wish.records

    async def end_offset(self, topic: str, partition: int) -> int:
        return await self._reader.end_offset(topic, partition)

    async def _grant(self, topic: str, partition: int) -> None:
        place = topic, partition
        while wishes := self._wishes.pop(place, None):
            await asyncio.gather(*(self._read(topic, partition, group) for group in together(wishes)))
        del self._granting[place]

    async def _read(self, topic: str, partition: int, group: Sequence[_Wish]) -> None:
        first, stop = group[0].start, max(wish.stop for wish in group)
        try:
            records = await self._reader.read(topic, partition, first, stop)
        except Exception as error:  # whatever it is, everybody who waits for it is to hear of it
            for wish in group:
                if not wish.records.done():
                    wish.records.set_exception(error)
            return
        for wish in group:
            if not wish.records.done():  # its reader may have gone away
                wish.records.set_result(records[wish.start - first : wish.stop - first])


def together(wishes: Iterable[_Wish]) -> list[list[_Wish]]:
    """Those that are neighbours or overlap, in the order of their beginnings."""
    groups: list[list[_Wish]] = []
    stop = 0
    for wish in sorted(wishes, key=lambda one: one.start):
        is_neighbour = bool(groups) and wish.start - stop < NEIGHBOURS_WITHIN
        if is_neighbour and max(stop, wish.stop) - groups[-1][0].start <= MOST_TOGETHER:
            groups[-1].append(wish)
            stop = max(stop, wish.stop)
        else:
            groups.append([wish])
            stop = wish.stop
    return groups
