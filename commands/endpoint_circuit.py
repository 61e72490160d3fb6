"""How much one endpoint is sent at a time, and when it is left alone: a slow one must not hold what others need.

All dispatchers share what is known of it: results become its circuit here, one after another, wherever that is kept.
"""

from schemas.delivery import Answered, EndpointCircuit, Flowing, Paused, SendResult

AT_ONCE = 16
"""Attempts in flight to one endpoint, from all dispatchers together. To one that was paused it is one, until that has
told how it is."""
OPENS_AFTER = 5
"""Failures in a row."""
FIRST_PAUSE_MS = 10_000
LONGEST_PAUSE_MS = 300_000
"""Each pause is twice the one before. After it one attempt tries whether the endpoint is back."""


def after(circuit: EndpointCircuit, result: SendResult) -> EndpointCircuit:
    """A receiver that names a time in `Retry-After` is left alone for it, within the longest pause."""
    is_good = isinstance(result, Answered) and 200 <= result.status < 300
    if is_good:
        return Flowing()
    asked_ms = (result.retry_after_s or 0) * 1000 if isinstance(result, Answered) else 0
    match circuit:
        case Flowing() if circuit.failures + 1 < OPENS_AFTER and not asked_ms:
            return Flowing(failures=circuit.failures + 1)
        case Flowing():
            return _paused(FIRST_PAUSE_MS, asked_ms)
        case Paused() if circuit.left_ms > 0:  # begun before the pause: it tells nothing new
            return circuit
        case Paused():
            return _paused(circuit.pause_ms * 2, asked_ms)


def _paused(pause_ms: int, asked_ms: int) -> Paused:
    pause_ms = min(max(pause_ms, asked_ms), LONGEST_PAUSE_MS)
    return Paused(left_ms=pause_ms, pause_ms=pause_ms)
