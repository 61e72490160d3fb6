"""When Python looks for reference cycles: rarely. It cost a third of the throughput, and found next to nothing."""

import gc

YOUNG_OBJECTS = 50_000
"""Allocations between two looks at the youngest objects; 700 by default, which is one payment's worth."""


def collect_rarely() -> None:
    """To be called when everything is imported: what is there by then stays, and is never looked at again."""
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 100)
