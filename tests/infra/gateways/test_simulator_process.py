import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import aiohttp
import pytest

from tests.infra.gateways.serving import listening_socket


async def start(**environment: str) -> Process:
    command = (sys.executable, "-m", "infra.gateways.simulator")
    return await asyncio.create_subprocess_exec(
        *command, env=os.environ | environment, stdout=PIPE, stderr=PIPE
    )


async def healthy(http: aiohttp.ClientSession) -> None:
    async with asyncio.timeout(10):
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
