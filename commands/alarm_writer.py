"""Tells what a person should know of gateways and projections, once, however many processes see it."""

from commands.ports import Alarms
from commands.standing_alarms import NOTHING_STANDS, JudgeGateways, JudgeProjection, decide, evolve
from schemas.base import Event
from schemas.envelope import Recorded


class AlarmWriter:
    """`take` is given all that is on `reliability.events.v1`; who has not heard its end must not judge."""

    def __init__(self, alarms: Alarms) -> None:
        self._alarms = alarms
        self._standing = NOTHING_STANDS

    def take(self, recorded: Recorded[Event]) -> None:
        self._standing = evolve(self._standing, recorded)

    async def judge(self, command: JudgeGateways | JudgeProjection) -> None:
        """What is not told now is decided again with the next figures. Raises Unavailable."""
        for event in decide(command, self._standing):
            await self._alarms.publish(event)
