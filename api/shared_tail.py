"""One tail of a topic for several folds of it: the topic is read once, and each of them hears every record."""

from collections.abc import Callable

from projections.ports import Tail, Take
from schemas.base import Event
from schemas.envelope import Recorded


class SharedTail:
    """Those who share it join before the first of them starts it, and it ends with the first that stops it."""

    def __init__(self, open_tail: Callable[[Take], Tail]) -> None:
        self._takes: list[Take] = []
        self._tail = open_tail(self._tell)
        self._is_started = False

    def joined(self, take: Take) -> Tail:
        assert not self._is_started, "it would not hear what has been told already"
        self._takes.append(take)
        return self

    async def start(self) -> bool:
        if self._is_started:
            return self.is_caught_up
        self._is_started = True
        return await self._tail.start()

    async def stop(self) -> None:
        await self._tail.stop()

    @property
    def next_offset(self) -> int:
        return self._tail.next_offset

    @property
    def is_caught_up(self) -> bool:
        return self._tail.is_caught_up

    @property
    def is_current(self) -> bool:
        return self._tail.is_current

    @property
    def behind_s(self) -> float:
        return self._tail.behind_s

    def _tell(self, record: Recorded[Event]) -> None:
        """What one of them cannot take is kept from none of the others."""
        failures = []
        for take in self._takes:
            try:
                take(record)
            except Exception as error:
                failures.append(error)
        if failures:
            raise ExceptionGroup("a record was not taken by everybody", failures)
