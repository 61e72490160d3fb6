"""Redis that did not answer is left alone for a moment: or everybody would wait for it, each for itself and in vain."""

from collections.abc import Callable

LEFT_ALONE_S = 1.0


class Absence:
    def __init__(self, elapsed_ms: Callable[[], float]) -> None:
        self._elapsed_ms = elapsed_ms
        self._until_ms: float | None = None

    @property
    def is_on(self) -> bool:
        return self._until_ms is not None and self._elapsed_ms() < self._until_ms

    def try_again(self) -> bool:
        """Whether this is the one who asks after an absence; meanwhile nobody else does."""
        is_trial = self._until_ms is not None
        if is_trial:
            self._begin()
        return is_trial

    def noted(self, is_trial: bool) -> bool:
        """Redis did not answer; whether that is news: of those that asked at the same time, one hears so."""
        is_news = is_trial or not self.is_on
        if is_news:
            self._begin()
        return is_news

    def ended(self) -> None:
        self._until_ms = None

    def _begin(self) -> None:
        self._until_ms = self._elapsed_ms() + LEFT_ALONE_S * 1000
