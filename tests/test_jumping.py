import asyncio
import time

import pytest

pytestmark = pytest.mark.time_jumps


async def test_an_hour_passes_at_once_and_in_order() -> None:
    begun_s = asyncio.get_running_loop().time()
    passed: list[int] = []

    async def waits(minutes: int) -> None:
        await asyncio.sleep(60 * minutes)
        passed.append(minutes)

    await asyncio.gather(waits(60), waits(1), waits(30))
    assert passed == [1, 30, 60]
    assert asyncio.get_running_loop().time() - begun_s == pytest.approx(3600)


async def test_no_time_passes_while_the_machine_stands_still() -> None:
    async with asyncio.timeout(0.01):
        time.sleep(0.1)  # noqa: ASYNC251  # the machine does
        await asyncio.sleep(0)


async def test_an_answer_that_comes_is_not_too_late_and_one_that_does_not_is() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readline(), 3600)
        writer.write(b"here\n")
        assert await asyncio.wait_for(reader.readline(), 0.01) == b"here\n"
        writer.close()
