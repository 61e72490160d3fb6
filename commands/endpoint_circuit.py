"""How much one endpoint is sent at a time, and when it is left alone: a slow one must not hold what others need.

Each dispatcher learns this by itself, and forgets it when it ends: what it costs is a handful of attempts.
"""

from schemas.base import Value
from schemas.delivery import Answered, SendResult

AT_ONCE = 8
"""Attempts in flight to one endpoint from one dispatcher."""
OPENS_AFTER = 5
"""Failures in a row."""
FIRST_PAUSE_MS = 10_000
LONGEST_PAUSE_MS = 300_000
"""Each pause is twice the one before. After it one attempt tries whether the endpoint is back."""


class Flowing(Value, frozen=True, kw_only=True):
    failures: int = 0
    """In a row."""


class Paused(Value, frozen=True, kw_only=True):
    until_ms: float
    """By a clock that never jumps."""
    pause_ms: int


EndpointCircuit = Flowing | Paused
INITIAL = Flowing()


def room(circuit: EndpointCircuit, in_flight: int, now_ms: float) -> int:
    """How many attempts may be begun."""
    match circuit:
        case Flowing():
            return max(0, AT_ONCE - in_flight)
        case Paused():
            return 1 if now_ms >= circuit.until_ms and in_flight == 0 else 0


def after(circuit: EndpointCircuit, result: SendResult, now_ms: float) -> EndpointCircuit:
    """A receiver that names a time in `Retry-After` is left alone for it, within the longest pause."""
    is_good = isinstance(result, Answered) and 200 <= result.status < 300
    if is_good:
        return INITIAL
    asked_ms = (result.retry_after_s or 0) * 1000 if isinstance(result, Answered) else 0
    match circuit:
        case Flowing() if circuit.failures + 1 < OPENS_AFTER and not asked_ms:
            return Flowing(failures=circuit.failures + 1)
        case Flowing():
            return _paused(FIRST_PAUSE_MS, asked_ms, now_ms)
        case Paused() if now_ms < circuit.until_ms:  # begun before the pause: it tells nothing new
            return circuit
        case Paused():
            return _paused(circuit.pause_ms * 2, asked_ms, now_ms)


def _paused(pause_ms: int, asked_ms: int, now_ms: float) -> Paused:
    pause_ms = min(max(pause_ms, asked_ms), LONGEST_PAUSE_MS)
    return Paused(until_ms=now_ms + pause_ms, pause_ms=pause_ms)
