"""`./dev run`: the whole product on this machine, a first payment, and a watch over it until Ctrl-C."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence

from infra.local import RUN_FOLDER, LocalError
from infra.local.child import Child
from infra.local.down import stop_leftovers
from infra.local.first_payment import pay
from infra.local.ports import Ports
from infra.local.processes import Service, finish
from infra.local.services import require_free_ports, services
from infra.local.stack import Stack
from infra.local.terminal import say, step

WATCH_SECONDS = 0.5
RESTARTS_MAX = 5
RESTARTS_WINDOW_SECONDS = 60.0


class TooManyRestartsError(LocalError):
    """Something dies as often as it is started."""


async def run(*, once: bool) -> None:
    """Until it is cancelled; whatever happens, all that was started is stopped, the last started first."""
    stack = Stack(RUN_FOLDER, Ports.usual())
    ours = services(RUN_FOLDER, stack.env)
    stack.reserve()
    try:
        await start_all(stack, ours)
        await pay(ours["api"].url, ours["simulator"].url)
        if not once:
            say("Running. Ctrl-C stops everything and keeps the data.")
            await watch([*stack.servers, *ours.values()])
    finally:
        await stop_all(stack, list(ours.values()))


async def start_all(stack: Stack, ours: dict[str, Service]) -> None:
    with step(", ".join(server.name for server in stack.servers) or "given servers"):
        await stack.start()
    await stop_leftovers(RUN_FOLDER, but=[server.name for server in stack.servers])
    require_free_ports()
    with step("database schema"):
        await finish(["infra.postgres", "migrate"], env=stack.env, log=RUN_FOLDER / "migrate.log")
    with step("topics"):
        await finish(["infra.kafka", "topics"], env=stack.env, log=RUN_FOLDER / "topics.log")
    with step("simulated gateways"):
        await ours["simulator"].start()
        await ours["simulator"].wait_ready()
    with step("API and workers"):
        # The API is ready when the projection has caught up, so all are started before one is awaited.
        for service in ours.values():
            await service.start()
        for service in ours.values():
            await service.wait_ready()


async def watch(children: Sequence[Child]) -> None:
    """Starts again what dies, as a supervisor would in production, and gives up when that does not help."""
    restarts: deque[float] = deque()
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        for child in children:
            if child.running:
                continue
            now = time.monotonic()
            while restarts and now - restarts[0] > RESTARTS_WINDOW_SECONDS:
                restarts.popleft()
            if len(restarts) == RESTARTS_MAX:
                raise TooManyRestartsError(
                    f"{child.name} ended again, after {RESTARTS_MAX} restarts; see {child.log}"
                )
            restarts.append(now)
            say(f"{child.name} ended unexpectedly; its log is {child.log}")
            # Not awaited until ready: it may need another one that this loop has yet to look at.
            await child.start()
            say(f"{child.name} started again")


async def stop_all(stack: Stack, ours: Sequence[Service]) -> None:
    for child in reversed([*stack.servers, *ours]):
        if child.running:
            with step(f"stop {child.name}"):
                await child.stop()
    await stack.stop()
