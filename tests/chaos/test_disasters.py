"""A seed foretells a bad day, and the supervisor ends it."""

import asyncio
from pathlib import Path

from infra.local.child import Child
from tests.chaos.disasters import Disaster, Disasters, forecast

NAMES = ["api-0", "api-1", "worker-0", "kafka", "postgres"]
SHORT_S = 0.3


class Sleeper(Child):
    url = ""

    def command(self) -> list[str]:
        return ["sleep", "60"]

    async def ping(self) -> None:
        assert self.running


def test_the_same_seed_is_the_same_bad_day() -> None:
    assert forecast(3, 600, NAMES) == forecast(3, 600, NAMES)
    assert forecast(3, 600, NAMES) != forecast(4, 600, NAMES)


def test_a_long_day_spares_nobody_and_nothing() -> None:
    days = forecast(1, 3_600, NAMES)
    assert {disaster.name for disaster in days} == {*NAMES}
    assert {disaster.how for disaster in days} == {"killed", "stopped", "restarted"}
    assert [disaster.at_s for disaster in days] == sorted(disaster.at_s for disaster in days)


async def test_after_every_disaster_the_process_runs_again(tmp_path: Path) -> None:
    child = Sleeper("sleeper-0", tmp_path)
    await child.start()
    disasters = Disasters({child.name: child})
    try:
        pids = {child.pid}
        for how in ("killed", "stopped", "restarted"):
            await disasters.happen([Disaster(at_s=0, name=child.name, how=how, for_s=SHORT_S)])
            await child.wait_ready()
            pids.add(child.pid)
        assert len(pids) == 3
        assert disasters.counted == {("sleeper", how): 1 for how in ("killed", "stopped", "restarted")}
    finally:
        child.kill()


async def test_what_ended_by_itself_is_started_again(tmp_path: Path) -> None:
    child = Sleeper("sleeper-0", tmp_path)
    disasters = Disasters({child.name: child})
    watch = asyncio.create_task(disasters.supervise())
    try:
        async with asyncio.timeout(60):
            while not child.running:  # noqa: ASYNC110  # the kernel has no event for it
                await asyncio.sleep(0.05)
        assert disasters.ended == {"sleeper": 1}
    finally:
        watch.cancel()
        child.kill()
