"""An event loop with real sockets whose time passes only while nothing happens: it jumps to the next timer then.

For tests in which both ends of every connection are in this process (`pytest.mark.time_jumps`). A machine that is slow
or stands still costs their timeouts nothing, and nobody waits for one. A thread or another process is not waited for.
"""

import asyncio
import selectors

QUIET_S = 0.05
"""For so long nothing has come over any socket: what was sent has arrived by then, since it never left this machine."""


class _Selector(selectors.DefaultSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        ready = super().select(QUIET_S)
        if not ready:
            self.now_s += timeout
        return ready


class JumpingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now_s


def elapsed_ms() -> float:
    """By the clock of the running loop."""
    return asyncio.get_running_loop().time() * 1000
