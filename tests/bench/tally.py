"""Counts what happens within the window of a load run, and makes the report of it."""

from array import array
from collections import Counter

from tests.bench.report import Report, latency_of


class Tally:
    """Moments are seconds on one clock. A request belongs to the window by the moment at which it was due."""

    def __init__(self, window_start: float, window_end: float) -> None:
        self.start, self.end = window_start, window_end
        self.answers = 0
        self.reconnects = 0
        self._due = 0
        self._answers_in_window = 0
        self._samples = array("d")
        self._statuses: Counter[int] = Counter()
        self._errors: Counter[str] = Counter()

    def due(self, moment: float) -> None:
        self._due += moment >= self.start

    def answered(self, due: float, status: int, now: float) -> None:
        self.answers += 1
        self._answers_in_window += self.start <= now < self.end
        if due >= self.start:
            self._samples.append(now - due)
            self._statuses[status] += 1

    def gave_up(self, due: float, reason: str, now: float) -> None:
        """Our own doing: what it had waited so far is a sample, or the slowest requests would vanish."""
        if due >= self.start:
            self._samples.append(now - due)
            self._errors[reason] += 1

    def broke(self, due: float, reason: str) -> None:
        if due >= self.start:
            self._errors[reason] += 1

    def report(self, mode: str, connections: int, cpu_s: float) -> Report:
        duration_s = self.end - self.start
        return Report(
            mode=mode,
            duration_s=round(duration_s, 3),
            connections=connections,
            due=self._due,
            count=sum(self._statuses.values()),
            rate_per_s=round(self._answers_in_window / duration_s, 2),
            latency_ms=latency_of(self._samples),
            statuses=dict(self._statuses),
            errors=dict(self._errors),
            reconnects=self.reconnects,
            generator_cpu_us_per_request=round(cpu_s * 1e6 / max(self._answers_in_window, 1), 1),
            generator_cpu_share=round(cpu_s / duration_s, 3),
        )
