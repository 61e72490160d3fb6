"""A clock that reads the running event loop's time, which may be virtual, and ids that follow from a seed."""

import asyncio
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from infra.clock import uuid7
from schemas import ids
from schemas.ids import ExperimentId, PaymentId

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
"""When the loop's time was zero."""


class MemoryClock:
    """`skew_ms` is how far this machine's wall clock is ahead of the true time; elapsed time has no skew."""

    def __init__(self, *, skew_ms: int = 0, seed: int = 0) -> None:
        self.skew_ms = skew_ms
        self._seed = seed
        self._minted = 0

    def now(self) -> datetime:
        return EPOCH + timedelta(milliseconds=int(self.elapsed_ms()) + self.skew_ms)

    def now_ms(self) -> int:
        return int(EPOCH.timestamp() * 1000) + int(self.elapsed_ms()) + self.skew_ms

    def elapsed_ms(self) -> float:
        return asyncio.get_running_loop().time() * 1000

    def payment_id(self) -> PaymentId:
        """Later ids of one clock sort after earlier ones, also within a millisecond."""
        self._minted += 1
        chance = sha256(f"{self._seed} {self._minted}".encode()).digest()[:4]
        return ids.payment_id(uuid7(self.now_ms(), self._minted.to_bytes(6, "big") + chance))

    def experiment_id(self) -> ExperimentId:
        return ExperimentId("exp_" + self.payment_id().removeprefix("pay_"))

    def event_id(self) -> str:
        return "evt_" + self.payment_id().removeprefix("pay_")

    def draw(self) -> float:
        self._minted += 1
        return int.from_bytes(sha256(f"{self._seed} {self._minted}".encode()).digest()[:6], "big") / 2**48
