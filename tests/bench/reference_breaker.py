"""Circuit breakers over a window of calls, as resilience4j has them and the reference policies need them."""

import msgspec
import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Places = NDArray[np.intp]

CLOSED, OPEN, HALF_OPEN = 0, 1, 2
FAILURE_RATE = 0.5


class BreakerPolicy(msgspec.Struct, frozen=True, kw_only=True):
    window: int
    wait_s: float
    longest_wait_s: float
    """It doubles with every opening in a row."""
    probes: int
    is_probed: bool
    """A half-open circuit gets the next payments, whatever the policy thinks of its gateway."""


RESILIENCE4J = BreakerPolicy(window=100, wait_s=60, longest_wait_s=60, probes=10, is_probed=False)
SEED_LIKE = BreakerPolicy(window=20, wait_s=30, longest_wait_s=30, probes=5, is_probed=False)
BACK_OFF = BreakerPolicy(window=20, wait_s=30, longest_wait_s=240, probes=5, is_probed=True)


class Breakers:
    def __init__(self, runs: int, gateways: int, policy: BreakerPolicy, per_second: float) -> None:
        self._policy, self._per_second, self._runs = policy, per_second, np.arange(runs)
        shape = (runs, gateways)
        self._state = np.zeros(shape, dtype=np.int8)
        self._window = np.zeros((*shape, policy.window), dtype=bool)
        """Which of the last calls failed."""
        self._calls = np.zeros(shape, dtype=np.intp)
        self._failures = np.zeros(shape, dtype=np.intp)
        self._openings = np.zeros(shape, dtype=np.intp)
        self._until = np.zeros(shape)
        self._sent = np.zeros(shape, dtype=np.intp)
        self._reported = np.zeros(shape, dtype=np.intp)
        self._failed = np.zeros(shape, dtype=np.intp)
        self._trial = np.zeros(shape, dtype=np.int32)

    def allowed(self, number: int) -> tuple[Bools, Bools]:
        """Who may be called, and who must be because a probe of it is due. All may where all circuits are open."""
        due = (self._state == OPEN) & (self._until <= number)
        if due.any():
            self._state[due] = HALF_OPEN
            self._trial[due] += 1
            for counter in (self._sent, self._reported, self._failed):
                counter[due] = 0
        probes = (self._state == HALF_OPEN) & (self._sent < self._policy.probes)
        allowed = (self._state == CLOSED) | probes
        allowed |= ~allowed.any(axis=1)[:, None]
        return allowed, probes & self._policy.is_probed

    def sent(self, places: Places) -> NDArray[np.int32]:
        """The trial each call is a probe of; 0 where it is none."""
        probing = (self._state == HALF_OPEN)[self._runs, places]
        self._sent[self._runs, places] += probing
        return np.where(probing, self._trial[self._runs, places], 0).astype(np.int32)

    def observe(self, number: int, places: Places, failed: Bools, trials: NDArray[np.int32]) -> Places:
        """The runs whose gateway's circuit has closed by this."""
        self._count(number, places, failed)
        if not trials.any():
            return np.empty(0, dtype=np.intp)
        return self._report(number, places, failed, trials)

    def _count(self, number: int, places: Places, failed: Bools) -> None:
        at = self._runs, places
        counted = self._state[at] == CLOSED
        slots = self._calls[at] % self._policy.window
        before = self._window[*at, slots]
        self._window[*at, slots] = np.where(counted, failed, before)
        self._failures[at] += np.where(counted, failed.astype(np.intp) - before, 0)
        self._calls[at] += counted
        is_full = self._calls[at] >= self._policy.window
        tripped = counted & is_full & (self._failures[at] >= FAILURE_RATE * self._policy.window)
        if tripped.any():
            self._open(number, self._runs[tripped], places[tripped])

    def _report(self, number: int, places: Places, failed: Bools, trials: NDArray[np.int32]) -> Places:
        at = self._runs, places
        reports = (self._state[at] == HALF_OPEN) & (trials == self._trial[at]) & (trials > 0)
        self._reported[at] += reports
        self._failed[at] += reports & failed
        broken = reports & (self._failed[at] >= FAILURE_RATE * self._policy.probes)
        closing = reports & ~broken & (self._reported[at] >= self._policy.probes)
        if broken.any():
            self._open(number, self._runs[broken], places[broken])
        closed: Places = self._runs[closing]
        self._state[closed, places[closing]] = CLOSED
        self._openings[closed, places[closing]] = 0
        return closed

    def _open(self, number: int, runs: Places, places: Places) -> None:
        """Its window is empty when it closes again."""
        wait_s = self._policy.wait_s * 2.0 ** self._openings[runs, places]
        self._until[runs, places] = (
            number + np.minimum(wait_s, self._policy.longest_wait_s) * self._per_second
        )
        self._state[runs, places] = OPEN
        self._openings[runs, places] += 1
        self._window[runs, places] = False
        self._calls[runs, places] = self._failures[runs, places] = 0
