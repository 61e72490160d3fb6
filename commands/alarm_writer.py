"""Tells what a person should know of gateways and projections, once, however many processes see it."""

from typing import get_args

from commands.ports import Alarms
from commands.standing_alarms import NOTHING_STANDS, JudgeGateways, JudgeProjection, Raised, decide, evolve
from schemas.base import Event
from schemas.envelope import Recorded
from schemas.reliability import StandingAlarm


class AlarmWriter:
    """`take` is given all that is on `reliability.events.v1`; who has not heard its end must not judge."""

    def __init__(self, alarms: Alarms) -> None:
        self._alarms = alarms
        self._standing = NOTHING_STANDS

    def take(self, recorded: Recorded[Event]) -> None:
        self._standing = evolve(self._standing, recorded)

    @property
    def standing(self) -> dict[str, int]:
        """How many of each alarm stand."""
        counts = dict.fromkeys((alarm.__name__ for alarm in get_args(StandingAlarm)), 0)
        for found in self._standing.values():
            if isinstance(found, Raised):
                counts[type(found.alarm).__name__] += 1
        return counts

    async def judge(self, command: JudgeGateways | JudgeProjection) -> None:
        """What is not told now is decided again with the next figures. Raises Unavailable."""
        for event in decide(command, self._standing):
            await self._alarms.publish(event)
