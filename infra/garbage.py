"""When Python looks for reference cycles: rarely. It cost a third of the throughput, and found next to nothing."""

import gc

YOUNG_OBJECTS = 50_000
"""Allocations between two looks at the youngest objects; 700 by default, which is one payment's worth."""


OF_A_REPLAY = 1_000_000
"""It holds so many records at a time that each look would go through them all, and takes none of them up again."""


def collect_rarely(young_objects: int = YOUNG_OBJECTS) -> None:
    """To be called when everything is imported: what is there by then stays, and is never looked at again."""
    gc.freeze()
    gc.set_threshold(young_objects, 20, 100)
