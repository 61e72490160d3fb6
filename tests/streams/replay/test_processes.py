"""What becomes of the processes of a replay when somebody ends it."""

import os
import signal
from collections.abc import Sequence

import pytest

from streams.replay.errors import Stopped
from streams.replay.plan import Part
from streams.replay.processes import Monitor, in_processes

PARTS = [Part(partition=partition, start=0, stop=5) for partition in range(2)]


async def told_to_end(parts: Sequence[Part], monitor: Monitor) -> int:
    """As by a supervisor, which tells all processes of a group."""
    os.kill(os.getpid(), signal.SIGTERM)
    records = sum(part.records for part in parts)
    monitor.read(records)
    return records


async def killed(_: Sequence[Part], monitor: Monitor) -> int:
    monitor.read(1)
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def test_only_the_parent_decides_what_a_signal_to_all_of_them_means() -> None:
    told: list[int] = []
    assert in_processes(told_to_end, PARTS, 2, told.append) == [5, 5]
    assert told[-1] == 10


def test_a_process_that_died_of_what_the_parent_was_told_too_is_stopped_and_not_lost() -> None:
    def tell(records: int) -> None:
        if records:
            raise Stopped

    with pytest.raises(Stopped):
        in_processes(killed, PARTS, 2, tell)
