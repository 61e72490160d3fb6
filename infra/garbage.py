"""What becomes of memory that is free again: Python looks for reference cycles rarely, since that cost a third of the
throughput and found next to nothing, and a replay's processes keep it instead of asking the system for it again."""

import gc
import os

YOUNG_OBJECTS = 50_000
"""Allocations between two looks at the youngest objects; 700 by default, which is one payment's worth."""


OF_A_REPLAY = 1_000_000
"""It holds so many records at a time that each look would go through them all, and takes none of them up again."""


def collect_rarely(young_objects: int = YOUNG_OBJECTS) -> None:
    """To be called when everything is imported: what is there by then stays, and is never looked at again."""
    gc.freeze()
    gc.set_threshold(young_objects, 20, 100)


def let_children_keep_memory() -> None:
    """Processes that are started from now on give nothing back to the system below 256 MiB, where the C library is
    glibc: what Kafka answers comes and goes in mebibytes, and a tenth of a read was the kernel's handing it out again.

    https://sourceware.org/glibc/manual/latest/html_node/Malloc-Tunable-Parameters.html
    """
    for threshold in ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"):
        os.environ.setdefault(threshold, str(2**28))
