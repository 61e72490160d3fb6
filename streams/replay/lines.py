"""A file of JSON lines that is there only when it is whole, and sorted runs of lines made into one.

Lines are compared as bytes, as `sort`, `comm` and `join` do it where `LC_ALL` is `C`.
"""

import heapq
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

RUNS_AT_ONCE = 100
"""Files that are open at a time."""

encode_lines = msgspec.json.Encoder(order="deterministic").encode_lines
"""Of rows: equal ones are equal bytes."""


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """In the place of what had that name before, when the block ends well."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with unfinished.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(path)
    finally:
        unfinished.unlink(missing_ok=True)


def merge(runs: Sequence[Path], into: BinaryIO) -> None:
    """Each of them is sorted, and is gone afterwards where there are many."""
    left = list(runs)
    while len(left) > RUNS_AT_ONCE:
        some, left = left[:RUNS_AT_ONCE], left[RUNS_AT_ONCE:]
        longer = some[0].with_name(f"{some[0].name}+")
        with longer.open("wb") as file:
            _merge(some, file)
        for run in some:
            run.unlink()
        left.append(longer)
    _merge(left, into)


def _merge(runs: Sequence[Path], into: BinaryIO) -> None:
    with ExitStack() as files:
        into.writelines(heapq.merge(*(files.enter_context(run.open("rb")) for run in runs)))
