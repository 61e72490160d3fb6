"""How far a long piece of work is, at what rate, and how long it will take: a line now and then."""

from collections.abc import Callable

Tell = Callable[[str], None]

TELL_EVERY_MS = 5_000.0


class Progress:
    def __init__(self, what: str, tell: Tell, elapsed_ms: Callable[[], float]) -> None:
        self._what = what
        self._tell = tell
        self._elapsed_ms = elapsed_ms
        self._begun_ms = self._told_ms = elapsed_ms()
        self.done = 0

    def advance(self, by: int, left: int, note: str = "") -> None:
        """`left` is what is known now: there may be more by the end."""
        self.done += by
        now_ms = self._elapsed_ms()
        if now_ms - self._told_ms >= TELL_EVERY_MS:
            self._told_ms = now_ms
            rate = self.done / (now_ms - self._begun_ms) * 1000
            time_left = f", {_duration(left / rate)} left" if rate else ""
            self._tell(f"{self.done:,} {self._what}, {rate:,.0f}/s{time_left}{note}")


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
