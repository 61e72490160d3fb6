"""`./dev down`: ends a run that still goes, and what a crashed one left behind, found by the pid files."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from infra.local import LOCAL, RUN_FOLDER
from infra.local.child import Child
from infra.local.stack import holder
from infra.local.terminal import say, step

DOWN_SECONDS = 90.0


async def down() -> None:
    """Ends a run that is still going, the polite way first, then whatever it left."""
    for folder in sorted(lock.parent for lock in LOCAL.glob("*/lock")):
        if (pid := holder(folder)) and folder != RUN_FOLDER:
            say(f"  {folder.name} is in use by process {pid}: left alone")
            continue
        if pid:
            with step(f"stop process {pid}"):
                await end_holder(folder, pid)
        await stop_leftovers(folder)
    say("Nothing of the last run is left.")


async def end_holder(folder: Path, pid: int) -> None:
    os.kill(pid, signal.SIGTERM)
    give_up_at = time.monotonic() + DOWN_SECONDS
    while holder(folder) == pid:
        if time.monotonic() > give_up_at:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(0.2)


class Leftover(Child):
    """Known only by the pid file of a run that is gone."""

    url = ""

    def command(self) -> list[str]:
        raise NotImplementedError

    async def ping(self) -> None:
        raise NotImplementedError


def leftovers(folder: Path) -> list[Leftover]:
    return [Leftover(pid_file.stem, folder) for pid_file in folder.glob("*.pid")]


async def stop_leftovers(folder: Path, but: Sequence[str] = ()) -> None:
    for leftover in leftovers(folder):
        if leftover.name in but:
            continue
        if leftover.running:
            say(f"  {leftover.name} was left by an earlier run")
        await leftover.stop()
