"""What the developer reads while things start and stop: a line per step, with the seconds it took."""

import contextlib
import time
from collections.abc import Iterator


@contextlib.contextmanager
def step(what: str) -> Iterator[None]:
    begun = time.monotonic()
    say(f"  {what:<36}", end="")
    try:
        yield
    except BaseException:
        say("  did not finish")
        raise
    say(f"{time.monotonic() - begun:6.1f} s")


def say(text: str, end: str = "\n") -> None:
    """Whoever listens may be gone (a closed terminal, `| head`); what was started is stopped all the same."""
    with contextlib.suppress(OSError):
        print(text, end=end, flush=True)
