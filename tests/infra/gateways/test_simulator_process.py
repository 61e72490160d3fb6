import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import aiohttp
import pytest
from msgspec.structs import replace

from infra.gateways.http import GatewayHttp
from infra.gateways.local import RAZORPAY_KEY_ID, RAZORPAY_KEY_SECRET
from infra.gateways.razorpay.adapter import RazorpayGateway
from tests.infra.gateways.razorpay.world import ACCOUNT, CARD, a_charge, clock
from tests.infra.gateways.serving import listening_socket

LOCAL_ACCOUNT = replace(ACCOUNT, key_id=RAZORPAY_KEY_ID, key_secret=RAZORPAY_KEY_SECRET)


async def start(**environment: str) -> Process:
    command = (sys.executable, "-m", "infra.gateways.simulator")
    return await asyncio.create_subprocess_exec(
        *command, env=os.environ | environment, stdout=PIPE, stderr=PIPE
    )


async def healthy(http: aiohttp.ClientSession) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                async with http.get("/control/health") as response:
                    assert response.status == 200
                    return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)


async def test_it_serves_the_gateways_of_a_file_and_ends_when_told(tmp_path: Path) -> None:
    with listening_socket() as free:
        bind = f"127.0.0.1:{free.getsockname()[1]}"
    file = tmp_path / "profiles.json"
    file.write_text('[{"gateway":"alpha","latency":{"fixed_ms":0}}]')
    simulator = await start(SIMULATOR_BIND=bind, SIMULATOR_PROFILES=str(file))
    try:
        async with aiohttp.ClientSession(f"http://{bind}") as http:
            await healthy(http)
            async with http.get("/control/gateways") as response:
                assert [profile["gateway"] for profile in (await response.json())["gateways"]] == ["alpha"]
    finally:
        simulator.terminate()
        _, complaint = await simulator.communicate()
    assert complaint == b""


async def test_it_tells_what_happens_where_it_is_told_to_and_leaves_nothing_open() -> None:
    with listening_socket() as free, listening_socket() as nobody:
        bind, ear = (f"127.0.0.1:{listener.getsockname()[1]}" for listener in (free, nobody))
    simulator = await start(SIMULATOR_BIND=bind, SIMULATOR_WEBHOOKS_URL=f"http://{ear}/webhooks/")
    try:
        async with aiohttp.ClientSession(f"http://{bind}") as http:
            await healthy(http)
            async with http.get("/control/gateways/razorpay") as response:
                profile = await response.json()
        assert profile["webhooks"]["url"] == f"http://{ear}/webhooks/razorpay"
        calls = GatewayHttp(f"http://{bind}/razorpay", max_concurrent_calls=1)
        await RazorpayGateway(calls, LOCAL_ACCOUNT, clock.elapsed_ms).charge(a_charge(CARD), lambda: True)
        await calls.close()
    finally:
        simulator.terminate()
        _, complaint = await simulator.communicate()
    assert complaint == b""


@pytest.mark.parametrize("content", ['[{"gateway":"alpha","speed":1}]', '[{"seed":1}]', "[", None])
async def test_a_file_that_cannot_be_meant_stops_the_start_with_one_line(
    tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "profiles.json"
    if content is not None:
        file.write_text(content)
    simulator = await start(SIMULATOR_PROFILES=str(file))
    _, complaint = await simulator.communicate()
    assert simulator.returncode == 1
    assert complaint.startswith(b"SIMULATOR_PROFILES: ")
    assert complaint.count(b"\n") == 1
