"""`python -m infra.local run|down|cli`, which `./dev` calls once Python and the servers are installed."""

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Coroutine, Mapping

from infra.local import RUN_FOLDER, LocalError
from infra.local.down import down
from infra.local.ports import Ports
from infra.local.run import run
from infra.local.stack import Stack
from infra.local.terminal import say


def main() -> int:
    if sys.argv[1:2] == ["cli"]:
        os.execve(
            sys.executable, [sys.executable, "-m", "streams.cli", *sys.argv[2:]], of_the_run(os.environ)
        )
    parser = argparse.ArgumentParser(prog="./dev")
    commands = parser.add_subparsers(dest="command", required=True)
    once = "stop after the first payment"
    commands.add_parser("run").add_argument("--once", action="store_true", help=once)
    commands.add_parser("down")
    chosen = parser.parse_args()
    # It reports every attempt to reach a broker that is still starting.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        asyncio.run(until_signalled(down() if chosen.command == "down" else run(once=chosen.once)))
    except LocalError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return 0


def of_the_run(given: Mapping[str, str]) -> dict[str, str]:
    """An environment that leads to the servers of `./dev run`, but for those that are given."""
    return {**given, **Stack(RUN_FOLDER, Ports.usual(), given).env}


async def until_signalled(work: Coroutine[None, None, None]) -> None:
    """The first Ctrl-C or SIGTERM cancels the work; further ones must not interrupt its cleaning up."""
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    signalled = False

    def stop() -> None:
        nonlocal signalled
        if not signalled:
            signalled = True
            say("")
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop)
    try:
        await task
    except asyncio.CancelledError:
        if not signalled:
            raise


if __name__ == "__main__":
    sys.exit(main())
