"""The only source of time and chance."""

import os
import random
import secrets
import time
from datetime import UTC, datetime
from uuid import UUID

from schemas import ids
from schemas.ids import ExperimentId, PaymentId


class SystemClock:
    def now(self) -> datetime:
        """To the millisecond, as it is written on the log: what was decided and what is read back are equal."""
        now = datetime.now(UTC)
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def now_ms(self) -> float:
        """Milliseconds since 1970, as brokers stamp records."""
        return self.now().timestamp() * 1000

    def elapsed_ms(self) -> float:
        """Boot time goes on while the machine is suspended; the monotonic clock would not notice a lost window."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) * 1000

    def payment_id(self) -> PaymentId:
        return ids.payment_id(_minted())

    def experiment_id(self) -> ExperimentId:
        return ids.experiment_id(_minted())

    def event_id(self) -> str:
        """Sorts by time like a UUIDv7, and costs a tenth: there are five to a payment."""
        return f"evt_{time.time_ns() // 1_000_000:012x}{os.urandom(10).hex()}"

    def secret(self, prefix: str) -> str:
        """32 random bytes that nobody guesses, behind a prefix by which a leaked one is found."""
        return prefix + secrets.token_urlsafe(32)

    def draw(self) -> float:
        return random.random()


def _minted() -> UUID:
    return uuid7(time.time_ns() // 1_000_000, os.urandom(10))


def uuid7(milliseconds: int, chance: bytes) -> UUID:
    """RFC 9562 §5.7: 48 bits of Unix milliseconds, then 74 random bits (of the 80 given) around version and variant."""
    random_bits = int.from_bytes(chance, "big")
    return UUID(
        int=milliseconds << 80
        | 0x7 << 76
        | (random_bits >> 68 & 0xFFF) << 64
        | 0b10 << 62
        | (random_bits & 0x3FFF_FFFF_FFFF_FFFF)
    )
