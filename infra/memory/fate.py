"""What becomes of a call on its way to another machine: two moments, each of which may never come, say it all."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from schemas.base import Value

T = TypeVar("T")


class Fate(Value, frozen=True, kw_only=True):
    """`effect_ms`: when it takes effect there, None for never. `answer_ms`: how long after that the caller hears of it.

    Lost on the way: no effect. Lost on the way back: no answer. An effect that is later than the caller's patience
    happens all the same.
    """

    effect_ms: float | None = 0
    answer_ms: float | None = 0


UNTROUBLED = Fate()


def untroubled() -> Fate:
    return UNTROUBLED


async def carry_out(effect: Callable[[], T], fate: Fate) -> T:
    """Waits for ever when no answer comes: how long to wait is the caller's to say. Effects must not raise.

    The effect belongs to the other machine: it happens even if the caller is cancelled meanwhile.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def tell(result: T) -> None:
        if not answer.done():
            answer.set_result(result)

    def take_effect() -> None:
        result = effect()
        if fate.answer_ms is not None:
            loop.call_later(fate.answer_ms / 1000, tell, result)

    if fate.effect_ms is not None:
        loop.call_later(fate.effect_ms / 1000, take_effect)
    return await answer
