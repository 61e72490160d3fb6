"""What a verifier asks of a gateway ends in time, whatever the adapter does."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NoReturn

import pytest

from infra.gateways import certain
from infra.gateways.certain import CertainGateway
from infra.memory.clock import MemoryClock
from schemas.charge import Charge, Reference, Unreachable
from schemas.ids import AttemptId
from schemas.outcome import Outcome
from tests.builders import attempt

REFERENCE = Reference(attempt_id=attempt(), amount_minor=129_900, currency="INR")


class Silent:
    """Never comes to an end; or fails, if it is told to."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    async def charge(self, charge: Charge, may_send: Callable[[], bool]) -> Outcome:
        return await self._never()

    async def look_up(self, reference: AttemptId, known: str | None = None) -> NoReturn:
        await self._never()

    async def burn(self, reference: Reference) -> NoReturn:
        await self._never()

    async def capture(self, reference: AttemptId, known: str | None = None) -> NoReturn:
        await self._never()

    async def give_back(self, reference: AttemptId, known: str | None = None) -> NoReturn:
        await self._never()

    async def _never(self) -> NoReturn:
        if self._error is not None:
            raise self._error
        await asyncio.Event().wait()
        raise AssertionError("nobody ever sets it")


ASKED: dict[str, Callable[[CertainGateway], Awaitable[object]]] = {
    "look_up": lambda gateway: gateway.look_up(attempt(), "txn_1"),
    "burn": lambda gateway: gateway.burn(REFERENCE),
    "capture": lambda gateway: gateway.capture(attempt(), "txn_1"),
    "give_back": lambda gateway: gateway.give_back(attempt(), "txn_1"),
}


@pytest.mark.parametrize("what", ASKED)
async def test_what_takes_too_long_as_a_whole_cannot_be_told(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certain, "OPERATION_TIMEOUT_S", 0.05)
    gateway = CertainGateway(Silent(), MemoryClock().elapsed_ms)
    assert await ASKED[what](gateway) == Unreachable(reason="timeout")


@pytest.mark.parametrize("what", ASKED)
async def test_what_fails_in_our_own_code_cannot_be_told(what: str) -> None:
    gateway = CertainGateway(Silent(ValueError("a bug")), MemoryClock().elapsed_ms)
    assert await ASKED[what](gateway) == Unreachable(reason="interrupted")
